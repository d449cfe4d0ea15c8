"""Rendered pictures (`styles.render`) as training material of the detail network."""
import os

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

import data

STYLED = ("anime", "impasto", "watercolor")
# Detail of a painting up to this deviation in pixels goes onto its photograph; tones and large shapes stay the photograph's.
BAND = {"anime": 8.0, "impasto": 5.0, "watercolor": 6.0}


def band(a, sigma):
    return a - gaussian_filter(a, (sigma, sigma, 0), mode="nearest")


def repainted(photo, painting, sigma):
    """The photograph with the painting's fine band instead of its own, 8-bit."""
    p, q = photo.astype(np.float32), painting.astype(np.float32)
    return np.clip(np.rint(p + band(q, sigma) - band(p, sigma)), 0, 255).astype(np.uint8)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


class Item:
    """A truth, the name of the style that the network is told (or None) and the sharp picture its conditions come from."""

    def __init__(self, truth, style, source, key):
        self.truth, self.style, self.source, self.key = truth, style, source, key
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
    """Groups of items by name: paintings enlarged as they are, photographs that become paintings, and the rest."""
    listed = lambda d: sorted(os.listdir(os.path.join(root, d))) if os.path.isdir(os.path.join(root, d)) else []
    photos = {n: read(os.path.join(root, "photo", n)) for n in listed("photo") if n.endswith(".png")}
    groups = {}
    for style in STYLED:
        own, onto = [], []
        for n in listed(style):
            if not n.endswith(".png"):
                continue
            a = read(os.path.join(root, style, n))
            own.append(Item(a, style, a, f"{style}/{n}"))
            if n in photos:
                onto.append(Item(repainted(photos[n], a, BAND[style]), style, photos[n], f"photo/{n}"))
        groups[style], groups[f"onto {style}"] = own, onto
    rest = [(d, n) for d in ("dead_leaves", "interface") for n in listed(d) if n.endswith(".png")]
    groups["rest"] = [Item(a, None, a, f"{d}/{n}") for d, n in rest for a in [read(os.path.join(root, d, n))]]
    return {k: v for k, v in groups.items() if v}
