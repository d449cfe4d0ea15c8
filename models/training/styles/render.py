"""Render all styles once, as PNG: OUT/STYLE/random-N.png, OUT/STYLE/photo-N.png and the photographs OUT/photo/photo-N.png.

OUT/washes has watercolours without the grain of the paper.
"""
import argparse
import os

import numpy as np
from PIL import Image

from . import anime, dead_leaves, impasto, interface, sheet, watercolor

PAINTERS = {"anime": anime, "impasto": impasto, "watercolor": watercolor}
OTHERS = {"dead_leaves": dead_leaves, "interface": interface}
NAMES = (*PAINTERS, "washes", *OTHERS)


def windows(paths, size):
    """Squares of the photographs: the middle, and of large ones the whole reduced to the size as well."""
    for path in paths:
        img = Image.open(path).convert("RGB")
        if path.lower().endswith(".jpg") or min(img.size) >= 2 * size:
            s = min(img.size)
            x, y = (img.width - s) // 2, (img.height - s) // 2
            yield img.resize((size, size), Image.BICUBIC, (x, y, x + s, y + s))
            img = img.resize((img.width // 2, img.height // 2), Image.BICUBIC)
        if min(img.size) >= size:
            x, y = (img.width - size) // 2, (img.height - size) // 2
            yield img.crop((x, y, x + size, y + size))


def save(a, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(sheet.to8(a)).save(path + ".tmp", "PNG", compress_level=1)
    os.replace(path + ".tmp", path)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", required=True)
    p.add_argument("--photos", nargs="*", default=[], help="photographs to paint")
    p.add_argument("--random", type=int, default=40, help="pictures of each style from nothing")
    p.add_argument("--others", type=int, default=12, help="dead leaves and interfaces, each")
    p.add_argument("--size", type=int, default=576)
    p.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="styles")
    p.add_argument("--seed", type=int, default=1, help="take another one for pictures to test with")
    a = p.parse_args()
    photos = [np.asarray(v, np.float32) / 255 for v in windows(a.photos, a.size)]
    jobs = [(k, "photo", i, lambda r, m=m, i=i: m.paint(r, photos[i])) for i in range(len(photos)) for k, m in PAINTERS.items()]
    jobs += [("washes", "photo", i, lambda r, i=i: watercolor.washes(r, photos[i])) for i in range(len(photos))]
    drawn = [(k, "random", i, lambda r, m=m: m.draw(r, a.size)) for i in range(a.random) for k, m in PAINTERS.items()]
    drawn += [(k, "random", i, lambda r, m=m: m.draw(r, a.size)) for i in range(a.others) for k, m in OTHERS.items()]
    for i, photo in enumerate(photos):
        save(photo, os.path.join(a.out, "photo", f"photo-{i:03}.png"))
    # Photographs and random ones in turn, so that a run that is cut short has some of everything.
    order = sorted(jobs + drawn, key=lambda j: j[2])
    for name, kind, i, make in (j for j in order if j[0] in a.only):
        path = os.path.join(a.out, name, f"{kind}-{i:03}.png")
        if not os.path.exists(path):
            seed = (a.seed, i, kind == "photo", *name.encode())
            save(make(np.random.default_rng(seed)), path)
            print(path, flush=True)


if __name__ == "__main__":
    main()
