"""Train the detail network on the residual that the frozen faithful network leaves (flow matching)."""
import math

import numpy as np
import torch

import damage
import data
import export
import faithful
import loop
from detail import Detail, residual_scale
from muon import Muon

#        (share, scale, damaged)
KINDS = ((0.60, 2, False), (0.25, 4, False), (0.10, 2, True), (0.05, 4, True))
STRENGTH = 0.3  # of the mild damage
WINDOW = 576  # of each picture, so that the faithful pictures are made in minutes


@torch.no_grad()
def enlarge(net, a, s, cond):
    """The faithful picture of the 8-bit picture a, as f16 (H, W, 3)."""
    x = data.to_tensor(a[None]).contiguous(memory_format=torch.channels_last)
    return net(x, torch.from_numpy(cond)[None], s)[0].permute(1, 2, 0).half().contiguous().numpy()


def conditions(net, pictures, rng):
    """For every picture its faithful pictures by (scale, damaged); every fourth one also from damaged inputs."""
    out = []
    for i, item in enumerate(pictures.items):
        row = {}
        for _, s, bad in KINDS:
            if bad and i % 4 != s - 2:  # scale 2: 0, 4, 8...; scale 4: 2, 6, 10...
                continue
            a, c = damage.apply(item[s], rng, STRENGTH) if bad else (item[s], np.zeros(3, np.float32))
            row[s, bad] = enlarge(net, a, s, c)
        out.append(row)
    return out


def batch(pictures, conds, rng, size, count):
    """Truths and conditions (count, 3, size, size) and coarse (count,)."""
    ts, cs = np.empty((count, size, size, 3), np.float32), np.empty((count, size, size, 3), np.float32)
    coarse = np.empty(count, np.float32)
    for k in range(count):
        _, s, bad = KINDS[rng.choice(len(KINDS), p=[q[0] for q in KINDS])]
        i, y, x = pictures.pick(rng, 1, size)
        while (s, bad) not in conds[i]:
            i, y, x = pictures.pick(rng, 1, size)
        cut = np.s_[y : y + size, x : x + size]
        t, c = data.augment(rng, pictures.items[i][1][cut], conds[i][s, bad][cut])
        ts[k], cs[k], coarse[k] = t.astype(np.float32) / 255, c, math.log2(s)
    planes = lambda a: torch.from_numpy(a).permute(0, 3, 1, 2)
    return planes(ts), planes(cs), torch.from_numpy(coarse)


def main():
    p = loop.options(__doc__, minutes=58, lr=1.5e-3, muon_lr=4e-3, ema=0.999)
    p.add_argument("--faithful", required=True, help="faithful.safetensors")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)

    net = Detail().to(memory_format=torch.channels_last)
    blocks = [(k, q) for k, q in net.named_parameters() if ".conv" in k and q.dim() == 4]
    shapes = {q.shape for _, q in blocks}
    muon = [[q for _, q in blocks if q.shape == s] for s in sorted(shapes)]
    rest = [q for q in net.parameters() if not any(q is b for _, b in blocks)]
    run = loop.Loop("detail", a, net, [torch.optim.AdamW(rest, a.lr, weight_decay=0)] + [Muon(g, a.muon_lr) for g in muon], 200)

    pictures = data.Pictures(a.data, WINDOW, screens=False, floor=1.0)
    base = faithful.from_state(export.load(a.faithful)).to(memory_format=torch.channels_last).eval()
    conds = conditions(base, pictures, np.random.default_rng(a.seed))
    print(f"{len(conds)} pictures, {sum(q.numel() for q in net.parameters())} parameters", flush=True)
    mean = 0.0
    while True:
        progress = run.progress
        if run.due(1):
            run.report(f"loss {mean:.5f}")
            run.save()
        if progress >= 1:
            return
        truth, cond, coarse = batch(pictures, conds, run.rng, a.size, a.batch)
        r = (truth - cond) / residual_scale(coarse)[:, None, None, None]
        noise = torch.randn_like(r)
        # Half of the times are uniform: the logit-normal alone rarely shows the first step of the sampler, t near 0, and
        # what that step leaves wrong stays in the picture as noise.
        t = torch.where(torch.rand(a.batch) < 0.5, torch.rand(a.batch), torch.randn(a.batch).sigmoid())
        z = torch.lerp(noise, r, t[:, None, None, None])
        loss = (net(z, cond, t, coarse) - (r - noise)).square().mean()
        run.update(loss, a.batch)
        mean += (loss.item() - mean) * (0.005 if mean else 1)


if __name__ == "__main__":
    main()
