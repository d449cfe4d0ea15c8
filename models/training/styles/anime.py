"""Flat colours, cel shading, highlights, gradients, ink lines of changing width and screentone; or a photograph drawn so."""
import numpy as np
from PIL import Image, ImageChops, ImageDraw
from scipy.ndimage import map_coordinates

from . import fields, shapes, sheet
from .shapes import SCALE


def shade(c, rng):
    """The colour of the shadow: darker, towards blue."""
    return np.clip(c * rng.uniform(0.55, 0.82) + np.array([0.0, 0.0, 0.05]), 0, 1)


def gradient(img, area, top, bottom):
    """Fill the mask with a vertical run of colour."""
    box = area.getbbox()
    if not box:
        return
    w, h = box[2] - box[0], box[3] - box[1]
    t = np.linspace(0, 1, h)[:, None]
    run = np.rint((np.asarray(top) * (1 - t) + np.asarray(bottom) * t) * 255).astype(np.uint8)
    img.paste(Image.fromarray(np.repeat(run[:, None], w, 1)), box[:2], area.crop(box))


def ink(pen, rng, line, width, colour, closed=False):
    """A pen line that swells and thins."""
    n = len(line)
    if closed:
        line = np.concatenate((line, line[:2]))
        w = width * (1 + 0.55 * np.sin(np.linspace(0, 2 * np.pi * rng.integers(1, 4), n + 2) + rng.uniform(0, 6)))
    else:
        w = shapes.taper(n, width)
    pen.polygon(shapes.flat(shapes.ribbon(line, np.maximum(w, 0.25))), fill=colour)


def thing(img, rng, size, points, c, line):
    """A closed area: colour, shadow, highlight, outline."""
    pen = ImageDraw.Draw(img)
    area = shapes.mask(size, points)
    if rng.random() < 0.35:
        gradient(img, area, c, shade(c, rng))
    else:
        pen.polygon(shapes.flat(points), fill=shapes.colour(c))
    reach = np.ptp(points, axis=0).mean()
    if rng.random() < 0.8:
        lit = shapes.mask(size, points - reach * rng.uniform(0.06, 0.22, 2))
        img.paste(shapes.colour(shade(c, rng)), mask=ImageChops.subtract(area, lit))
    if rng.random() < 0.45:
        m = points.mean(0) - reach * np.array([0.12, 0.18])
        spot = shapes.mask(size, shapes.blob(rng, m, reach * rng.uniform(0.05, 0.14), points=40))
        img.paste(shapes.colour(np.clip(c * 0.4 + 0.6, 0, 1)), mask=ImageChops.multiply(spot, area))
    if rng.random() < 0.25:
        tone(img, rng, size, area)
    if line is not None:
        ink(pen, rng, points, rng.uniform(0.8, 2.6), line, closed=True)
    return area


def tone(img, rng, size, area):
    """Screentone: a turned grid of dots whose size runs across the area."""
    pitch, turn = rng.uniform(3.5, 8) * SCALE, rng.uniform(0, np.pi / 2)
    y, x = np.mgrid[: size * SCALE, : size * SCALE].astype(np.float32)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    r = pitch * (0.12 + 0.3 * (0.5 + 0.5 * np.sin(u / (size * SCALE) * rng.uniform(1, 4) + rng.uniform(0, 6))))
    dots = (u % pitch - pitch / 2) ** 2 + (v % pitch - pitch / 2) ** 2 < r * r
    m = ImageChops.multiply(Image.fromarray((dots * 255).astype(np.uint8)), area)
    c = rng.random() < 0.5
    img.paste((20, 20, 30) if c else (250, 250, 250), mask=m.point(lambda p: p * (90 if c else 140) // 255))


def hair(img, rng, root, reach, c, line):
    """A tuft of tapering strands."""
    pen = ImageDraw.Draw(img)
    base, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
    for _ in range(int(rng.integers(5, 16))):
        a = base + rng.normal(0, spread)
        tip = root + reach * rng.uniform(0.5, 1.1) * np.array([np.cos(a), np.sin(a)])
        bend = (root + tip) / 2 + reach * rng.normal(0, 0.22, 2)
        path = shapes.curve(root + rng.normal(0, reach * 0.12, 2), bend, tip)
        width = reach * rng.uniform(0.08, 0.2)
        lock = shapes.ribbon(path, shapes.taper(len(path), width, 0.6, 0.0))
        pen.polygon(shapes.flat(lock), fill=shapes.colour(c if rng.random() < 0.6 else shade(c, rng)))
        if line is not None:
            ink(pen, rng, lock[: len(path)], rng.uniform(0.7, 1.8), line)
            ink(pen, rng, lock[len(path) :], rng.uniform(0.7, 1.8), line)
        if rng.random() < 0.4:
            ink(pen, rng, path[8:24], width * 0.25, shapes.colour(np.clip(c * 0.5 + 0.5, 0, 1)))


def eye(img, rng, centre, r, c, line):
    pen = ImageDraw.Draw(img)

    def disc(m, w, h, fill):
        (x0, y0), (x1, y1) = shapes.flat([m - (w, h), m + (w, h)])
        pen.ellipse((x0, y0, x1, y1), fill=fill)

    disc(centre, r * 1.15, r, (252, 252, 252))
    disc(centre, r * 0.72, r * 0.92, shapes.colour(shade(c, rng)))
    disc(centre + (0, r * 0.2), r * 0.6, r * 0.66, shapes.colour(c))
    disc(centre, r * 0.32, r * 0.42, (15, 12, 20))
    disc(centre - (r * 0.25, r * 0.38), r * 0.22, r * 0.26, (255, 255, 255))
    disc(centre + (r * 0.25, r * 0.42), r * 0.11, r * 0.11, (255, 255, 255))
    lid = shapes.curve(centre + (-r * 1.3, -r * 0.2), centre + (0, -r * 1.7), centre + (r * 1.35, -r * 0.1))
    ink(pen, rng, lid, r * 0.35, line)
    ink(pen, rng, lid[10:30] - (0, r * 0.55), r * 0.12, line)


def draw(rng, size):
    colours = np.clip(fields.palette(rng, 9) * 1.05 + 0.05, 0, 1)
    line = shapes.colour(colours[0] * 0.15)
    img = Image.new("RGB", (size * SCALE,) * 2, shapes.colour(colours[1]))
    if rng.random() < 0.7:
        gradient(img, Image.new("L", img.size, 255), colours[1], colours[2])
    pen = ImageDraw.Draw(img)
    if rng.random() < 0.25:  # speed lines
        m = rng.uniform(0.2, 0.8, 2) * size
        for a in rng.uniform(0, 2 * np.pi, 70):
            d = np.array([np.cos(a), np.sin(a)])
            path = shapes.curve(m + d * size * rng.uniform(0.3, 0.6), m + d * size * 0.8, m + d * size * 1.2)
            pen.polygon(shapes.flat(shapes.ribbon(path, np.linspace(0.3, rng.uniform(1, 7), len(path)))), fill=line)
    count = int(rng.integers(18, 45))
    for k in range(count):
        at = rng.uniform(0, size, 2)
        reach = size * 0.33 * (1 - k / count) ** 1.5 * rng.uniform(0.4, 1) + rng.uniform(6, 26)
        c = colours[rng.integers(len(colours))]
        kind = rng.random()
        edge = line if rng.random() < 0.85 else None
        if kind < 0.5:
            thing(img, rng, size, shapes.blob(rng, at, reach, points=120), c, edge)
        elif kind < 0.6:
            corners = shapes.polygon(rng, at, reach)
            closed = np.concatenate([np.linspace(p, q, 30, endpoint=False) for p, q in zip(corners, np.roll(corners, -1, 0))])
            thing(img, rng, size, closed, c, edge)
        elif kind < 0.8:
            hair(img, rng, at, reach * 1.3, c, edge)
        elif kind < 0.9:
            eye(img, rng, at, min(reach, 45) * 0.6 + 4, c, line)
        else:
            for _ in range(int(rng.integers(2, 9))):  # folds
                p = at + rng.normal(0, reach * 0.4, 2)
                path = shapes.curve(p, p + rng.normal(0, reach * 0.4, 2), p + rng.normal(0, reach * 0.8, 2))
                ink(pen, rng, path, rng.uniform(0.8, 3.0), line)
    return shapes.finish(img, size)


def along(field, angle, reach):
    """Mean along the direction of the lines, `reach` pixels both ways (line integral convolution)."""
    y, x = np.mgrid[: field.shape[0], : field.shape[1]].astype(np.float32)
    c, s = np.cos(angle), np.sin(angle)
    total = field.copy()
    for k in range(1, reach + 1):
        for d in (-k, k):
            total += map_coordinates(field, (y + d * s, x + d * c), order=1, mode="nearest")
    return total / (2 * reach + 1)


def paint(rng, photo):
    shape = photo.shape[:2]
    flat = fields.kuwahara(fields.kuwahara(photo, 3.0), rng.uniform(3.5, 5.0))
    large = tuple(2 * v for v in shape)
    big = np.clip(fields.enlarge(flat, large), 0, 1)
    y = fields.luma(big)
    at = fields.blur(y, 2.0) * (steps := int(rng.integers(6, 10))) + rng.uniform(0, 1)
    # Tones with sharp borders, as painted in flat cels.
    toned = (np.floor(at) + 0.5 + 0.5 * np.tanh(9 * (at - np.floor(at) - 0.5)) - at) / steps
    big = big + 0.85 * toned[..., None]
    grey = big.mean(2, keepdims=True)
    big = np.clip(grey + (big - grey) * rng.uniform(1.1, 1.35), 0, 1)
    # Ink where the smoothed photograph has a dark crease or a border (flow-based difference of Gaussians, Kang 2007).
    soft = fields.luma(fields.enlarge(fields.kuwahara(photo, 1.5), large))
    sigma = rng.uniform(1.6, 2.2)
    d = fields.blur(soft, sigma) - 0.985 * fields.blur(soft, 1.6 * sigma) - 0.015 * 0.5
    angle, _ = fields.direction(soft[..., None].repeat(3, 2), 5.0)
    d = along(d, angle, 6)
    line = np.clip(-(d + rng.uniform(0.004, 0.008)) * 160, 0, 1)
    dark = np.array([0.08, 0.06, 0.1], np.float32)
    big = big + (0.9 * line * line * (3 - 2 * line))[..., None] * (big * 0.25 + dark - big)
    return np.clip(fields.halve(big), 0, 1).astype(np.float32)


if __name__ == "__main__":
    sheet.main(__doc__, draw, paint)
