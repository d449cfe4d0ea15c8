"""PSNR and SSIM on BT.601 luma of 8-bit pictures (border cut, as super-resolution papers measure), and NIQE."""
import math
import os

import numpy as np
import torch
from scipy.ndimage import correlate, gaussian_filter
from scipy.special import gamma


def luma(x):
    """(B, 3, H, W) 0..1, rounded to 8 bits, to BT.601 luma 16..235."""
    x = x.clamp(0, 1).mul(255).round().double()
    return (x * torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)[:, None, None]).sum(1) / 255 + 16


def psnr(a, b, crop):
    d = luma(a) - luma(b)
    if crop:
        d = d[:, crop:-crop, crop:-crop]
    return 10 * math.log10(255**2 / d.square().mean().item())


def ssim(a, b, crop):
    """Mean over one picture each, 11 px Gaussian window."""
    cut = slice(crop, -crop) if crop else slice(None)
    a, b = (luma(v)[0, cut, cut].numpy() for v in (a, b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    f = lambda v: gaussian_filter(v, 1.5, truncate=3.34)[5:-5, 5:-5]
    ma, mb = f(a), f(b)
    va, vb, cov = f(a * a) - ma**2, f(b * b) - mb**2, f(a * b) - ma * mb
    return float(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))


_SHAPES = np.arange(0.2, 10.001, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))


def aggd(x):
    """Asymmetric generalised Gaussian fit by moments: shape, left scale, right scale."""
    x = x.ravel()
    rms = lambda v: np.sqrt(np.mean(v**2)) if v.size else 1e-9
    left, right = rms(x[x < 0]), rms(x[x > 0])
    g = left / right
    ratio = np.mean(np.abs(x)) ** 2 / max(np.mean(x**2), 1e-12) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    a = _SHAPES[np.argmin((_RATIOS - ratio) ** 2)]
    k = np.sqrt(gamma(1 / a) / gamma(3 / a))
    return a, left * k, right * k


def block_features(b):
    a, left, right = aggd(b)
    f = [a, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a, left, right = aggd(b * np.roll(b, shift, axis=(0, 1)))
        f += [a, (right - left) * gamma(2 / a) / gamma(1 / a), left, right]
    return f


def halve(y):
    """Antialiased bicubic reduction by two."""
    t = np.array([0.5, 1.5, 2.5, 3.5]) / 2
    w = np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    k = np.concatenate([w[::-1], w])
    k /= k.sum()
    for axis in (0, 1):
        y = np.moveaxis(y, axis, 0)
        p = np.pad(y, [(3, 4)] + [(0, 0)] * (y.ndim - 1), mode="symmetric")
        n = y.shape[0] // 2
        y = np.moveaxis(sum(k[i] * p[i : i + 2 * n : 2] for i in range(8)), 0, axis)
    return y


def pristine(root):
    """NIQE's own statistics: mean, covariance and the window."""
    z = np.load(os.path.join(root, "weights", "niqe", "niqe_pris_params.npz"))
    return z["mu_pris_param"], z["cov_pris_param"], z["gaussian_window"]


def features(x, window, block=96):
    """The 36 features of NIQE of every whole block of one picture, (blocks, 36)."""
    y = luma(x)[0].numpy()
    h, w = (v // block * block for v in y.shape)
    if h == 0 or w == 0:
        return np.zeros((0, 36))
    y = np.round(y[:h, :w])
    found = []
    for s in (1, 2):
        mu = correlate(y, window, mode="nearest")
        sd = np.sqrt(np.abs(correlate(y * y, window, mode="nearest") - mu**2))
        m, n = (y - mu) / (sd + 1), block // s
        found.append([block_features(m[i * n : (i + 1) * n, j * n : (j + 1) * n])
                      for j in range(w // block) for i in range(h // block)])
        if s == 1:
            y = halve(y)
    f = np.concatenate([np.array(v) for v in found], axis=1)
    return f[~np.isnan(f).any(axis=1)]


def distance(mean, covariance, f):
    """Between a Gaussian and the one fitted to the features f."""
    d = mean - f.mean(axis=0)
    c = np.cov(f, rowvar=False) if len(f) > 1 else np.zeros_like(covariance)
    return float(np.sqrt(np.squeeze(d @ np.linalg.pinv((covariance + c) / 2) @ d.T)))


def niqe(x, root):
    """NIQE (Mittal, Soundararajan, Bovik 2013) of one picture; its statistics are in root/weights/niqe."""
    mean, covariance, window = pristine(root)
    f = features(x, window)
    return distance(mean, covariance, f) if len(f) else float("nan")
