"""Train the faithful network."""
import glob
import os

import torch

import data
import loop
from faithful import Faithful, bicubic
from metrics import psnr
from muon import Muon

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
#     scale: (input crop, batch, share, damaged at start, at end)
BATCHES = {2: (36, 12, 0.68, 0.35, 0.25), 4: (26, 12, 0.20, 0.25, 0.12), 1: (32, 12, 0.12, 1.0, 1.0)}


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
    p = loop.options(__doc__, minutes=52, lr=2e-3, muon_lr=6e-3, ema=0.998)
    p.add_argument("--width", type=int, default=48)
    p.add_argument("--blocks", type=int, default=5)
    p.add_argument("--eval-minutes", type=float, default=5)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)

    net = Faithful(a.width, a.blocks).to(memory_format=torch.channels_last)
    trunk = [q for k, q in net.named_parameters() if k.startswith(("body", "tail")) and q.dim() == 4]
    rest = [q for q in net.parameters() if not any(q is t for t in trunk)]
    run = loop.Loop("faithful", a, net, [torch.optim.Adam(rest, a.lr, betas=(0.9, 0.99)), Muon(trunk, a.muon_lr)], 100)

    pictures = data.Pictures(a.data)
    print(f"{len(pictures.items)} pictures, {sum(q.numel() for q in net.parameters())} parameters", flush=True)
    scales = list(BATCHES)
    mean = dict.fromkeys(scales, 0.0)
    while True:
        progress = run.progress
        if run.due(a.eval_minutes):
            run.report("loss " + "  ".join(f"x{s} {v:.5f}" for s, v in mean.items())
                       + f"  Set5 x2 {set5(run.ema, a.data, 2):.3f}  x4 {set5(run.ema, a.data, 4):.3f}")
            run.save()
        if progress >= 1:
            return
        s = scales[run.rng.choice(len(scales), p=[b[2] for b in BATCHES.values()])]
        size, count, _, d0, d1 = BATCHES[s]
        x, truth, cond = pictures.batch(run.rng, s, size, count, d0 + (d1 - d0) * progress)
        x = x.contiguous(memory_format=torch.channels_last)
        with run.autocast():
            r = net.residual(x, cond, s)
        loss = loss_of(r.float() + bicubic(x, s), truth)
        run.update(loss, count)
        mean[s] += (loss.item() - mean[s]) * (0.02 if mean[s] else 1)


if __name__ == "__main__":
    main()
