"""Rendered pictures (`styles.render`) as training material of the detail network."""
import os
import zlib

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

import data

STYLED = ("anime", "impasto", "watercolor")
OWN = 384  # pixels of the middle of a painting that are enlarged as they are
# Detail of a painting up to this deviation in pixels goes onto its photograph; tones and large shapes stay the photograph's.
BAND = 8.0


def band(a, sigma):
    return a - gaussian_filter(a, (sigma, sigma, 0), mode="nearest")


def repainted(photo, painting):
    """The photograph with the painting's fine band instead of its own, 8-bit."""
    p, q = photo.astype(np.float32), painting.astype(np.float32)
    return np.clip(np.rint(p + band(q, BAND) - band(p, BAND)), 0, 255).astype(np.uint8)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


class Item:
    """A truth, the name of the style that the network is told (or None) and the sharp picture its conditions come from."""

    def __init__(self, truth, style, source, name):
        self.truth, self.style, self.source = truth, style, source
        self.key = f"{name} {zlib.crc32(np.ascontiguousarray(source)):08x}"
        img = Image.fromarray(truth)
        self.map = data.detail_map(img, data.reduce(img, 2), 1.0)

    def pick(self, rng, size):
        """The top left corner of a square worth training on."""
        cum, columns = self.map
        j = int(np.searchsorted(cum, rng.random() * cum[-1]))
        h, w = self.truth.shape[:2]
        y, x = (k * data.CELL + rng.integers(data.CELL) - size // 2 for k in divmod(j, columns))
        return int(np.clip(y, 0, h - size)), int(np.clip(x, 0, w - size))


def load(root):
    """Groups of items by name: paintings enlarged as they are, photographs that become paintings, and the rest.

    Photographs that become impasto or watercolor still lack the texture of the paint: `coupled.texture`.
    """
    listed = lambda d: sorted(n for n in os.listdir(os.path.join(root, d)) if n.endswith(".png"))
    photos = {n: read(os.path.join(root, "photo", n)) for n in listed("photo")}
    groups = {}
    for style in STYLED:
        groups[style] = []
        for n in listed(style):
            a = read(os.path.join(root, style, n))
            y, x = ((v - OWN) // 2 for v in a.shape[:2])
            part = a[y : y + OWN, x : x + OWN]
            groups[style].append(Item(part, style, part, f"{style}/{n}"))
    onto = lambda style, folder: [Item(repainted(photos[n], read(os.path.join(root, folder, n))), style, photos[n], f"photo/{n}")
                                  for n in listed(folder) if n in photos]
    groups |= {"onto anime": onto("anime", "anime"), "onto watercolor": onto("watercolor", "washes"),
               "onto impasto": [Item(a, "impasto", a, f"photo/{n}") for n, a in photos.items()]}
    rest = [(d, n) for d in ("dead_leaves", "interface") for n in listed(d)]
    groups["rest"] = [Item(a, None, a, f"{d}/{n}") for d, n in rest for a in [read(os.path.join(root, d, n))]]
    return groups
