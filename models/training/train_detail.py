"""Train the detail network on the residual that the frozen faithful network leaves (flow matching)."""
import argparse
import copy
import math
import os
import time

import numpy as np
import torch

import damage
import data
import export
import faithful
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
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", default=os.environ.get("UPWEAVE_DATA"), help="folder with train/")
    p.add_argument("--faithful", required=True, help="faithful.safetensors")
    p.add_argument("--out", required=True, help="folder for checkpoints and exports")
    p.add_argument("--minutes", type=float, default=58)
    p.add_argument("--lr", type=float, default=1.5e-3, help="AdamW")
    p.add_argument("--muon-lr", type=float, default=4e-3, help="0: AdamW for all")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--ema", type=float, default=0.999)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    os.makedirs(a.out, exist_ok=True)
    path = os.path.join(a.out, "detail.pt")

    net = Detail().to(memory_format=torch.channels_last)
    blocks = [(k, q) for k, q in net.named_parameters() if ".conv" in k and q.dim() == 4 and a.muon_lr]
    shapes = {q.shape for _, q in blocks}
    muon = [[q for _, q in blocks if q.shape == s] for s in sorted(shapes)]
    rest = [q for q in net.parameters() if not any(q is b for _, b in blocks)]
    opts = [torch.optim.AdamW(rest, a.lr, weight_decay=0)] + [Muon(g, a.muon_lr) for g in muon]
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

    start = time.time()
    pictures = data.Pictures(a.data, WINDOW, screens=False, floor=1.0)
    base = faithful.from_state(export.load(a.faithful)).to(memory_format=torch.channels_last).eval()
    conds = conditions(base, pictures, np.random.default_rng(a.seed))
    print(f"{len(conds)} pictures, {sum(q.numel() for q in net.parameters())} parameters, "
          f"conditions made in {time.time() - start:.0f} s", flush=True)
    last_log = last_save = time.time()
    seen, mean = 0, 0.0

    def save(elapsed):
        trained = f"{elapsed / 60:.0f} min, {step} steps, seed {a.seed}"
        torch.save(dict(name="detail", trained=trained, net=net.state_dict(), ema=ema.state_dict(),
                        opts=[o.state_dict() for o in opts], step=step, elapsed=elapsed), path + ".tmp")
        os.replace(path + ".tmp", path)
        export.export(ema.state_dict(), os.path.join(a.out, "detail.safetensors"), "detail", "1", trained)

    while True:
        elapsed = before + time.time() - start
        progress = min(1.0, elapsed / (60 * a.minutes))
        if progress >= 1 or time.time() - last_log > 60:
            print(f"{elapsed / 60:6.1f} min  step {step:6d}  {seen / (time.time() - last_log):6.1f} patches/s  "
                  f"loss {mean:.5f}", flush=True)
            last_log, seen = time.time(), 0
        if progress >= 1 or time.time() - last_save > 120:
            save(elapsed)
            last_save = time.time()
        if progress >= 1:
            return
        factor = min(1, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for o, peak in zip(opts, peaks):
            o.param_groups[0]["lr"] = peak * factor
        truth, cond, coarse = batch(pictures, conds, rng, a.size, a.batch)
        r = (truth - cond) / residual_scale(coarse)[:, None, None, None]
        noise = torch.randn_like(r)
        # Half of the times are uniform: the logit-normal alone rarely shows the first step of the sampler, t near 0, and
        # what that step leaves wrong stays in the picture as noise.
        t = torch.where(torch.rand(a.batch) < 0.5, torch.rand(a.batch), torch.randn(a.batch).sigmoid())
        z = torch.lerp(noise, r, t[:, None, None, None])
        loss = (net(z, cond, t, coarse) - (r - noise)).square().mean()
        net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        step, seen = step + 1, seen + a.batch
        mean += (loss.item() - mean) * (0.005 if mean else 1)
        keep = min(a.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - keep)


if __name__ == "__main__":
    main()
