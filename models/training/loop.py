"""What the training scripts share: their options, a schedule that follows the clock, checkpoints to resume from."""
import argparse
import copy
import math
import os
import time

import numpy as np
import torch

import export


def options(description, **defaults):
    """A parser with the options of all scripts; the script adds its own."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--data", default=os.environ.get("UPWEAVE_DATA"), help="folder with train/ (and bench/, for scores)")
    p.add_argument("--out", required=True, help="folder for checkpoints and exports; a run found there goes on")
    p.add_argument("--init", help="exported weights to start a new run from")
    p.add_argument("--minutes", type=float, help="length of the schedule, earlier runs in --out included")
    p.add_argument("--lr", type=float, help="Adam")
    p.add_argument("--muon-lr", type=float, help="trunk convolutions")
    p.add_argument("--ema", type=float)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true", help="convolutions in bf16: faster where the CPU has AVX512-BF16 or AMX")
    p.set_defaults(**defaults)
    return p


class Loop:
    """Network, running average, optimisers and clock of one run.

    The schedule (warm-up, then half a cosine down to 1 %) follows elapsed time over --minutes, so a busy machine costs
    steps, not annealing.
    """

    def __init__(self, name, a, net, optimisers, warm_up):
        self.name, self.a, self.net, self.opts, self.warm_up = name, a, net, optimisers, warm_up
        self.peaks = [o.param_groups[0]["lr"] for o in optimisers]
        self.path = os.path.join(a.out, f"{name}.pt")
        self.step, self.before = 0, 0.0
        os.makedirs(a.out, exist_ok=True)
        resumed = os.path.exists(self.path)
        if not resumed and a.init:
            net.load_state_dict(export.load(a.init))
        self.ema = copy.deepcopy(net).requires_grad_(False)
        if resumed:
            c = torch.load(self.path, weights_only=True)
            net.load_state_dict(c["net"])
            self.ema.load_state_dict(c["ema"])
            for o, s in zip(self.opts, c["opts"]):
                o.load_state_dict(s)
            self.step, self.before = c["step"], c["elapsed"]
        self.rng = np.random.default_rng((a.seed, self.step))
        torch.manual_seed(a.seed + self.step)
        self.seen = 0
        self.begin()

    def begin(self):
        """Start the clock, once the pictures are ready."""
        self.start = self.last_report = time.time()

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.a.bf16)

    @property
    def elapsed(self):
        return self.before + time.time() - self.start

    @property
    def progress(self):
        return min(1.0, self.elapsed / (60 * self.a.minutes))

    def save(self):
        trained = f"{self.elapsed / 60:.0f} min, {self.step} steps, seed {self.a.seed}"
        if self.a.init:
            trained += ", from earlier weights"
        state = dict(name=self.name, trained=trained, net=self.net.state_dict(), ema=self.ema.state_dict(),
                     opts=[o.state_dict() for o in self.opts], step=self.step, elapsed=self.elapsed)
        torch.save(state, self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)
        out = os.path.join(self.a.out, f"{self.name}.safetensors")
        export.export(self.ema.state_dict(), out, self.name, "1", trained)

    def due(self, minutes):
        """Whether a report is due: every `minutes`, and at the end."""
        return self.progress >= 1 or time.time() - self.last_report > 60 * minutes

    def report(self, text):
        now = time.time()
        print(f"{self.elapsed / 60:6.1f} min  step {self.step:6d}  {self.seen / (now - self.last_report):6.1f} patches/s"
              f"  {text}", flush=True)
        self.last_report, self.seen = now, 0

    def update(self, loss, count):
        """One step of the optimisers; a head that was not used keeps no gradient and is left alone."""
        factor = min(1, (self.step + 1) / self.warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        self.net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for o, peak in zip(self.opts, self.peaks):
            o.param_groups[0]["lr"] = peak * factor
            o.step()
        self.step, self.seen = self.step + 1, self.seen + count
        keep = min(self.a.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - keep)
