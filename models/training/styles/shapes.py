"""Outlines and anti-aliased drawing with Pillow: a picture is drawn SCALE times larger and reduced."""
import numpy as np
from PIL import Image, ImageDraw

SCALE = 3


def blob(rng, centre, radius, bumps=4, rough=0.18, points=160):
    """A closed smooth outline, (points, 2) as x, y."""
    a = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = np.ones(points)
    for k in range(2, 2 + bumps):
        r += rough / k**0.7 * rng.standard_normal() * np.cos(k * a + rng.uniform(0, 2 * np.pi))
    r = np.clip(r, 0.3, 2) * radius
    flat, turn = rng.uniform(0.45, 1), rng.uniform(0, np.pi)
    x, y = r * np.cos(a), r * np.sin(a) * flat
    return np.stack((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)), 1) + centre


def polygon(rng, centre, radius):
    """A convex corner shape with 3 to 7 corners."""
    a = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
    flat, turn = rng.uniform(0.3, 1), rng.uniform(0, np.pi)
    x, y = radius * np.cos(a), radius * np.sin(a) * flat
    return np.stack((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)), 1) + centre


def curve(p0, p1, p2, points=40):
    """A quadratic curve."""
    t = np.linspace(0, 1, points)[:, None]
    return (1 - t) ** 2 * p0 + 2 * t * (1 - t) * p1 + t**2 * p2


def ribbon(line, width):
    """The outline of a line whose width changes along it."""
    d = np.gradient(line, axis=0)
    n = np.stack((-d[:, 1], d[:, 0]), 1) / (np.hypot(*d.T)[:, None] + 1e-6)
    half = np.asarray(width)[:, None] / 2
    return np.concatenate((line + n * half, (line - n * half)[::-1]))


def taper(points, width, start=0.0, end=0.0):
    """A width that swells from start to full in the middle and falls to end."""
    t = np.linspace(0, 1, points)
    return width * (np.sin(np.pi * t) ** 0.7 * (1 - max(start, end)) + start * (1 - t) + end * t)


def flat(points):
    return [tuple(p) for p in np.asarray(points) * SCALE]


def mask(size, points):
    """Coverage of an outline at SCALE times the size, 8-bit."""
    m = Image.new("L", (size * SCALE, size * SCALE))
    ImageDraw.Draw(m).polygon(flat(points), fill=255)
    return m


def colour(c):
    return tuple(int(v) for v in np.clip(np.rint(np.asarray(c) * 255), 0, 255))


def finish(img, size):
    """The drawing at its size, as a float picture."""
    return np.asarray(img.resize((size, size), Image.BOX), np.float32) / 255
