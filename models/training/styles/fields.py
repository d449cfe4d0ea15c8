"""Random fields, palettes and the filters that the generators share. Pictures (H, W, 3), fields (H, W), values about 0..1."""
import colorsys

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, map_coordinates

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def luma(a):
    return a @ LUMA


def blur(a, sigma):
    if sigma <= 0:
        return a
    return gaussian_filter(a, (sigma, sigma, 0)[: a.ndim], mode="nearest", truncate=3)


def enlarge(a, shape):
    """Bicubic to (H, W)."""
    t = torch.from_numpy(np.ascontiguousarray(a, np.float32))
    t = t[None, None] if a.ndim == 2 else t.permute(2, 0, 1)[None]
    t = F.interpolate(t, shape, mode="bicubic", align_corners=False)[0]
    return t[0].numpy() if a.ndim == 2 else t.permute(1, 2, 0).numpy()


def halve(a):
    """Mean of 2 x 2 pixels."""
    return (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4


def smooth(rng, shape, sigma):
    """White noise blurred by sigma pixels, deviation 1."""
    step = max(1.0, sigma / 2)
    n = rng.standard_normal([int(v / step) + 4 for v in shape], dtype=np.float32)
    n = gaussian_filter(n, sigma / step, mode="wrap")
    n /= n.std() + 1e-6
    return n[: shape[0], : shape[1]] if step == 1 else enlarge(n, shape)


def fractal(rng, shape, power):
    """Noise with amplitude 1 / f^power, deviation 1."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    f = np.hypot(fy, fx)
    f[0, 0] = np.inf
    s = np.fft.rfft2(rng.standard_normal(shape)) / f**power
    n = np.fft.irfft2(s, shape)
    return (n / n.std()).astype(np.float32)


def warp(a, dy, dx):
    """The picture seen through a field of displacements, in pixels."""
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    at = (y + dy, x + dx)
    if a.ndim == 2:
        return map_coordinates(a, at, order=1, mode="nearest")
    return np.stack([map_coordinates(a[..., c], at, order=1, mode="nearest") for c in range(3)], 2)


def direction(a, sigma):
    """Angle (x to the right, y down) along which the picture changes least, and how sure that is, 0..1 (structure tensor)."""
    y = blur(luma(a) if a.ndim == 3 else a, 1.0)
    gy, gx = np.gradient(y)
    xx, yy, xy = (blur(v, sigma) for v in (gx * gx, gy * gy, gx * gy))
    root = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    return 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2, root / (xx + yy + 1e-5)


def kuwahara(a, radius, sharpness=8):
    """Edge-keeping smoothing: the mean of the calmest of eight sectors around each pixel (Papari, Petkov, Campisi 2007)."""
    n = int(np.ceil(2 * radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    near = np.exp(-(x * x + y * y) / (2 * radius * radius / 1.5))
    turn = np.arctan2(y, x)
    t = torch.from_numpy(np.ascontiguousarray(a, np.float32)).permute(2, 0, 1)
    t = torch.cat((t, t.square()))[:, None]
    kernels = []
    for k in range(8):
        away = np.abs((turn - k * np.pi / 4 + np.pi) % (2 * np.pi) - np.pi)
        w = near * np.clip(1.3 - away / (np.pi / 4), 0, 1)
        w[n, n] = 1
        kernels.append(w / w.sum())
    weight = torch.from_numpy(np.array(kernels, np.float32))[:, None]
    m = F.conv2d(F.pad(t, (n,) * 4, mode="replicate"), weight)  # (6, 8, H, W)
    mean, deviation = m[:3], (m[3:] - m[:3].square()).clamp(min=0).sum(0).sqrt()
    w = 1 / (1 + (255 * deviation / 8) ** sharpness)
    w = w / w.sum(0)
    return (mean * w).sum(1).permute(1, 2, 0).numpy()


def palette(rng, count):
    """`count` colours that go together: one or two neighbouring hues, muted, and an accent."""
    hue, spread = rng.random(), rng.choice([0.05, 0.1, 0.2])
    out = []
    for _ in range(count):
        h = hue + spread * rng.standard_normal() + (0.5 if rng.random() < 0.2 else 0)
        s = 0.9 * rng.beta(2, 3)
        out.append(colorsys.hsv_to_rgb(h % 1, s, np.clip(rng.beta(2.2, 1.5), 0.05, 1)))
    return np.array(out, np.float32)


def abstract(rng, size):
    """Soft areas of a palette with folded borders: a motif for paintings of nothing."""
    shape = (size, size)
    n = int(rng.integers(5, 12))
    colours = palette(rng, n)
    level = fractal(rng, shape, rng.uniform(1.4, 2.2))
    bend = rng.uniform(5, 40)
    level = warp(level, bend * smooth(rng, shape, 30), bend * smooth(rng, shape, 30))
    rank = np.argsort(np.argsort(level[::4, ::4].ravel())).reshape(level[::4, ::4].shape) / level[::4, ::4].size
    index = np.clip((enlarge(rank.astype(np.float32), shape) * n).astype(int), 0, n - 1)
    light = 1 + 0.15 * smooth(rng, shape, 60)[..., None]
    return np.clip(blur(colours[index], 1.0) * light, 0, 1).astype(np.float32)
