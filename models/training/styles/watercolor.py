"""Watercolour: transparent washes with dark rims, pigment in the grain of the paper, wet borders (Curtis 1997, Bousseau 2006)."""
import numpy as np

from . import fields, sheet


def paper(rng, shape):
    """The paper's relief, deviation 1: tooth of a few pixels over slow waves."""
    tooth = fields.smooth(rng, shape, rng.uniform(1.0, 1.6)) + 0.7 * fields.smooth(rng, shape, rng.uniform(2.2, 3.2))
    tooth = tooth + 0.3 * fields.smooth(rng, shape, 9)
    return tooth / tooth.std()


def settle(rng, density, rims, relief):
    """The picture of an optical density (H, W, 3) on paper; `rims` (H, W) is where pigment gathered."""
    shape = density.shape[:2]
    flow = 0.16 * fields.fractal(rng, shape, 1.3)  # uneven pigment
    grain = rng.uniform(0.10, 0.2) * np.clip(-relief, -2, 2.5)  # it settles in the hollows
    fine = 0.05 * rng.standard_normal(shape, dtype=np.float32)
    share = np.clip(1 + flow + grain + fine + rims, 0.12, 3)
    side = relief - np.roll(relief, (1, 1), (0, 1))
    lit = 1 + 0.012 * np.clip(side, -3, 3)
    tint = np.array([1.0, 0.992, 0.972], np.float32) * rng.uniform(0.97, 1.0)
    out = tint * np.exp(-np.clip(density, 0, None) * share[..., None]) * lit[..., None]
    return np.clip(out, 0, 1).astype(np.float32)


def pigment(rng):
    """Absorbance of a colour at full strength."""
    c = fields.palette(rng, 1)[0]
    return -np.log(np.clip(0.12 + 0.85 * c / c.max(), 0.05, 0.99)) * rng.uniform(0.4, 1.0)


def draw(rng, size):
    shape = (size, size)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    relief = paper(rng, shape)
    ground = pigment(rng) * rng.uniform(0.1, 0.5)
    density = ground * np.clip(0.6 + 0.4 * fields.smooth(rng, shape, 70), 0, 2)[..., None]
    rims = np.zeros(shape, np.float32)
    pigments = [pigment(rng) for _ in range(int(rng.integers(3, 8)))]
    edges = [fields.fractal(rng, shape, 1.35) for _ in range(4)]
    bends = [fields.smooth(rng, shape, 25) for _ in range(4)]
    count = int(rng.integers(25, 60))
    for k in range(count):
        wide = size * 0.5 * (1 - k / count) ** 2 * rng.uniform(0.4, 1) + rng.uniform(5, 25)
        cy, cx, turn = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0, np.pi)
        long = rng.choice([1.0, 1.6, 3.5, 8.0], p=[0.35, 0.3, 0.2, 0.15])
        fold, bend = edges[rng.integers(4)], bends[rng.integers(4)]
        if rng.random() < 0.5:
            fold, bend = fold.T, bend.T
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        r = np.sqrt((u / long) ** 2 + (v + (0.25 * wide * bend if long > 2 else 0)) ** 2)
        inside = wide / (long**0.5) * (1 + 0.25 * bend) - r + rng.uniform(0.5, 2.5) * fold  # pixels to the border
        wet = rng.random() < 0.3
        soft = rng.uniform(6, 18) if wet else rng.uniform(0.6, 1.2)
        mask = 1 / (1 + np.exp(-np.clip(inside / soft, -30, 30)))
        tone = rng.uniform(0.15, 0.9) * (1 + 0.35 * fields.smooth(rng, shape, 40))
        if rng.random() < 0.25:  # the brush was half dry: it only touches the paper's peaks
            mask = mask * np.clip(0.5 + (relief + 0.6) * 1.5, 0, 1)
        density = density + (mask * np.clip(tone, 0.05, 2))[..., None] * pigments[rng.integers(len(pigments))]
        if not wet:
            line = np.exp(-np.clip(inside, 0, None) / rng.uniform(1.2, 2.5)) * mask
            rims = rims * (1 - 0.5 * mask) + rng.uniform(0.3, 0.9) * line * np.clip(0.7 + 0.5 * fold, 0, 2)
    return settle(rng, np.clip(density, 0, 3), np.clip(rims, 0, 1.5), relief)


def plan(rng, photo):
    """The density of a photograph's washes, and where pigment gathers at their borders."""
    shape = photo.shape[:2]
    flat = fields.kuwahara(fields.kuwahara(photo, 3.5), rng.uniform(4.0, 5.5))
    # A few tones with narrow steps: washes on washes.
    y = fields.luma(flat)[..., None]
    steps = rng.integers(7, 11)
    at = y * steps
    toned = (np.floor(at) + 0.5 + 0.5 * np.tanh(4 * (at - np.floor(at) - 0.5))) / steps
    flat = np.clip(flat + 0.8 * (toned - y), 0, 1)
    # Borders wobble with the hand and the paper.
    flat = fields.warp(flat, *(0.8 * fields.smooth(rng, shape, 7) + 0.4 * fields.smooth(rng, shape, 2) for _ in range(2)))
    wet = np.clip(1.3 * fields.smooth(rng, shape, 35) - 0.9, 0, 1)[..., None]
    run = fields.warp(fields.blur(flat, 4.0), 4 * fields.smooth(rng, shape, 9), 4 * fields.smooth(rng, shape, 9))
    flat = flat + wet * (run - flat)
    # Pigment gathers on the darker side of borders.
    y = fields.luma(flat)
    line = np.clip(fields.blur(y, 1.8) - fields.blur(y, 0.6), 0, None) * (1 - wet[..., 0])
    rims = np.clip(rng.uniform(5, 8) * line, 0, 0.9)
    light = np.clip(0.06 + 0.94 * flat, 0, 1)  # no wash is black
    return -np.log(np.clip(light, 0.03, 0.995)), rims


def paint(rng, photo):
    relief = paper(rng, photo.shape[:2])
    return settle(rng, *plan(rng, photo), relief)


def washes(rng, photo):
    """The washes alone, without pigment in the grain of the paper."""
    density, rims = plan(rng, photo)
    return np.exp(-density * (1 + rims[..., None])).astype(np.float32)


if __name__ == "__main__":
    sheet.main(__doc__, draw, paint)
