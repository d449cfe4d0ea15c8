"""Thick paint: layers of oriented strokes along a flow, each leaving relief, lit from the side (Hertzmann 1998, 2002)."""
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from . import fields, sheet

TURNS = 32


def brush(rng, radius, length, angle):
    """One stroke's opacity, relief and streaks of colour, in a square patch around its middle."""
    n = int(np.ceil(length / 2 + radius)) + 2
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    v = v + rng.uniform(-0.12, 0.12) * u * u / max(length, 1)  # bent
    along = u / (length / 2)
    width = radius * np.clip(1.15 - 0.35 * (along * 0.5 + 0.5) ** 2, 0.3, 1.2)  # thinner where the brush leaves
    count = max(4, int(2.2 * radius))
    hairs = gaussian_filter1d(rng.standard_normal(4 * count + 8), 1.6)
    hairs /= hairs.std() + 1e-6
    at = np.clip((v / width * 0.5 + 0.5) * 4 * count + 4, 0, len(hairs) - 1)
    bristle = map_coordinates(hairs, [at], order=1).reshape(u.shape)
    ragged = 0.12 * length * bristle * (along > 0)
    edge = np.clip((width - np.abs(v)) / 0.9 + 0.5, 0, 1)
    ends = np.clip((length / 2 - np.abs(u) + ragged * 0.5 + radius * 0.4) / 1.2, 0, 1)
    alpha = edge * ends
    rim = np.exp(-(((np.abs(v) - 0.85 * width) / (0.22 * radius + 0.4)) ** 2))  # paint pushed aside
    load = np.clip(1 - 0.55 * (along * 0.5 + 0.5), 0.2, 1)
    pile = np.exp(-(((along - 0.95) / 0.18) ** 2))  # and left at the end
    relief = alpha * (load * (0.55 + 0.28 * bristle) + 0.45 * rim + 0.4 * pile)
    return alpha.astype(np.float32), relief.astype(np.float32), (bristle * alpha).astype(np.float32)


def light(colour, height, rng_angle, strength=0.55, gloss=0.16):
    """Diffuse light and a soft gloss on the relief."""
    gy, gx = np.gradient(gaussian_filter(height, 0.45))
    lx, ly = np.cos(rng_angle), np.sin(rng_angle)
    slope = -(gx * lx + gy * ly)
    shade = 1 + strength * np.tanh(1.3 * slope)
    shine = np.clip(slope - 0.25, 0, None)
    return colour * shade[..., None] + gloss * np.tanh(2.0 * shine)[..., None]


def render(rng, motif, radii):
    h, w = motif.shape[:2]
    angle, sure = fields.direction(motif, 4.0)
    wander = np.pi * 0.5 * fields.smooth(rng, (h, w), 60)
    # Where the picture has no direction of its own, the strokes follow a slow one.
    c = sure * np.cos(2 * angle) + 0.35 * np.cos(2 * wander)
    s = sure * np.sin(2 * angle) + 0.35 * np.sin(2 * wander)
    angle = 0.5 * np.arctan2(s, c)
    pad = int(radii[0] * 4) + 8
    canvas = np.pad(fields.blur(motif, radii[0]) * 0.9, ((pad, pad), (pad, pad), (0, 0)), mode="edge").astype(np.float32)
    height = np.zeros(canvas.shape[:2], np.float32)
    for level, radius in enumerate(radii):
        soft = fields.blur(motif, 0.5 * radius)
        error = np.abs(canvas[pad:-pad, pad:-pad] - soft).sum(2)
        error = gaussian_filter(error, radius * 0.7)
        limit = 0 if level == 0 else 0.10
        length = radius * rng.uniform(4.0, 6.0)
        bank = [[brush(rng, radius * rng.uniform(0.8, 1.2), length * rng.uniform(0.7, 1.2), np.pi * k / TURNS + (np.pi if rng.random() < 0.5 else 0))
                 for _ in range(3)] for k in range(TURNS)]
        step = radius * 0.95
        ys, xs = np.mgrid[0 : h / step, 0 : w / step].reshape(2, -1) * step
        ys, xs = ys + rng.uniform(-0.7, 0.7, len(ys)) * step, xs + rng.uniform(-0.7, 0.7, len(xs)) * step
        ys, xs = np.clip(ys, 0, h - 1).astype(int), np.clip(xs, 0, w - 1).astype(int)
        order = rng.permutation(len(ys))
        order = order[error[ys[order], xs[order]] >= limit]
        jitter = rng.normal(0, 0.022, (len(order), 3)).astype(np.float32) + rng.normal(0, 0.02, (len(order), 1)).astype(np.float32)
        turn = np.rint((angle[ys[order], xs[order]] + rng.normal(0, 0.16, len(order))) / np.pi * TURNS).astype(int) % TURNS
        pick = rng.integers(3, size=len(order))
        thick = 0.35 * radius ** 0.8
        for k, i in enumerate(order):
            alpha, relief, streak = bank[turn[k]][pick[k]]
            n = len(alpha) // 2
            y, x = ys[i] + pad, xs[i] + pad
            cut = np.s_[y - n : y + n + 1, x - n : x + n + 1]
            if alpha.shape != height[cut].shape:
                continue
            colour = (soft[ys[i], xs[i]] + jitter[k])[None, None] + 0.035 * streak[..., None]
            canvas[cut] += alpha[..., None] * (colour - canvas[cut])
            height[cut] += alpha * (0.25 * height[cut] + thick * relief - height[cut])
    cut = np.s_[pad:-pad, pad:-pad]
    out = light(canvas[cut], height[cut], rng.uniform(-2.6, -1.6))
    weave = fields.smooth(rng, (h, w), 0.8)
    return np.clip(out * (1 + 0.006 * weave[..., None]), 0, 1).astype(np.float32)


def radii(rng):
    big = rng.uniform(7, 11)
    return (big, big * 0.5, big * 0.26)


def draw(rng, size):
    return render(rng, fields.abstract(rng, size), radii(rng))


def paint(rng, photo):
    rich = np.clip((photo - 0.5) * 1.08 + 0.5 + 0.12 * (photo - photo.mean(2, keepdims=True)), 0, 1)
    return render(rng, rich, radii(rng))


if __name__ == "__main__":
    sheet.main(__doc__, draw, paint)
