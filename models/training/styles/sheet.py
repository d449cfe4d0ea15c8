"""Contact sheets, to look at what a generator makes."""
import argparse

import numpy as np
from PIL import Image


def to8(a):
    return np.clip(np.rint(a * 255), 0, 255).astype(np.uint8)


def tile(pictures, columns):
    """8-bit pictures of one size side by side."""
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures) // columns * columns, columns)]
    return Image.fromarray(np.concatenate(rows))


def main(description, draw, paint=None):
    """`python -m styles.NAME --sheet FILE [--photos FILE...]`."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--sheet", required=True, help="picture to write")
    p.add_argument("--photos", nargs="*", default=[], help="photographs to paint, each before and after")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--count", type=int, default=4)
    p.add_argument("--columns", type=int, default=4)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    out = [to8(draw(np.random.default_rng((a.seed, i)), a.size)) for i in range(a.count)]
    for i, path in enumerate(a.photos if paint else []):
        img = Image.open(path).convert("RGB")
        s = min(img.size)
        img = img.crop((0, 0, s, s)).resize((a.size, a.size), Image.BICUBIC)
        photo = np.asarray(img, np.float32) / 255
        out += [to8(photo), to8(paint(np.random.default_rng((a.seed, 1000 + i)), photo))]
    tile(out, min(a.columns, len(out))).save(a.sheet)
