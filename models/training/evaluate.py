"""Score the exported (f16) weights: Markdown tables of PSNR-Y, SSIM-Y and NIQE, and pictures to look at."""
import argparse
import glob
import os

import numpy as np
import torch
from PIL import Image

import damage
import data
import detail
import export
import faithful
from metrics import niqe, psnr, ssim

CLEAN = damage.condition()


def show(x):
    """(1, 3, H, W) as an 8-bit picture."""
    return Image.fromarray(x[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy())


def picture(path):
    return Image.open(path).convert("RGB")


def tensor(img):
    return data.to_tensor(np.asarray(img)[None])


def pairs(root, name, s):
    """The given low-resolution files with their truths."""
    for lr in sorted(glob.glob(os.path.join(root, "bench", name, f"*_SRF_{s}_LR.png"))):
        yield picture(lr), picture(lr.replace("_LR", "_HR"))


def reduced(paths, s, change=lambda a, rng: a, limit=10000):
    """The middle of each truth reduced by s, then damaged; the seed is the picture's number."""
    for i, path in enumerate(paths):
        hr = picture(path)
        w, h = (min(v // s * s, limit) for v in hr.size)
        x, y = (hr.width - w) // 2, (hr.height - h) // 2
        hr = hr.crop((x, y, x + w, y + h))
        lr = np.asarray(data.reduce(hr, s) if s > 1 else hr)
        yield Image.fromarray(change(lr, np.random.default_rng(i))), hr


def mean(rows):
    return np.nanmean(np.array(rows, float), axis=0)


@torch.no_grad()
def enlarge(net, lr, s, cond):
    x = tensor(lr).contiguous(memory_format=torch.channels_last)
    return x, net(x, torch.from_numpy(cond)[None], s)


def compare(net, title, items, s, cond=CLEAN, out=None):
    """One table row: bicubic against the network."""
    rows = []
    for i, (lr, hr) in enumerate(items):
        x, y = enlarge(net, lr, s, cond)
        truth, base = tensor(hr), faithful.bicubic(x, s)
        rows.append([psnr(base, truth, s), psnr(y, truth, s), ssim(base, truth, s), ssim(y, truth, s)])
        if out and i == 0:
            wide = torch.cat((base, y, truth), 3)
            show(wide).save(os.path.join(out, title.translate(str.maketrans(" ", "-", ",()")) + ".png"))
    m = mean(rows)
    print(f"| {title} | {len(rows)} | {m[0]:.2f} | **{m[1]:.2f}** | {m[1] - m[0]:+.2f} | {m[2]:.4f} | {m[3]:.4f} |", flush=True)
    return rows


def score_faithful(net, root, out):
    print("| set | pictures | bicubic PSNR | faithful PSNR | gain | bicubic SSIM | faithful SSIM |\n|---|---|---|---|---|---|---|")
    set5 = compare(net, "Set5 x2", pairs(root, "set5", 2), 2, out=out)
    compare(net, "Set5 x4", pairs(root, "set5", 4), 4, out=out)
    compare(net, "Set14 x4", pairs(root, "set14", 4), 4)
    kodak = sorted(glob.glob(os.path.join(root, "bench/kodak/*.png")))
    compare(net, "Kodak x2", reduced(kodak, 2), 2)
    for s in (2, 1):
        limit, where = (10000, "Kodak x2") if s == 2 else (256, "Kodak x1 (middle 256 px)")
        row = lambda what, change, cond: compare(net, f"{where}, {what}", reduced(kodak, s, change, limit), s, cond, out)
        for sigma in (15, 25, 50):
            noisy = lambda a, rng: damage.to8(damage.noise(a.astype(np.float32), sigma, rng))
            row(f"noise {sigma}", noisy, damage.condition(sigma))
        for q in (40, 20):
            row(f"JPEG {q}", lambda a, _: damage.jpeg(a, q), damage.condition(quality=q))
        soft = lambda a, _: damage.to8(damage.blur(a.astype(np.float32), 1.5))
        row("blur 1.5", soft, damage.condition(blur_sigma=1.5))
    both = lambda a, rng: damage.jpeg(damage.noise(a.astype(np.float32), 10, rng), 50)
    compare(net, "Kodak x2, noise 10 and JPEG 50", reduced(kodak, 2, both), 2, damage.condition(10, 50), out)
    print("\nSet5 x2, each picture: " + ", ".join(f"{r[1]:.2f}" for r in set5))


def score_detail(base, net, root, out, s, steps, creativities, styles):
    """Set5 and the first Set14 pictures, then the middles of Kodak, reduced by s."""
    paths = sorted(glob.glob(os.path.join(root, f"bench/set5/*_SRF_{s}_HR.png")))
    paths += sorted(glob.glob(os.path.join(root, "bench/set14/*_HR.png")))[:4]
    score_set(base, net, root, out, s, steps, creativities, styles, f"Set5 and Set14 x{s}", reduced(paths, s))
    kodak = sorted(glob.glob(os.path.join(root, "bench/kodak/*.png")))
    score_set(base, net, root, out, s, steps, creativities, styles, f"Kodak (middle 384 px) x{s}", reduced(kodak, s, limit=384))


def score_set(base, net, root, out, s, steps, creativities, styles, title, items):
    rows = {}
    coarse = float(np.log2(s))
    for i, (lr, hr) in enumerate(items):
        x, cond = enlarge(base, lr, s, CLEAN)
        truth = tensor(hr)
        results = {"truth": truth, "bicubic": faithful.bicubic(x, s), "creativity 0 (faithful)": cond}
        for style, n in ((style, n) for style in styles for n in steps):
            r = net.sample(style, cond, coarse, n, torch.Generator().manual_seed(i))
            for c in creativities:
                results[f"{style}, creativity {c}, {n} steps"] = cond + c * detail.residual_scale(coarse) * r
        for k, y in results.items():
            d = (y.clamp(0, 1) - truth).mean((0, 2, 3)).mul(255)
            row = [np.nan, np.nan] if k == "truth" else [psnr(y, truth, s), ssim(y, truth, s)]
            rows.setdefault(k, []).append([*row, niqe(y, root), d.abs().max().item()])
            if out:
                show(y).save(os.path.join(out, f"{title} {i} {k}.png".translate(str.maketrans(" ", "-", ",()"))))
    print(f"\n| {title} | PSNR | SSIM | NIQE | largest colour shift (of 255) |\n|---|---|---|---|---|")
    for k, found in rows.items():
        m = mean([r[2:] for r in found]) if k == "truth" else mean(found)
        line = (f"{v:.{n}f}" for v, n in zip(m, (2, 3, 2, 2)))
        print(f"| {k} | " + (f"| | {m[0]:.2f} | |" if k == "truth" else " | ".join(line) + " |"), flush=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", default=os.environ.get("UPWEAVE_DATA"), help="folder with bench/ and weights/niqe")
    p.add_argument("--weights", default=os.path.join(here, "..", "weights"))
    p.add_argument("--only", choices=("faithful", "detail"))
    p.add_argument("--out", help="folder for pictures to look at")
    p.add_argument("--steps", type=int, nargs="+", default=[2], help="of the detail network; the program takes two")
    p.add_argument("--scales", type=int, nargs="+", default=[2, 4], help="of the detail network")
    p.add_argument("--styles", nargs="+", choices=detail.STYLES, default=["universal", "realism"], help="that the network is told")
    p.add_argument("--detail", help="detail.safetensors, if not that of --weights")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    if a.out:
        os.makedirs(a.out, exist_ok=True)
    base = faithful.from_state(export.load(os.path.join(a.weights, "faithful.safetensors"))).eval()
    base = base.to(memory_format=torch.channels_last)
    if a.only != "detail":
        score_faithful(base, a.data, a.out)
    if a.only != "faithful":
        net = detail.Networks(export.load(a.detail or os.path.join(a.weights, "detail.safetensors")))
        for s in a.scales:
            with torch.no_grad():
                score_detail(base, net, a.data, a.out, s, a.steps, (0.5, 1), a.styles)


if __name__ == "__main__":
    main()
