"""Draws sample.jpg: a still life that is all procedure and no photograph, rich in the textures that an upscaler
meets (bricks, leaves, wood grain, weave, wool, stone, hair-thin stalks, lettering). Same seed, same picture.

    pip install numpy pillow && python sample.py [sample.png] [seed]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, OVER = 640, 426, 3  # drawn OVER times as large, then reduced: edges come out as a lens would give them
W, H = WIDTH * OVER, HEIGHT * OVER
LIGHT = np.array([-0.52, -0.62, 0.59])


def blur(a, radius):
    """Three box blurs: as good as a Gaussian. Works on a plane or on planes stacked last."""
    r = max(int(radius), 1)
    for axis in (0, 1):
        for _ in range(3):
            pad = [(0, 0)] * a.ndim
            pad[axis] = (r + 1, r)
            c = np.cumsum(np.pad(a, pad, mode="edge"), axis=axis, dtype=np.float64)
            n = a.shape[axis]
            a = ((np.take(c, range(2 * r + 1, 2 * r + 1 + n), axis) - np.take(c, range(n), axis)) / (2 * r + 1)).astype(np.float32)
    return a


def resized(a, w, h):
    return np.asarray(Image.fromarray(a.astype(np.float32), "F").resize((w, h), Image.Resampling.BICUBIC))


def noise(rng, h, w, cell, stretch=1.0, octaves=5, decay=0.55):
    """Smooth noise of several octaves, about -1 to 1; `cell` is the size of its largest bumps, `stretch` their width."""
    out, gain = np.zeros((h, w), np.float32), 1.0
    for _ in range(octaves):
        gh, gw = max(int(h / cell) + 3, 3), max(int(w / (cell * stretch)) + 3, 3)
        out += gain * resized(rng.uniform(-1, 1, (gh, gw)), int(gw * cell * stretch) + 1, int(gh * cell) + 1)[:h, :w]
        gain, cell = gain * decay, cell / 2
        if cell < 1.2:
            break
    return out


def smooth(a, low, high):
    t = np.clip((a - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, t):
    return a + (b - a) * np.asarray(t)[..., None]


def lit(albedo, height, relief=1.0, gloss=0.0, shine=20, ambient=0.42):
    """Colour of a surface from its height field, with the lamp at the upper left."""
    gy, gx = np.gradient(height * relief)
    length = np.sqrt(gx * gx + gy * gy + 1)
    n = np.stack([-gx, -gy, np.ones_like(gx)], -1) / length[..., None]
    diffuse = np.clip(n @ LIGHT, 0, None)[..., None]
    half = LIGHT + np.array([0, 0, 1])
    spec = np.clip(n @ (half / np.linalg.norm(half)), 0, 1)[..., None] ** shine
    return albedo * (ambient * np.array([0.92, 0.97, 1.1]) + 1.05 * diffuse * np.array([1.06, 1.0, 0.9])) + gloss * spec


class Canvas:
    def __init__(self):
        self.rgb = np.zeros((H, W, 3), np.float32)

    def put(self, rgb, alpha, x, y, shadow=0.0, far=8, soft=6):
        """Lays a piece over the picture, with the shadow that it throws."""
        if shadow:
            m = 3 * soft + 2
            dark = blur(np.pad(alpha.astype(np.float32), m), soft)
            self._over(np.zeros(dark.shape + (3,), np.float32), shadow * dark, x - m + far, y - m + int(far * 1.2))
        self._over(rgb, alpha, x, y)

    def _over(self, rgb, alpha, x, y):
        h, w = alpha.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, W), min(y + h, H)
        if x0 < x1 and y0 < y1:
            a = alpha[y0 - y : y1 - y, x0 - x : x1 - x, None]
            part = self.rgb[y0:y1, x0:x1]
            part += (rgb[y0 - y : y1 - y, x0 - x : x1 - x] - part) * a


def colour(*rgb):
    return np.array(rgb, np.float32) / 255


def wall(rng):
    bw, bh, gap = 226, 76, 11
    wobble_x, wobble_y = noise(rng, H, W, 60) * 3, noise(rng, H, W, 60) * 3
    yy, xx = np.mgrid[0:H, 0:W].astype(np.float32)
    xx, yy = xx + wobble_x, yy + wobble_y + 30
    row = np.floor(yy / bh).astype(int)
    sx = xx + (row % 2) * bw / 2 + 40
    col = np.floor(sx / bw).astype(int)
    u, v = sx - col * bw, yy - row * bh
    dx, dy = np.minimum(u, bw - u) - gap / 2, np.minimum(v, bh - v) - gap / 2
    inside = np.minimum(dx, dy) + noise(rng, H, W, 14) * 2.2
    corner = (dx < 9) & (dy < 9)
    inside = np.where(corner, 9 - np.hypot(9 - dx, 9 - dy) + noise(rng, H, W, 14) * 1.5, inside)
    brick = smooth(inside, -1.5, 2.5)
    key = (row * 7919 + col * 104729) % 997
    table = rng.random((997, 4)).astype(np.float32)
    shade = table[key]
    clay = mix(mix(colour(142, 66, 48)[None, None], colour(186, 108, 76), shade[..., 0]), colour(104, 58, 52), 0.6 * (shade[..., 1] > 0.72))
    clay = clay * (0.82 + 0.36 * shade[..., 2:3])
    clay = clay * (1 + 0.13 * noise(rng, H, W, 9)[..., None]) + 0.035 * noise(rng, H, W, 90)[..., None]
    pits = noise(rng, H, W, 7, octaves=3) + 0.5 * noise(rng, H, W, 40)
    clay = mix(clay, clay * 0.55, smooth(pits, 0.85, 1.25))
    lime = smooth(noise(rng, H, W, 45) + 0.35 * noise(rng, H, W, 5), 0.75, 1.5) * 0.55
    clay = mix(clay, colour(206, 190, 172), lime)
    mortar = colour(164, 154, 140) * (1 + 0.17 * noise(rng, H, W, 4, octaves=2) + 0.1 * noise(rng, H, W, 50))[..., None]
    height = brick * 8 + noise(rng, H, W, 18, octaves=4) * 2.0 * brick - 3.0 * smooth(pits, 0.8, 1.3) * brick + noise(rng, H, W, 5, octaves=2) * 0.9
    rgb = lit(mix(mortar, clay, brick), height, 0.42)
    ys, xs = np.mgrid[0:H, 0:W] / np.array([H, W]).reshape(2, 1, 1)
    return rgb * (1.18 - 0.55 * np.hypot(xs - 0.32, (ys - 0.25) * 1.1))[..., None]


def table(rng, top):
    h = H - top
    yy, xx = np.mgrid[0:h, 0:W].astype(np.float32)
    depth = (yy / h) ** 0.8
    plank = np.floor(depth * 4 + 0.06).astype(int)
    seam = np.abs((depth * 4 + 0.06) % 1)
    seam = np.minimum(seam, 1 - seam) * h / 4
    grain, fine = np.zeros((h, W), np.float32), np.zeros((h, W), np.float32)
    for p in range(5):
        flow = noise(rng, h, W, 46, 9) * 16
        for _ in range(2):
            kx, ky, r = rng.uniform(0, W), rng.uniform(0, h), rng.uniform(18, 34)
            flow += 60 * np.exp(-(((xx - kx) / (r * 2.6)) ** 2 + ((yy - ky) / r) ** 2))
        rings = np.sin((yy * 0.34 + flow) * 0.62 + noise(rng, h, W, 12, 14) * 1.2)
        hair = noise(rng, h, W, 5, 34, octaves=3)
        where = plank == p
        grain[where], fine[where] = rings[where], hair[where]
    tint = rng.uniform(-0.08, 0.08, 6)[plank]
    wood = mix(colour(150, 104, 66)[None, None], colour(88, 54, 32), smooth(grain, -0.2, 0.95) * 0.65)
    wood = wood * (1.0 + tint + 0.14 * fine)[..., None]
    scratches = Image.new("L", (W, h))
    pen = ImageDraw.Draw(scratches)
    for _ in range(26):
        x, y, a, n = rng.uniform(0, W), rng.uniform(0, h), rng.uniform(-0.5, 0.5), rng.uniform(30, 150)
        pen.line([x, y, x + n * np.cos(a), y + n * np.sin(a) * 0.4], fill=int(rng.uniform(40, 110)), width=2)
    wood = mix(wood, colour(190, 150, 112), np.asarray(scratches) / 255)
    height = fine * 0.8 - smooth(grain, 0.2, 1.0) * 0.9 - 7 * np.exp(-seam / 3.0)
    rgb = lit(wood, height, 0.5, gloss=0.05, shine=9)
    rgb *= (1 - 0.65 * np.exp(-seam / 2.2))[..., None]
    return rgb * (0.72 + 0.42 * smooth(yy / h, 0, 0.5) - 0.2 * (xx / W - 0.3))[..., None]


def leaf(rng, length, angle, dry=0.0):
    r = int(length * 0.62)
    yy, xx = np.mgrid[-r : r + 1, -r : r + 1].astype(np.float32)
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * xx + s * yy) / length + 0.5, (-s * xx + c * yy) / length
    v = v + 0.05 * rng.uniform(-1, 1) * np.sin(np.pi * u)
    uu = np.clip(u, 0, 1)
    wide = rng.uniform(0.26, 0.36) * np.sin(np.pi * uu**0.62) ** 0.85 * (1 - 0.25 * uu)
    saw = ((u * 15) % 1) * 0.018
    edge = (wide - saw - np.abs(v)) * length
    edge = np.where((u < 0) | (u > 1), -9, edge)
    alpha = smooth(edge, -1.2, 1.2)
    slant = u - np.abs(v) * 0.85
    side = np.abs(((slant * 8.5) % 1) - 0.5) * 2
    vein = np.maximum(smooth(0.012 - np.abs(v) + 0.008 * (1 - uu), -0.004, 0.010), 0.75 * smooth(side, 0.86, 0.98) * (np.abs(v) > 0.004))
    net = noise(rng, 2 * r + 1, 2 * r + 1, 10, octaves=3)
    greens = [colour(58, 98, 40), colour(86, 124, 46), colour(44, 82, 46), colour(112, 138, 60)]
    base = greens[rng.integers(4)] * rng.uniform(0.85, 1.15)
    body = mix(np.broadcast_to(base, xx.shape + (3,)), colour(168, 148, 66), np.clip(dry * smooth(net + 2.2 * np.abs(v) / 0.3, 0.2, 1.6), 0, 1))
    body = body * (1 + 0.12 * net)[..., None]
    body = mix(body, colour(176, 190, 120), vein * 0.65)
    spots = smooth(noise(rng, 2 * r + 1, 2 * r + 1, 8, octaves=2), 1.05, 1.2)
    body = mix(body, colour(96, 66, 34), spots * 0.7)
    bend = rng.uniform(-1, 1)
    height = length * (0.34 * np.abs(v) * (1 if rng.random() < 0.6 else -0.7) + bend * 0.16 * (u - 0.5) ** 2) - vein * 3 + net * 0.9
    height += 1.6 * np.cos(slant * 8.5 * 2 * np.pi)
    return lit(body, height, 0.55, gloss=0.20, shine=16), alpha, r


def foliage(rng, canvas):
    def cluster(points, size, dry):
        leaves = [(x + rng.normal(0, 34), y + rng.normal(0, 30)) for x, y in points for _ in range(3)]
        leaves.sort(key=lambda p: p[1] + rng.normal(0, 60))
        for x, y in leaves:
            rgb, alpha, r = leaf(rng, rng.uniform(0.72, 1.2) * size, rng.normal(1.3, 0.75), dry)
            canvas.put(rgb, alpha, int(x) - r, int(y) - r, 0.5, 13, 7)

    t = np.linspace(0, 1, 20)
    stem = Image.new("L", (W, H))
    pen = ImageDraw.Draw(stem)
    vines = [
        [(-30 + 760 * a, 36 + 34 * np.sin(a * 5)) for a in t],
        [(96 + 36 * np.sin(a * 6), 20 + 560 * a) for a in t],
        [(330 + 40 * np.sin(a * 4 + 1), 30 + 300 * a) for a in t],
        [(1500 + 420 * a, 6 + 26 * np.sin(a * 7)) for a in t],
    ]
    for vine in vines:
        pen.line(vine, fill=255, width=9, joint="curve")
    a = np.asarray(stem, np.float32) / 255
    bark = colour(92, 70, 48) * (1 + 0.3 * noise(rng, H, W, 6, octaves=2))[..., None]
    canvas.put(lit(bark, blur(a, 3) * 6), a, 0, 0, 0.5, 14, 6)
    for vine, size, dry in zip(vines, (112, 120, 96, 92), (0.25, 0.3, 0.4, 0.6)):
        cluster(vine, size, dry)


def sign(rng, canvas, x, y):
    w, h = 560, 300
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    d = np.minimum(np.minimum(xx, w - 1 - xx), np.minimum(yy, h - 1 - yy))
    cx, cy = np.clip(34 - xx, 0, None) + np.clip(xx - (w - 35), 0, None), np.clip(34 - yy, 0, None) + np.clip(yy - (h - 35), 0, None)
    d = np.where((cx > 0) & (cy > 0), 34 - np.hypot(cx, cy), d)
    alpha = smooth(d, -1, 1.5)
    ink = Image.new("L", (w, h))
    pen = ImageDraw.Draw(ink)
    pen.rounded_rectangle([16, 16, w - 17, h - 17], 24, outline=255, width=5)
    for text, size, at in (("UPWEAVE", 96, 92), ("WOOL & LINEN MERCHANTS", 32, 166), ("Est. 1897  -  No. 27 Mill Lane", 29, 210), ("Finest threads, woven to order", 21, 250)):
        pen.text((w / 2, at), text, fill=255, font=ImageFont.load_default(size), anchor="mm")
    lettering = np.asarray(ink, np.float32) / 255
    enamel = mix(np.broadcast_to(colour(28, 62, 92), (h, w, 3)), colour(236, 228, 204), lettering)
    enamel = enamel * (1 + 0.05 * noise(rng, h, w, 40))[..., None]
    wear = noise(rng, h, w, 50) + 0.5 * noise(rng, h, w, 8)
    rust = np.clip(smooth(wear - d / 46, 0.12, 0.45) + smooth(wear, 1.55, 1.8), 0, 1)
    rusty = mix(np.broadcast_to(colour(112, 58, 30), (h, w, 3)), colour(58, 34, 26), smooth(noise(rng, h, w, 9), -0.5, 0.8))
    height = 7 * smooth(d, 0, 12) - rust * 2.4 + rust * noise(rng, h, w, 6, octaves=2) * 1.8 + lettering * 0.7
    for rx, ry in ((40, 40), (w - 41, 40), (40, h - 41), (w - 41, h - 41)):
        r = np.hypot(xx - rx, yy - ry)
        height += 8 * np.sqrt(np.clip(1 - (r / 11) ** 2, 0, 1))
        enamel = mix(enamel, colour(150, 146, 138), r < 11)
    canvas.put(lit(mix(enamel, rusty, rust), height, 0.5, gloss=0.16, shine=10), alpha, x, y, 0.6, 16, 10)


def stone(rng, r, flat):
    n = int(r * 1.3)
    yy, xx = np.mgrid[-n : n + 1, -n : n + 1].astype(np.float32)
    a = np.arctan2(yy / flat, xx)
    wob = sum(rng.normal(0, 0.035) * np.cos(k * a + rng.uniform(0, 6.3)) for k in range(2, 6))
    d = np.hypot(xx, yy / flat) / (r * (1 + wob))
    alpha = smooth(1 - d, -0.012, 0.012)
    dome = np.sqrt(np.clip(1 - d**2.3, 0, 1)) * r * 0.75
    size = 2 * n + 1
    kind = rng.integers(3)
    base = [colour(138, 132, 124), colour(108, 104, 106), colour(164, 146, 124)][kind] * rng.uniform(0.8, 1.12)
    rock = np.broadcast_to(base, (size, size, 3)) * (1 + 0.16 * noise(rng, size, size, 30))[..., None]
    grit = noise(rng, size, size, 5, octaves=2)
    rock = mix(rock, colour(46, 44, 46), smooth(grit, 0.55, 0.9) * 0.75)
    rock = mix(rock, colour(226, 220, 208), smooth(-grit, 0.6, 0.95) * 0.7)
    if kind != 1:
        band = np.sin(0.16 * (xx * rng.uniform(-0.5, 0.5) + yy) + 2 * noise(rng, size, size, 40))
        rock = mix(rock, colour(206, 196, 178), smooth(band, 0.7, 0.95) * 0.5)
    height = dome + noise(rng, size, size, 26) * 2.5 + grit * 0.8
    return lit(rock, height, 0.62, gloss=0.06, ambient=0.36), alpha, n


def stones(rng, canvas, spots):
    for x, y, r, flat in spots:
        rgb, alpha, n = stone(rng, r, flat)
        canvas.put(rgb, alpha, x - n, y - n, 0.62, int(r * 0.16), int(r * 0.16))


def cloth(rng, canvas, x, y, w, h):
    """A woven tartan with folds and a fringe."""
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    folds = 34 * np.sin(xx / 96 + 1.4 * np.sin(yy / 190)) + 18 * np.sin(xx / 41 + yy / 130 + 1) + 12 * noise(rng, h, w, 150, octaves=3)
    u, v = xx + 0.55 * folds + 0.12 * yy, yy + 0.30 * folds - 0.05 * xx
    thread = 10.5
    i, j = np.floor(u / thread).astype(int), np.floor(v / thread).astype(int)
    fu, fv = u / thread - i - 0.5, v / thread - j - 0.5
    set_ = np.array([0] * 10 + [1] * 4 + [2] * 2 + [1] * 4 + [0] * 4 + [3] * 2 + [0] * 4)
    dyes = np.stack([colour(140, 34, 38), colour(30, 46, 72), colour(226, 206, 164), colour(206, 152, 54)])
    warp_up = ((i + j) % 4) < 2
    pick = np.where(warp_up, set_[i % len(set_)], set_[j % len(set_)])
    tone = rng.uniform(0.86, 1.14, 4096).astype(np.float32)
    wool = dyes[pick] * tone[np.where(warp_up, i * 31, j * 17 + 999) % 4096][..., None]
    across = np.where(warp_up, fu, fv)
    along = np.where(warp_up, v, u)
    twist = 0.5 + 0.5 * np.sin(along * 1.15 + across * 7)
    wool = wool * (0.8 + 0.3 * twist + 0.10 * noise(rng, h, w, 4, octaves=2))[..., None]
    height = 0.75 * folds + 4.2 * np.sqrt(np.clip(1 - (2.1 * across) ** 2, 0, 1)) + twist
    rgb = lit(wool, height, 0.42, ambient=0.36) * (0.86 + 0.012 * folds)[..., None]
    top = 26 + 15 * np.sin(xx / 120 + 0.4) + 9 * np.sin(xx / 37)
    right = w - 60 + 16 * np.sin(yy / 66 + 1) - 0.10 * yy
    alpha = smooth(yy - top, -1.5, 1.5) * smooth(right - xx, -1.5, 1.5)
    canvas.put(rgb, alpha, x, y, 0.6, 12, 10)
    pen_a = Image.new("RGBA", (W, H))
    pen = ImageDraw.Draw(pen_a)
    for k in range(0, h, 6):
        px, py, a = float(right[k, 0]) + x - 2, k + y, rng.normal(0.12, 0.3)
        c = dyes[set_[int(k / thread) % len(set_)]] * rng.uniform(0.75, 1.3) * 255
        pts = []
        for t in np.linspace(0, 1, 9):
            pts.append((px + 62 * t, py + 62 * t * a + 16 * t * t))
            a += rng.normal(0, 0.09)
        if py > y + float(top[0, min(int(px - x), w - 1)]) + 4:
            pen.line(pts, fill=tuple(np.clip(c, 0, 255).astype(int)) + (255,), width=4)
    fringe = np.asarray(pen_a, np.float32) / 255
    canvas.put(fringe[..., :3], fringe[..., 3], 0, 0, 0.4, 6, 4)


def yarn(rng, canvas, cx, cy, r, dye):
    """A ball of wool: strands wound around a sphere, each with its twist, and fuzz that stands off."""
    size = int(r * 2.5)
    layer = np.zeros((size, size, 3), np.float32)
    alpha = np.zeros((size, size), np.float32)
    m = size / 2
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    nx, ny = (xx - m) / r, (yy - m) / r
    rr = nx * nx + ny * ny
    nz = np.sqrt(np.clip(1 - rr, 0, 1))
    alpha = smooth(1 - np.sqrt(rr), -0.008, 0.012)
    colour_ = np.broadcast_to(dye * 0.35, (size, size, 3)).copy()
    height = nz * r * 0.9
    n = np.stack([nx, ny, nz], -1)
    for wind in range(9):
        axis = rng.normal(0, 1, 3)
        axis /= np.linalg.norm(axis)
        along = n @ axis
        off = rng.uniform(-0.5, 0.5)
        band = smooth(0.20 - np.abs(along - off * 0.8), 0, 0.02) if wind else np.ones_like(rr)
        other = np.cross(axis, [0.3, 0.5, 0.81])
        other /= np.linalg.norm(other)
        turn = np.arctan2(n @ np.cross(axis, other), n @ other)
        strand = along * 17 + 0.22 * np.sin(3 * turn + wind)
        f = strand - np.floor(strand) - 0.5
        ply = 0.5 + 0.5 * np.sin(turn * 58 + f * 8)
        fibre = 0.5 + 0.5 * np.sin(turn * 190 + f * 30 + 3 * noise(rng, size, size, 10, octaves=2))
        tone = rng.uniform(0.85, 1.15, 64)[np.floor(strand).astype(int) % 64]
        c = dye * ((0.66 + 0.26 * ply + 0.16 * fibre) * tone)[..., None]
        prof = np.sqrt(np.clip(1 - (2 * f) ** 2, 0, 1))
        c = c * (0.35 + 0.65 * prof)[..., None]
        colour_ = mix(colour_, c, band)
        height = height * (1 - band) + band * (nz * r * 0.9 + 7 * prof + 2 * ply + 0.5 * wind)
    layer = lit(colour_, height, 0.55, ambient=0.34)
    layer *= (0.55 + 0.5 * smooth(nz, 0, 0.75))[..., None]
    canvas.put(layer, alpha, int(cx - m), int(cy - m), 0.65, int(r * 0.13), int(r * 0.15))
    fuzz = Image.new("RGBA", (W, H))
    pen = ImageDraw.Draw(fuzz)
    for _ in range(520):
        a, q = rng.uniform(0, 2 * np.pi), r * rng.uniform(0.55, 0.995)
        x, y, d = cx + q * np.cos(a), cy + q * np.sin(a), a + rng.normal(0, 0.9)
        pts = [(x, y)]
        for _ in range(6):
            x, y, d = x + 4.2 * np.cos(d), y + 4.2 * np.sin(d), d + rng.normal(0, 0.45)
            pts.append((x, y))
        c = np.clip(dye * rng.uniform(0.9, 1.7) * 255, 0, 255).astype(int)
        pen.line(pts, fill=tuple(c) + (int(rng.uniform(60, 170)),), width=1 + int(rng.random() < 0.35))
    f = np.asarray(fuzz, np.float32) / 255
    canvas.put(f[..., :3], f[..., 3], 0, 0)


def tail(rng, canvas, points, dye):
    """A loose end of yarn along a curve."""
    image = Image.new("RGBA", (W, H))
    pen = ImageDraw.Draw(image)
    t = np.linspace(0, 1, 420)
    p = np.array(points, float)
    c = [sum(k * p[i, d] for i, k in enumerate(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3))) for d in (0, 1)]
    gx, gy = np.gradient(c[0]), np.gradient(c[1])
    g = np.hypot(gx, gy)
    nx, ny = -gy / g, gx / g
    for o in np.linspace(-7, 7, 15):
        for k in range(0, len(t) - 1):
            s = 0.5 + 0.5 * np.sin(k * 0.55 + o * 0.5)
            shade = (0.42 + 0.6 * s) * np.sqrt(max(1 - (o / 8) ** 2, 0.05)) * (1 - 0.02 * o)
            pen.line([c[0][k] + nx[k] * o, c[1][k] + ny[k] * o, c[0][k + 1] + nx[k + 1] * o, c[1][k + 1] + ny[k + 1] * o], fill=tuple(np.clip(dye * shade * 285, 0, 255).astype(int)) + (255,), width=2)
    a = np.asarray(image, np.float32) / 255
    canvas.put(a[..., :3], a[..., 3], 0, 0, 0.6, 6, 4)


def pot(rng, canvas, x, y, w, h):
    """A glazed pot with dry grasses."""
    stalks = Image.new("RGBA", (W, H))
    pen = ImageDraw.Draw(stalks)
    straw = [colour(196, 164, 98), colour(164, 128, 70), colour(216, 190, 130), colour(120, 112, 58)]
    for k in range(150):
        px, py = x + w / 2 + rng.normal(0, w * 0.16), y + 24.0
        a, bend = -np.pi / 2 + rng.normal(0, 0.30), rng.normal(0, 0.010)
        n = int(rng.uniform(26, 62))
        pts = [(px, py)]
        for _ in range(n):
            a += bend + rng.normal(0, 0.006)
            px, py = px + 9 * np.cos(a), py + 9 * np.sin(a)
            pts.append((px, py))
        c = np.clip(straw[rng.integers(4)] * rng.uniform(0.6, 1.15) * 255, 0, 255).astype(int)
        pen.line(pts, fill=tuple(c) + (255,), width=int(rng.choice([1, 2, 3, 4])), joint="curve")
        if k % 5 == 0:  # an ear of grain with its awns
            for q in range(16):
                i = len(pts) - 1 - q
                if i < 2:
                    break
                ex, ey = pts[i]
                da = np.arctan2(pts[i][1] - pts[i - 1][1], pts[i][0] - pts[i - 1][0])
                for side in (-1, 1):
                    b = da + side * 0.45
                    kx, ky = ex + 7 * np.cos(b), ey + 7 * np.sin(b)
                    g = np.clip(straw[2] * rng.uniform(0.7, 1.15) * 255, 0, 255).astype(int)
                    pen.line([ex, ey, kx + 9 * np.cos(b), ky + 9 * np.sin(b)], fill=tuple(g) + (255,), width=7)
                    e = da + side * rng.uniform(0.1, 0.3)
                    pen.line([kx, ky, kx + 62 * np.cos(e), ky + 62 * np.sin(e)], fill=tuple(g) + (210,), width=1)
    s = np.asarray(stalks, np.float32) / 255
    canvas.put(s[..., :3], s[..., 3], 0, 0, 0.42, 26, 9)
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    t = yy / h
    half = w * (0.33 + 0.17 * np.sin(np.pi * (t * 0.86 + 0.10)) ** 1.3 + 0.05 * smooth(0.10 - t, 0, 0.05))
    q = (xx - w / 2) / half
    curve = yy - 12 * np.sqrt(np.clip(1 - q * q, 0, 1))
    alpha = smooth(1 - np.abs(q), -0.006, 0.01) * smooth(t, 0.0, 0.01) * smooth(h - 14 + 13 * np.sqrt(np.clip(1 - q * q, 0, 1)) - yy, -1, 1.5)
    around = np.arcsin(np.clip(q, -1, 1))
    clay = np.broadcast_to(colour(208, 196, 172), (h, w, 3)) * (1 + 0.05 * noise(rng, h, w, 30) + 0.06 * noise(rng, h, w, 4, octaves=2))[..., None]
    band = lambda lo, hi: smooth(curve / h - lo, -0.006, 0.006) * smooth(hi - curve / h, -0.006, 0.006)
    blue = colour(36, 74, 120) * (1 + 0.14 * noise(rng, h, w, 14))[..., None]
    clay = mix(clay, blue, np.maximum.reduce([band(0.14, 0.17), band(0.20, 0.21), band(0.70, 0.73), band(0.76, 0.77)]))
    zig = np.abs(((around * 5.2 / np.pi * 2) % 1) - 0.5) * 2
    row = (curve / h - 0.28) / 0.36
    clay = mix(clay, blue, smooth(0.09 - np.abs(zig - row), -0.02, 0.02) * band(0.27, 0.65))
    dots = np.hypot(((around * 5.2 / np.pi * 2 + 0.5) % 1 - 0.5) * 62, (row - 0.30) * h * 0.36)
    clay = mix(clay, colour(172, 74, 42), smooth(10 - dots, -1.5, 1.5))
    crack = np.abs(noise(rng, h, w, 34, octaves=3))
    clay = mix(clay, clay * 0.72, smooth(0.035 - crack, 0, 0.03))
    height = np.sqrt(np.clip(1 - q * q, 0, 1)) * half * 0.95 + noise(rng, h, w, 60) * 2 + 0.5 * noise(rng, h, w, 5, octaves=2)
    rgb = lit(clay, height, 0.55, gloss=0.5, shine=42, ambient=0.38)
    canvas.put(rgb, alpha, x, y, 0.6, 30, 22)
    rim = Image.new("L", (W, H))
    cx, rw = x + w / 2, w * 0.37
    ImageDraw.Draw(rim).ellipse([cx - rw, y - 10, cx + rw, y + 16], fill=255)
    a = np.asarray(rim, np.float32) / 255
    return a


def draw(seed=27):
    rng = np.random.default_rng(seed)
    canvas = Canvas()
    canvas.rgb[:] = wall(rng)
    sign(rng, canvas, 690, 190)
    foliage(rng, canvas)
    top = 842
    canvas.rgb[top - 26 : top] *= np.linspace(1, 0.42, 26)[:, None, None]
    canvas.put(table(rng, top), np.ones((H - top, W), np.float32), 0, top)
    pot(rng, canvas, 1360, 560, 330, 400)
    stones(rng, canvas, [(1722, 972, 84, 0.72), (1862, 1018, 104, 0.66), (1772, 1088, 66, 0.70), (1640, 1060, 46, 0.72), (1846, 1160, 58, 0.7), (1700, 1170, 38, 0.75), (1580, 1146, 30, 0.72)])
    cloth(rng, canvas, -30, 930, 900, 380)
    stones(rng, canvas, [(1330, 1190, 40, 0.7), (1404, 1128, 24, 0.7)])
    yarn(rng, canvas, 1010, 960, 172, colour(214, 150, 46))
    yarn(rng, canvas, 716, 902, 138, colour(52, 110, 118))
    tail(rng, canvas, [(1150, 1060), (1420, 1010), (1120, 1290), (1500, 1230)], colour(214, 150, 46))
    ys, xs = np.mgrid[0:H, 0:W] / np.array([H, W]).reshape(2, 1, 1)
    rgb = canvas.rgb * (1.10 - 0.42 * np.hypot(xs - 0.45, ys - 0.45) ** 2)[..., None]
    rgb = np.clip(rgb, 0, None)
    rgb = rgb * (1 + rgb / 3.2) / (1 + rgb)  # film shoulder
    rgb = np.clip(rgb * 1.42, 0, 1) ** 0.94
    small = rgb.reshape(HEIGHT, OVER, WIDTH, OVER, 3).mean((1, 3))
    return Image.fromarray((np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8))


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 27
    out = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).with_name("sample.jpg"))
    draw(seed).save(out, **({"quality": 92, "subsampling": 0} if out.endswith("jpg") else {}))
