"""Train the faithful network. The schedule follows the clock, so a busy machine only costs steps."""
import argparse
import copy
import glob
import math
import os
import time

import numpy as np
import torch

import data
import export
from faithful import Faithful, bicubic
from metrics import psnr
from muon import Muon

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
#     scale: (input crop, batch, share in the first half, share in the second, damaged at start, at end)
BATCHES = {2: (36, 12, 0.66, 0.76, 0.25, 0.12), 4: (26, 12, 0.21, 0.14, 0.25, 0.12), 1: (32, 12, 0.13, 0.10, 1.0, 1.0)}


def loss_of(y, truth):
    d = y - truth
    return d.abs().mean() + 2 * (d * LUMA).sum(1).abs().mean()


@torch.no_grad()
def set5(net, root, s):
    scores = []
    for lr in sorted(glob.glob(os.path.join(root, f"bench/set5/*_SRF_{s}_LR.png"))):
        y = net(data.load(lr).contiguous(memory_format=torch.channels_last), torch.zeros(1, 3), s)
        scores.append(psnr(y, data.load(lr.replace("_LR", "_HR")), s))
    return sum(scores) / len(scores)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", default=os.environ.get("UPWEAVE_DATA"), help="folder with train/ and bench/")
    p.add_argument("--out", required=True, help="folder for checkpoints and exports")
    p.add_argument("--minutes", type=float, default=52)
    p.add_argument("--width", type=int, default=48)
    p.add_argument("--blocks", type=int, default=5)
    p.add_argument("--lr", type=float, default=2e-3, help="Adam")
    p.add_argument("--muon-lr", type=float, default=6e-3, help="0: Adam for all")
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--eval-minutes", type=float, default=5)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    os.makedirs(a.out, exist_ok=True)
    path = os.path.join(a.out, "faithful.pt")

    net = Faithful(a.width, a.blocks).to(memory_format=torch.channels_last)
    trunk = [q for k, q in net.named_parameters() if k.startswith(("body", "tail")) and q.dim() == 4]
    if not a.muon_lr:
        trunk = []
    rest = [q for q in net.parameters() if not any(q is t for t in trunk)]
    opts = [torch.optim.Adam(rest, a.lr, betas=(0.9, 0.99))] + ([Muon(trunk, a.muon_lr)] if trunk else [])
    peaks = [o.param_groups[0]["lr"] for o in opts]
    ema = copy.deepcopy(net).requires_grad_(False)
    step, before = 0, 0.0
    if os.path.exists(path):
        c = torch.load(path, weights_only=True)
        net.load_state_dict(c["net"])
        ema.load_state_dict(c["ema"])
        for o, s in zip(opts, c["opts"]):
            o.load_state_dict(s)
        step, before = c["step"], c["elapsed"]
        rng = np.random.default_rng((a.seed, step))

    pictures = data.Pictures(a.data)
    print(f"{len(pictures.items)} pictures, {sum(q.numel() for q in net.parameters())} parameters", flush=True)
    scales = list(BATCHES)
    start = last_eval = last_save = time.time()
    seen, mean = 0, dict.fromkeys(scales, 0.0)

    def save(elapsed):
        trained = f"{elapsed / 60:.0f} min, {step} steps, seed {a.seed}"
        torch.save(dict(name="faithful", trained=trained, net=net.state_dict(), ema=ema.state_dict(),
                        opts=[o.state_dict() for o in opts], step=step, elapsed=elapsed), path + ".tmp")
        os.replace(path + ".tmp", path)
        export.export(ema.state_dict(), os.path.join(a.out, "faithful.safetensors"), "faithful", "1", trained)

    while True:
        elapsed = before + time.time() - start
        progress = min(1.0, elapsed / (60 * a.minutes))
        if progress >= 1 or time.time() - last_eval > 60 * a.eval_minutes:
            print(f"{elapsed / 60:6.1f} min  step {step:6d}  {seen / (time.time() - last_eval):6.1f} patches/s  loss "
                  + "  ".join(f"x{s} {v:.5f}" for s, v in mean.items())
                  + f"  Set5 x2 {set5(ema, a.data, 2):.3f}  x4 {set5(ema, a.data, 4):.3f}", flush=True)
            last_eval, seen = time.time(), 0
        if progress >= 1 or time.time() - last_save > 60:
            save(elapsed)
            last_save = time.time()
        if progress >= 1:
            return
        factor = min(1, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for o, peak in zip(opts, peaks):
            o.param_groups[0]["lr"] = peak * factor
        s = scales[rng.choice(len(scales), p=[b[2 if progress < 0.5 else 3] for b in BATCHES.values()])]
        size, count, _, _, d0, d1 = BATCHES[s]
        x, truth, cond = pictures.batch(rng, s, size, count, d0 + (d1 - d0) * progress)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = loss_of(net.residual(x, cond, s) + bicubic(x, s), truth)
        net.zero_grad()  # a head that was not used keeps no gradient and is left alone
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        step, seen = step + 1, seen + count
        mean[s] += (loss.item() - mean[s]) * (0.02 if mean[s] else 1)
        keep = min(a.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - keep)


if __name__ == "__main__":
    main()
