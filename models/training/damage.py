"""Known damage for training inputs: blur, noise and JPEG, with the values that the network is told."""
import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

# (share, blur, noise, jpeg)
MIXES = ((0.14, 1, 0, 0), (0.21, 0, 1, 0), (0.42, 0, 0, 1), (0.06, 1, 1, 0), (0.06, 1, 0, 1), (0.07, 0, 1, 1), (0.04, 1, 1, 1))


def blur(a, sigma):
    return gaussian_filter(a, (sigma, sigma, 0), mode="nearest", truncate=3.5) if sigma > 0 else a


def noise(a, sigma, rng, grey=False):
    if sigma <= 0:
        return a
    n = rng.standard_normal(a.shape[:2] + (1 if grey else 3,), dtype=np.float32)
    return a + sigma * n


def to8(a):
    return np.clip(np.rint(a), 0, 255).astype(np.uint8)


def jpeg(a, quality, subsampling=2):
    """Encode and decode 8-bit RGB; subsampling as in Pillow (0: 4:4:4, 2: 4:2:0)."""
    f = io.BytesIO()
    Image.fromarray(to8(a)).save(f, "JPEG", quality=int(quality), subsampling=subsampling)
    return np.asarray(Image.open(f).convert("RGB"))


def condition(noise_sigma=0.0, quality=None, blur_sigma=0.0):
    """The three values of the network's damage input."""
    return np.array([noise_sigma / 50, 0 if quality is None else (100 - quality) / 100, blur_sigma / 3], np.float32)


def draw(rng, strength=1.0):
    """Random damage: (blur sigma, noise sigma, JPEG quality or None)."""
    mix = MIXES[rng.choice(len(MIXES), p=[m[0] for m in MIXES])]
    b = 0.2 + 2.8 * rng.random() ** 1.7 * strength if mix[1] else 0.0
    n = 1 + 49 * rng.random() ** 1.4 * strength if mix[2] else 0.0
    q = round(95 - 75 * rng.random() * strength) if mix[3] else None
    return b, n, q


def apply(a, rng, strength=1.0, jitter=0.1):
    """Damage the 8-bit picture a at random; returns the 8-bit result and its (jittered) condition."""
    b, n, q = draw(rng, strength)
    a = noise(blur(a.astype(np.float32), b), n, rng, grey=rng.random() < 0.2)
    a = to8(a) if q is None else jpeg(a, q, 2 if rng.random() < 0.6 else 0)
    return a, condition(n, q, b) * (1 + jitter * rng.standard_normal(3, dtype=np.float32))
