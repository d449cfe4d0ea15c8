"""Do the styles differ, and each in its own direction? Tables from the exported weights, and a contact sheet.

Each style gets a model like NIQE's, a Gaussian of local statistics fitted to pictures of that style that were not trained on
(`python -m styles.render --seed 2` over other photographs); the outputs of all styles are held against all models.
"""
import argparse
import glob
import os

import numpy as np
import torch

import data
import detail
import export
import faithful
import metrics
from evaluate import enlarge, picture, show, tensor
from damage import condition

TYPES = detail.STYLES
SIDE = 384


def outputs(base, net, img, s, steps, creativity, seed, again):
    """The picture reduced by s and enlarged in every style; `again` samples over the coarser condition, as the program
    does at creativity 1."""
    lr = data.reduce(img, s)
    _, y = enlarge(base, lr, s, condition())
    coarse, cond = float(np.log2(s)), y
    if again:
        coarse, (_, cond) = 2.0, enlarge(base, data.reduce(show(y), 2), 2, condition())
    out = {"faithful": y}
    for style in TYPES:
        r = detail.residual_scale(coarse) * net.sample(style, cond, coarse, steps, torch.Generator().manual_seed(seed))
        out[style] = (y + creativity * (r + cond - y)).clamp(0, 1)
    return out


def middle(path, side):
    img = picture(path)
    x, y = (max(0, v - side) // 2 for v in img.size)
    return img.crop((x, y, min(img.width, x + side), min(img.height, y + side)))


def models(styles, photos, window):
    """Mean and covariance by style; universal is all of them, half of it photographs."""
    of = lambda paths: np.concatenate([metrics.features(tensor(picture(p)), window) for p in paths])
    found = {k: of(sorted(glob.glob(os.path.join(styles, k, "*.png")))) for k in ("anime", "impasto", "watercolor")}
    share = min(map(len, found.values()))
    photographs = of(photos)
    mixed = [photographs[:: max(1, len(photographs) // (3 * share))], *(f[:share] for f in found.values())]
    found |= {"realism": photographs, "universal": np.concatenate(mixed)}
    return {k: (found[k].mean(0), np.cov(found[k], rowvar=False)) for k in TYPES}


@torch.no_grad()
def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", default=os.environ.get("UPWEAVE_DATA"), help="folder with train/cid22, bench/kodak, weights/niqe")
    p.add_argument("--styles", help="folder of rendered pictures with another seed; without it only the differences are told")
    p.add_argument("--weights", default=os.path.join(here, "..", "weights"))
    p.add_argument("--detail", help="detail.safetensors, if not that of --weights")
    p.add_argument("--photos", type=int, default=6, help="of Kodak")
    p.add_argument("--scale", type=int, default=2)
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--creativity", type=float, default=1.0)
    p.add_argument("--again", action="store_true", help="the coarser condition of creativity 1")
    p.add_argument("--out", help="contact sheet")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    last = dict(memory_format=torch.channels_last)
    base = faithful.from_state(export.load(os.path.join(a.weights, "faithful.safetensors"))).to(**last).eval()
    net = detail.Networks(export.load(a.detail or os.path.join(a.weights, "detail.safetensors")))
    pristine, covariance, window = metrics.pristine(a.data)

    made = {k: [] for k in TYPES}
    rows, apart = [], np.zeros((len(TYPES), len(TYPES)))
    shifts, niqes, added = (dict.fromkeys(TYPES, 0.0) for _ in range(3))
    for i, path in enumerate(sorted(glob.glob(os.path.join(a.data, "bench/kodak/*.png")))[: a.photos]):
        out = outputs(base, net, middle(path, SIDE), a.scale, a.steps, a.creativity, i, a.again)
        rows.append(torch.cat(list(out.values()), 3))
        for j, k in enumerate(TYPES):
            made[k].append(metrics.features(out[k], window))
            niqes[k] += metrics.distance(pristine, covariance, made[k][-1]) / a.photos
            added[k] += 255 * (out[k] - out["faithful"]).square().mean().sqrt().item() / a.photos
            apart[j] += [255 * (out[k] - out[o]).square().mean().sqrt().item() / a.photos for o in TYPES]
            shifts[k] = max(shifts[k], 255 * (out[k] - out["faithful"]).mean((2, 3)).abs().max().item())
    if a.out:
        show(torch.cat(rows, 2)).save(a.out)
    print("Root mean square difference between outputs (of 255) and from the faithful picture, largest shift of a channel's mean, NIQE\n")
    print("| | " + " | ".join(TYPES) + " | faithful | shift | NIQE |\n|" + "---|" * (len(TYPES) + 4))
    for j, k in enumerate(TYPES):
        print(f"| {k} | " + " | ".join(f"{v:.1f}" for v in apart[j]) + f" | {added[k]:.1f} | {shifts[k]:.2f} | {niqes[k]:.2f} |")
    if a.styles:
        fitted = models(a.styles, sorted(glob.glob(os.path.join(a.data, "train/cid22/[0-9]*.png"))), window)
        print("\nDistance of the outputs of a style (column) to the statistics of a style (row)\n")
        print("| | " + " | ".join(TYPES) + " |\n|" + "---|" * (len(TYPES) + 1))
        for k in TYPES:
            d = [metrics.distance(*fitted[k], np.concatenate(made[o])) for o in TYPES]
            print(f"| {k} | " + " | ".join(f"**{v:.2f}**" if v == min(d) else f"{v:.2f}" for v in d) + " |")


if __name__ == "__main__":
    main()
