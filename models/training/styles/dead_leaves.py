"""Dead leaves: occluding discs, polygons and strokes of power-law sizes, with textures, shading and depth blur (Lee 2001)."""
import numpy as np
from PIL import Image, ImageDraw

from . import fields, sheet, shapes

DEPTHS = (2.2, 1.0, 0.0)  # blur of the far, middle and near shapes, in pixels


def texture(rng, shape):
    """A grey pattern around 0: natural noise, or stripes bent by it."""
    noise = fields.fractal(rng, shape, rng.uniform(0.7, 1.6))
    if rng.random() < 0.65:
        return noise
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(3, 24)
    wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn) + rng.uniform(0, 6) * noise) / pitch)
    return np.tanh(rng.uniform(0.5, 4) * wave) * (1 + 0.3 * noise)


def outline(rng, centre, r):
    kind = rng.random()
    if kind < 0.45:
        return shapes.blob(rng, centre, r, rough=0.12)
    if kind < 0.75:
        return shapes.polygon(rng, centre, r)
    a = rng.uniform(0, 2 * np.pi)
    d = np.array([np.cos(a), np.sin(a)]) * r * 2
    path = shapes.curve(centre - d, centre + rng.normal(0, 0.7 * r, 2), centre + d)
    return shapes.ribbon(path, shapes.taper(len(path), rng.uniform(0.1, 0.5) * r + 0.7, 0.3, 0.3))


def draw(rng, size):
    shape = (size, size)
    colours = fields.palette(rng, 14)
    patterns = [texture(rng, shape) for _ in range(5)]
    out = fields.abstract(rng, size)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    for blur in DEPTHS:
        for _ in range(260):
            # Sizes with density r^-3, which makes the picture look alike at all scales.
            r = 1 / np.sqrt(rng.uniform(1 / (0.3 * size) ** 2, 1 / 4.0**2))
            m = rng.uniform(-0.05, 1.05, 2) * size
            points = outline(rng, m, r)
            (x0, y0), (x1, y1) = np.floor(points.min(0)) - 8, np.ceil(points.max(0)) + 8
            x0, y0, x1, y1 = (int(np.clip(v, 0, size)) for v in (x0, y0, x1, y1))
            if x1 - x0 < 2 or y1 - y0 < 2:
                continue
            img = Image.new("L", ((x1 - x0) * shapes.SCALE, (y1 - y0) * shapes.SCALE))
            ImageDraw.Draw(img).polygon(shapes.flat(points - (x0, y0)), fill=255)
            cover = np.asarray(img.resize((x1 - x0, y1 - y0), Image.BOX), np.float32) / 255
            cover = fields.blur(cover, blur)[..., None]
            cut = np.s_[y0:y1, x0:x1]
            turn = rng.uniform(0, 2 * np.pi)
            slope = rng.uniform(0, 0.5) * size / max(r, 20) * 0.5
            light = 1 + np.clip(slope * (x[cut] * np.cos(turn) + y[cut] * np.sin(turn)), -0.35, 0.35)
            pattern = fields.blur(patterns[rng.integers(5)][cut], blur) * rng.choice([0, 0.04, 0.1, 0.2])
            c = colours[rng.integers(len(colours))] * np.clip(light + pattern, 0, 2)[..., None]
            out[cut] += cover * (np.clip(c, 0, 1) - out[cut])
    return np.clip(out, 0, 1).astype(np.float32)


if __name__ == "__main__":
    sheet.main(__doc__, draw)
