"""Training pictures: a pyramid of sharp pictures with their clean reductions, and batches of crops from it."""
import os

import numpy as np
import torch
from PIL import Image

import damage

FOLDERS = (("gb82/png", 1.0), ("gb82/sc-png", 0.4), ("clic2025", 1.0), ("wallpapers-cc0", 1.0))  # (folder, share)
SCREENS = "gb82/sc-png"
LEVELS = (1.0, 0.7, 0.5)
LONGEST = 2048
CELL = 16


def files(root, screens):
    for folder, share in FOLDERS:
        if folder == SCREENS and not screens:
            continue
        d = os.path.join(root, "train", folder)
        for name in sorted(os.listdir(d)):
            if name.lower().endswith((".png", ".jpg")):
                yield os.path.join(d, name), share


def reduce(img, s):
    """Antialiased bicubic (a = -0.5) reduction, rounded to 8 bits, as the test pictures were made."""
    return img.resize((img.width // s, img.height // s), Image.BICUBIC)


def levels(path):
    """The picture at several sizes, sides multiples of 8, and whether it was reduced (and so is sharp to the pixel)."""
    img = Image.open(path).convert("RGB")
    top = min(1.0, LONGEST / max(img.size))
    if path.lower().endswith(".jpg"):
        top = min(top, 0.5)
    for f in LEVELS:
        w, h = (round(v * f * top) // 8 * 8 for v in img.size)
        if min(w, h) >= 256:
            reduced = f * top < 1
            yield img.resize((w, h), Image.BICUBIC) if reduced else img.crop((0, 0, w, h)), reduced


def detail_map(hr, lr, floor):
    """How much each CELL x CELL square of the picture loses by reduction: where crops are worth most."""
    up = np.asarray(lr.resize(hr.size, Image.BICUBIC).convert("L"), np.float32)
    e = np.abs(np.asarray(hr.convert("L"), np.float32) - up)
    h, w = (v // CELL * CELL for v in e.shape)
    e = e[:h, :w].reshape(h // CELL, CELL, w // CELL, CELL).mean((1, 3))
    e = np.minimum(e, 4 * e.mean() + 1e-3)
    return np.cumsum((e + floor * e.mean() + 1e-3).ravel()), w // CELL


class Pictures:
    """All pictures in memory as 8-bit arrays: self.items[i][s] is picture i reduced by s."""

    def __init__(self, root, window=None, screens=True, floor=0.4):
        """`window`: only the middle square of that size of each picture; `floor`: how likely crops without detail are."""
        self.items, self.maps, self.sharp, weights = [], [], [], []
        for path, share in files(root, screens):
            for img, sharp in levels(path):
                if window:
                    x, y = (max(0, v - window) // 2 // 8 * 8 for v in img.size)
                    img = img.crop((x, y, min(img.width, x + window), min(img.height, y + window)))
                lr = {s: reduce(img, s) for s in (2, 4)}
                self.items.append({1: np.array(img)} | {s: np.array(v) for s, v in lr.items()})
                self.maps.append(detail_map(img, lr[2], floor))
                self.sharp.append(sharp)
                weights.append(share * (img.width * img.height) ** 0.5)
        self.p = np.cumsum(weights) / np.sum(weights)

    def pick(self, rng, s, size):
        """A picture and the top left corner, in reduced pixels, of a square worth training on."""
        i = int(np.searchsorted(self.p, rng.random()))
        cum, columns = self.maps[i]
        j = int(np.searchsorted(cum, rng.random() * cum[-1]))
        h, w = self.items[i][s].shape[:2]
        y, x = ((k * CELL + rng.integers(CELL)) // s - size // 2 for k in divmod(j, columns))
        return i, int(np.clip(y, 0, h - size)), int(np.clip(x, 0, w - size))

    def batch(self, rng, s, size, count, damaged):
        """Inputs (count, size, size, 3), truths (s times larger), conditions; `damaged` is the share of damaged ones."""
        xs, ys = np.empty((count, size, size, 3), np.uint8), np.empty((count, size * s, size * s, 3), np.uint8)
        cs = np.zeros((count, 3), np.float32)
        for k in range(count):
            bad = rng.random() < damaged
            margin = 16 if bad else 0
            i, y, x = self.pick(rng, s, size + margin)
            a = self.items[i][s][y : y + size + margin, x : x + size + margin]
            if bad:
                a, cs[k] = damage.apply(a, rng)
                oy, ox = rng.integers(4, 13, 2)
                a, y, x = a[oy : oy + size, ox : ox + size], y + oy, x + ox
            b = self.items[i][1][y * s : (y + size) * s, x * s : (x + size) * s]
            xs[k], ys[k] = augment(rng, a, b)
        return to_tensor(xs), to_tensor(ys), torch.from_numpy(cs)


def augment(rng, *pictures):
    """The same random flips, turn and channel order for all."""
    fy, fx, turn = rng.random(3) < 0.5
    order = rng.permutation(3) if rng.random() < 0.3 else slice(None)
    out = []
    for a in pictures:
        a = a[:: -1 if fy else 1, :: -1 if fx else 1, order]
        out.append(a.transpose(1, 0, 2) if turn else a)
    return out


def to_tensor(a):
    """(N, H, W, 3) 8 bits to (N, 3, H, W) 0..1."""
    return torch.from_numpy(np.array(a)).permute(0, 3, 1, 2).float().div_(255)


def load(path):
    return to_tensor(np.array(Image.open(path).convert("RGB"))[None])
