"""Text, panels, buttons and charts: clean edges, flat areas, letters."""
import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import fields, sheet
from .shapes import colour

LETTERS = string.ascii_letters + string.digits + "    .,:;!?()[]{}+-=/%&#@"


def words(rng, count):
    return "".join(rng.choice(list(LETTERS), count))


def draw(rng, size):
    dark = rng.random() < 0.4
    tones = fields.palette(rng, 6)
    ground = np.full(3, rng.uniform(0.05, 0.2) if dark else rng.uniform(0.9, 1.0))
    front = np.full(3, rng.uniform(0.85, 1.0) if dark else rng.uniform(0.0, 0.25))
    # Twice the size and reduced for half of the pictures: letters with and without hinting.
    zoom = 2 if rng.random() < 0.5 else 1
    n = size * zoom
    img = Image.new("RGB", (n, n), colour(ground))
    pen = ImageDraw.Draw(img)
    for _ in range(int(rng.integers(14, 30))):
        x, y = rng.integers(-20, n, 2)
        w, h = rng.integers(40, 320, 2) * zoom // (1, 2)
        kind = rng.random()
        tone = colour(tones[rng.integers(6)] if rng.random() < 0.6 else ground * rng.uniform(0.85, 1.1))
        if kind < 0.35:
            edge = colour(front) if rng.random() < 0.5 else None
            pen.rounded_rectangle((x, y, x + w, y + h), int(rng.integers(0, 14)) * zoom, fill=tone, outline=edge, width=zoom)
        elif kind < 0.8:
            font = ImageFont.load_default(int(rng.choice([9, 10, 11, 12, 14, 16, 20, 28, 44])) * zoom)
            line = font.size * 1.35
            for k in range(int(rng.integers(1, 9))):
                c = colour(front if rng.random() < 0.8 else tones[rng.integers(6)])
                pen.text((int(x), int(y + k * line)), words(rng, int(rng.integers(4, 50))), font=font, fill=c)
        elif kind < 0.9:
            values = np.cumsum(rng.standard_normal(24)) * h / 10 + y + h / 2
            pen.line([(int(x + k * w / 24), int(v)) for k, v in enumerate(values)], fill=tone, width=int(rng.integers(1, 4)) * zoom)
        else:
            r = int(rng.integers(5, 40)) * zoom
            pen.ellipse((x, y, x + r, y + r), fill=tone)
    if zoom > 1:
        img = img.resize((size, size), Image.BICUBIC)
    return np.asarray(img, np.float32) / 255


if __name__ == "__main__":
    sheet.main(__doc__, draw)
