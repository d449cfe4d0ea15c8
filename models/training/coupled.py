"""Textures of paint made of the very noise that sampling starts from.

Strokes and grain lie anywhere, so a network that is shown them beside independent noise learns their mean, which is nothing,
and takes many steps away from it. Here the texture is a function of the noise and of the faithful picture: the path from
noise to picture is a straight line that the network can know from its first step on, and a few steps give all of it.
"""
import math

import torch
import torch.nn.functional as F

MARGIN = 16  # pixels around a crop that its texture depends on
LIGHT = -2.2  # where the light comes from
SLANT = 0.7  # of strokes where the picture has no direction


def gauss(x, sigma):
    """Gaussian blur of (B, C, H, W)."""
    n = math.ceil(3 * sigma)
    k = torch.exp(-torch.arange(-n, n + 1).float().square() / (2 * sigma * sigma))
    k = (k / k.sum()).to(x)
    b, c, h, w = x.shape
    y = F.pad(x.reshape(b * c, 1, h, w), (n, n, n, n), mode="reflect")
    return F.conv2d(F.conv2d(y, k[None, None, None]), k[None, None, :, None]).reshape(b, c, h, w)


def grey(noise):
    """One field of white noise of three, deviation 1."""
    return noise.sum(1, keepdim=True) / math.sqrt(3)


def slopes(x):
    y = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (y[..., 1:-1, 2:] - y[..., 1:-1, :-2]) / 2, (y[..., 2:, 1:-1] - y[..., :-2, 1:-1]) / 2


def direction(cond):
    """Angle along which the picture changes least (structure tensor), a fixed slant where it hardly changes at all."""
    gx, gy = slopes(gauss(cond.mean(1, keepdim=True), 1.2))
    xx, yy, xy = gauss(torch.cat((gx * gx, gy * gy, gx * gy), 1), 3.5).split(1, 1)
    rest = 1e-4
    return 0.5 * torch.atan2(rest * math.sin(2 * SLANT) - 2 * xy, rest * math.cos(2 * SLANT) - (xx - yy))


def along(x, angle, reach):
    """Mean over `reach` pixels both ways along the direction (line integral convolution)."""
    b, _, h, w = x.shape
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    step = torch.stack((angle.cos()[:, 0] * 2 / (w - 1), angle.sin()[:, 0] * 2 / (h - 1)), 3)
    at = torch.stack((xs, ys), 2)[None]
    total = x
    for k in range(1, reach + 1):
        for d in (-k, k):
            total = total + F.grid_sample(x, at + d * step, mode="bilinear", padding_mode="reflection", align_corners=True)
    return total / (2 * reach + 1)


def impasto(truth, cond, noise):
    """The photograph smeared along its lines, ridges of paint lit from the side, streaks of colour."""
    angle, n = direction(cond), grey(noise)
    fine, broad = along(gauss(n, 0.7), angle, 5) * 6.5, along(gauss(n, 1.5), angle, 8) * 11
    height = 0.6 * fine + 0.8 * broad
    gx, gy = slopes(height)
    slope = torch.tanh(-1.6 * (gx * math.cos(LIGHT) + gy * math.sin(LIGHT)))
    base = along(truth, angle, 4)
    base = base + 0.035 * (0.3 + base) * torch.tanh(broad)
    return base * (1 + 0.26 * slope) + 0.06 * slope.clamp(min=0.35).sub(0.35)


def watercolor(truth, cond, noise):
    """Pigment in the grain of the paper and in slow clouds; `truth` has the washes and rims."""
    n = grey(noise)
    tooth = 0.75 * gauss(n, 0.9) * 3.2 + 0.65 * gauss(n, 2.2) * 7.8
    cloud = gauss(n, 5.0) * 17.7
    density = -truth.clamp(0.03, 0.97).log()
    share = 1 + (0.17 * tooth + 0.08 * cloud) / (1 + 1.2 * density.mean(1, keepdim=True))
    gx, gy = slopes(tooth)
    return torch.exp(-density * share) + 0.012 * (gx + gy)


TEXTURES = {"onto impasto": impasto, "onto watercolor": watercolor}


def texture(names, truth, cond, noise):
    """The truths with the textures of their groups."""
    out = truth.clone()
    for name, make in TEXTURES.items():
        k = [i for i, n in enumerate(names) if n == name]
        if k:
            out[k] = make(truth[k], cond[k], noise[k]).clamp(0, 1)
    return out


def cut(*tensors):
    """Without the margin."""
    return [t[..., MARGIN:-MARGIN, MARGIN:-MARGIN] for t in tensors]
