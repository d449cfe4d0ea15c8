"""Distil a detail network: two steps that look like eight.

The sampler is deterministic once its noise is drawn, so eight steps are a function of noise and faithful picture. The pupil
starts from the teacher's weights and learns to be half way after its first step and there after its second, from its own
state (progressive distillation, Salimans and Ho 2022, with the errors of the first step left for the second to mend). The
mean squared error alone makes few steps softer than many, since nobody can tell every grain: so the energies of fine bands are
compared as well, and at the end, for photographs, a patch discriminator compares the pupil's residuals with true ones (hinge
loss; least error keeps them in place). Paintings are the teacher's paintings of photographs: no painted picture is needed.
"""
import copy
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import data
import export
import faithful
import loop
from detail import PAINTED, PAINTINGS, STYLES, first, from_state, part_of, residual_scale
from muon import Muon, trunk
from train_detail import SHARES, WINDOW, Conditions, Mixture

STEPS = 8  # of the teacher
# What the networks are told, as the program does, in equal shares; photographs mostly nothing.
TOLD = {"photographs": (None, None, "realism"), "paintings": PAINTED}
LEVELS = 3  # of the pyramid whose energies are compared
FINISH = 0.5  # progress from which the discriminator takes part
KEPT = 96  # crops that wait with the teacher's answers: eight steps of the teacher cost more than one of the pupil
NEW = 8  # of them replaced each time


def energies(z):
    """Root mean squares of fine bands over squares of 8 cells: how much of each there is, wherever its grains lie."""
    out = []
    for _ in range(LEVELS):
        low = F.avg_pool2d(z, 2)
        band = z - F.interpolate(low, scale_factor=2, mode="nearest")
        out.append((F.avg_pool2d(band.square(), 8) + 1e-4).sqrt())
        z = low
    return out


class Critic(nn.Module):
    """Scores patches of 21 pixels of a residual beside its faithful picture."""

    def __init__(self, c=32):
        super().__init__()
        conv = lambda i, o, k, s: spectral_norm(nn.Conv2d(i, o, k, s, k // 2))
        self.layers = nn.ModuleList((conv(6, c, 3, 1), conv(c, 2 * c, 3, 2), conv(2 * c, 2 * c, 3, 1), conv(2 * c, 2 * c, 3, 2)))
        self.out = spectral_norm(nn.Conv2d(2 * c, 1, 3, 1, 1))

    def forward(self, z, cond):
        x = torch.cat((z, 4 * (cond - cond.mean((2, 3), keepdim=True))), 1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.out(x)


@torch.no_grad()
def taught(net, z, cond, coarse, told):
    """The teacher's states half way and at the end."""
    half = None
    for k in range(STEPS):
        z = z + net(z, cond, torch.full((len(z),), k / STEPS), coarse, told) / STEPS
        half = z if k + 1 == STEPS // 2 else half
    return half, z


class Lessons:
    """Crops with the teacher's answers, a few of them new each time."""

    def __init__(self, teacher, mixture, size, styles):
        self.teacher, self.mixture, self.size, self.styles, self.kept, self.next = teacher, mixture, size, styles, [], 0

    def learn(self, rng):
        truth, cond, coarse, told, _, _ = self.mixture.batch(rng, self.size, NEW)
        for told_one, style in zip(told, rng.choice(np.array(self.styles, object), NEW)):
            if style:
                told_one[STYLES.index(style)] = 1
        noise = torch.randn_like(truth)
        half, end = taught(self.teacher, noise, cond, coarse, told)
        for lesson in zip(truth, cond, coarse, told, noise, half, end):
            if len(self.kept) < KEPT:
                self.kept.append(lesson)
            else:
                self.kept[self.next] = lesson
            self.next = (self.next + 1) % KEPT

    def draw(self, rng, count):
        self.learn(rng)
        while len(self.kept) < count:
            self.learn(rng)
        picked = rng.choice(len(self.kept), count, replace=False)
        return [torch.stack(v) for v in zip(*(self.kept[i] for i in picked))]


def main():
    p = loop.options(__doc__, minutes=90, lr=1e-3, muon_lr=3e-3, ema=0.998)
    p.add_argument("--faithful", required=True, help="faithful.safetensors")
    p.add_argument("--teacher", required=True, help="detail.safetensors; a new run starts from it")
    p.add_argument("--teach", choices=TOLD, default="photographs", help="which of the teacher's networks is distilled")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--energy", type=float, default=0.3, help="weight of the energies of bands")
    p.add_argument("--critic", type=float, default=0.03, help="weight of the discriminator, for photographs")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)

    known = export.load(a.teacher)
    known = first(known) if a.teach == "photographs" else part_of(known, PAINTINGS)
    teacher = from_state(known).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    net = copy.deepcopy(teacher).requires_grad_(True)
    muon, others = trunk(net)
    adam = torch.optim.AdamW(others.values(), a.lr, weight_decay=0)
    run = loop.Loop("detail", a, net, [adam] + [Muon(g, a.muon_lr) for g in muon], 100)
    critic = Critic().to(memory_format=torch.channels_last)
    judge = torch.optim.Adam(critic.parameters(), 2e-4, betas=(0.5, 0.99))

    base = faithful.from_state(export.load(a.faithful)).to(memory_format=torch.channels_last).eval()
    ready = Conditions(base, os.path.join(a.out, "conditions.pt"), a.bf16)
    pictures = data.Pictures(a.data, WINDOW, screens=False, floor=1.0)
    mixture = Mixture(SHARES["photographs"], pictures, ready.photographs(pictures, a.seed), {}, {})
    ready.save()
    lessons = Lessons(teacher, mixture, a.size, TOLD[a.teach])
    run.begin()
    means = dict.fromkeys(("half", "end", "energy", "critic", "told apart"), 0.0)
    while True:
        progress = run.progress
        if run.due(1):
            run.report(", ".join(f"{k} {v:.4f}" for k, v in means.items()))
            run.save()
        if progress >= 1:
            return
        truth, cond, coarse, told, noise, wanted_half, wanted = lessons.draw(run.rng, a.batch)
        time = lambda t: torch.full((a.batch,), t)
        half = noise + 0.5 * net(noise, cond, time(0.0), coarse, told)
        end = half + 0.5 * net(half, cond, time(0.5), coarse, told)
        # Both errors in the unit of velocities.
        off_half, off = 4 * (half - wanted_half).square().mean(), 4 * (end - wanted).square().mean()
        energy = sum((x - y).abs().mean() for x, y in zip(energies(end), energies(wanted)))
        loss = 0.5 * off_half + off + a.energy * energy
        found = {"half": off_half.item(), "end": off.item(), "energy": energy.item()}
        if a.teach == "photographs" and progress >= FINISH:
            true = (truth - cond) / residual_scale(coarse)[:, None, None, None]
            apart = F.relu(1 - critic(true, cond)).mean() + F.relu(1 + critic(end.detach(), cond)).mean()
            judge.zero_grad()
            apart.backward()
            judge.step()
            for q in critic.parameters():
                q.requires_grad_(False)
            fooled = -critic(end, cond).mean()
            loss = loss + a.critic * min(1, (progress - FINISH) / 0.1) * fooled
            found |= {"critic": fooled.item(), "told apart": apart.item()}
        run.update(loss, a.batch)
        for q in critic.parameters():
            q.requires_grad_(True)
        for k, v in found.items():
            means[k] += (v - means[k]) * (0.02 if means[k] else 1)


if __name__ == "__main__":
    main()
