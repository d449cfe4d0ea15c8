"""Train the detail network on the residual that the frozen faithful network leaves (flow matching), told the style."""
import os

import numpy as np
import torch
from PIL import Image

import damage
import coupled
import data
import export
import faithful
import loop
import styled
from detail import STYLES, Detail, residual_scale
from muon import Muon, trunk

# name: (share, scale, coarse, damaged, again). "again": the faithful picture reduced by 2 and enlarged once more, as the
# program does above creativity 0.5.
KINDS = {"x2": (0.50, 2, 1.0, False, False), "x4": (0.22, 4, 2.0, False, False), "again": (0.15, 2, 2.0, False, True),
         "x2 damaged": (0.09, 2, 1.0, True, False), "x4 damaged": (0.04, 4, 2.0, True, False)}
CLEAN = ("x2", "x4", "again")
STRENGTH = 0.3  # of the mild damage
WINDOW = 576  # of each picture, so that the faithful pictures are made in minutes
# Shares of a batch by --teach. The program asks one network for photographs (universal and realism) and one for paintings.
SHARES = {
    "photographs": {"photographs": 1.0},
    "paintings": {"anime": 0.06, "impasto": 0.04, "watercolor": 0.04,
                  "onto anime": 0.30, "onto impasto": 0.28, "onto watercolor": 0.28},
    "all": {"photographs": 0.24, "realism": 0.12, "rest": 0.02, "anime": 0.05, "impasto": 0.03, "watercolor": 0.03,
            "onto anime": 0.18, "onto impasto": 0.16, "onto watercolor": 0.17},
}
TOLD = 3  # times the learning rate of all that tells blocks of time and style
UNTOLD = 0.3  # share of paintings, enlarged as they are, whose style is not told to the network for all


@torch.no_grad()
def enlarge(net, a, s, cond, bf16):
    """The faithful picture of the 8-bit picture a, as f16 (H, W, 3)."""
    x = data.to_tensor(a[None]).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        r = net.residual(x, torch.from_numpy(cond)[None], s)
    return (r.float() + faithful.bicubic(x, s))[0].permute(1, 2, 0).half().contiguous().numpy()


def condition(net, kind, small, rng, bf16):
    """The faithful picture for a kind; `small` gives the sharp picture reduced by a factor."""
    _, s, _, bad, again = KINDS[kind]
    a, c = damage.apply(small(s), rng, STRENGTH) if bad else (small(s), np.zeros(3, np.float32))
    y = enlarge(net, a, s, c, bf16)
    if again:
        img = Image.fromarray(np.clip(np.rint(y.astype(np.float32) * 255), 0, 255).astype(np.uint8))
        y = enlarge(net, np.array(data.reduce(img, 2)), 2, c, bf16)
    return y


class Conditions:
    """Faithful pictures by name, kept in a file, as they take minutes: a run that is resumed finds them there."""

    def __init__(self, net, path, bf16):
        self.net, self.path, self.bf16, self.new = net, path, bf16, False
        self.known = torch.load(path, weights_only=True, mmap=True) if os.path.exists(path) else {}

    def get(self, name, kinds, small, rng=None):
        """The faithful pictures of one source by kind."""
        for k in kinds:
            if f"{name} {k}" not in self.known:
                self.known[f"{name} {k}"] = torch.from_numpy(condition(self.net, k, small, rng, self.bf16))
                self.new = True
        return {k: self.known[f"{name} {k}"].numpy() for k in kinds}

    def photographs(self, pictures, seed):
        """For every picture; of every fourth one also from damaged inputs."""
        out = []
        for i, item in enumerate(pictures.items):
            kinds = CLEAN + {0: ("x2 damaged",), 2: ("x4 damaged",)}.get(i % 4, ())
            out.append(self.get(f"photograph {i}", kinds, item.__getitem__, np.random.default_rng((seed, i))))
        return out

    def rendered(self, groups):
        """By the key of the item."""
        items = {i.key: i for group in groups.values() for i in group}
        reduce = lambda item: lambda s: np.array(data.reduce(Image.fromarray(item.source), s))
        kinds = lambda key: CLEAN if key.startswith("photo/") else CLEAN[:2]
        return {key: self.get(key, kinds(key), reduce(item)) for key, item in items.items()}

    def save(self):
        if self.new:
            torch.save(self.known, self.path)
            self.new = False


class Mixture:
    """Draws crops from all groups."""

    def __init__(self, shares, pictures, conds, groups, styled_conds):
        self.pictures, self.conds, self.groups, self.styled = pictures, conds, groups, styled_conds
        self.names, self.p = list(shares), list(shares.values())
        self.untold = UNTOLD if "photographs" in shares else 0
        self.kinds, self.kind_p = list(KINDS), [k[0] for k in KINDS.values()]
        self.clean_p = np.array([KINDS[k][0] for k in CLEAN]) / sum(KINDS[k][0] for k in CLEAN)
        self.weights = {k: self.weight(k, v) for k, v in groups.items()} | dict.fromkeys(("photographs", "realism"), 1.0)

    def weight(self, name, items):
        """What a group's velocities are typically worth: loud paintings must not drown photographs."""
        squares = []
        for item in items[::4]:
            planes = lambda a: torch.from_numpy(a[:160, :160].astype(np.float32)).permute(2, 0, 1)[None]
            truth, cond = planes(item.truth) / 255, planes(self.styled[item.key]["x2"])
            r = (coupled.texture([name], truth, cond, torch.randn_like(truth)) - cond) / residual_scale(1.0)
            squares.append(r.square().mean().item())
        return 1.2 / (1 + sum(squares) / len(squares))

    def photo(self, rng, sharp, size):
        kind = self.kinds[rng.choice(len(self.kinds), p=self.kind_p)]
        while True:
            i, y, x = self.pictures.pick(rng, 1, size)
            if kind in self.conds[i] and (self.pictures.sharp[i] or not sharp):
                return kind, self.pictures.items[i][1], self.conds[i][kind], y, x

    def draw(self, rng, size):
        """(truth, faithful picture, coarse, style vector, weight, group) of one crop."""
        name = self.names[rng.choice(len(self.names), p=self.p)]
        style = None
        if name in ("photographs", "realism"):
            kind, truth, cond, y, x = self.photo(rng, name == "realism", size)
            style = "realism" if name == "realism" else None
        else:
            items = self.groups[name]
            item = items[rng.integers(len(items))]
            kind = CLEAN[rng.choice(len(CLEAN), p=self.clean_p)]
            kind = kind if kind in self.styled[item.key] else "x4"
            (y, x), truth, cond = item.pick(rng, size), item.truth, self.styled[item.key][kind]
            if name.startswith("onto") or rng.random() >= self.untold:
                style = item.style
        if style is None and len(self.names) > 1 and rng.random() < 0.5:
            style = "universal"
        told = np.zeros(len(STYLES), np.float32)
        if style:
            told[STYLES.index(style)] = 1
        cut = np.s_[y : y + size, x : x + size]
        return *data.augment(rng, truth[cut], cond[cut]), KINDS[kind][2], told, self.weights[name], name

    def batch(self, rng, size, count):
        ts, cs, coarse, told, weights, names = zip(*(self.draw(rng, size) for _ in range(count)))
        planes = lambda a: torch.from_numpy(np.stack(a).astype(np.float32)).permute(0, 3, 1, 2)
        vector = lambda a: torch.from_numpy(np.array(a, np.float32))
        return planes(ts) / 255, planes(cs), vector(coarse), vector(told), vector(weights), names


def main():
    p = loop.options(__doc__, minutes=58, lr=1.5e-3, muon_lr=4e-3, ema=0.999)
    p.add_argument("--faithful", required=True, help="faithful.safetensors")
    p.add_argument("--styles", help="folder that `python -m styles.render` wrote")
    p.add_argument("--teach", choices=SHARES, default="photographs", help="all but photographs need --styles")
    p.add_argument("--new-styles", action="store_true", help="--init was trained without styles: begin with all alike")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    a = p.parse_args()
    if bool(a.styles) != (a.teach != "photographs"):
        p.error("--styles goes with --teach paintings or --teach all, and they need it")
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)

    net = Detail().to(memory_format=torch.channels_last)
    muon, others = trunk(net)
    tells = lambda name: "film" in name or name.startswith("emb")
    told, rest = ([q for k, q in others.items() if tells(k) == wanted] for wanted in (True, False))
    adam = [torch.optim.AdamW(group, lr, weight_decay=0) for group, lr in ((rest, a.lr), (told, TOLD * a.lr))]
    run = loop.Loop("detail", a, net, adam + [Muon(g, a.muon_lr) for g in muon], 100)

    if a.new_styles and run.step == 0:
        for n in (net, run.ema):
            n.emb[0].weight.data[:, -len(STYLES) :] = 0

    base = faithful.from_state(export.load(a.faithful)).to(memory_format=torch.channels_last).eval()
    ready, shares = Conditions(base, os.path.join(a.out, "conditions.pt"), a.bf16), SHARES[a.teach]
    pictures, conds, groups = None, [], {}
    if "photographs" in shares:
        pictures = data.Pictures(a.data, WINDOW, screens=False, floor=1.0)
        conds = ready.photographs(pictures, a.seed)
    if a.teach != "photographs":
        groups = {k: v for k, v in styled.load(a.styles).items() if k in shares}
    mixture = Mixture(shares, pictures, conds, groups, ready.rendered(groups))
    ready.save()
    print(f"{len(conds)} photographs, " + ", ".join(f"{k} {len(v)} (weight {mixture.weights[k]:.2f})" for k, v in groups.items())
          + f", {sum(q.numel() for q in net.parameters())} parameters", flush=True)
    run.begin()
    mean = 0.0
    while True:
        progress = run.progress
        if run.due(1):
            run.report(f"loss {mean:.5f}")
            run.save()
        if progress >= 1:
            return
        truth, cond, coarse, told, weight, names = mixture.batch(run.rng, a.size + 2 * coupled.MARGIN, a.batch)
        noise = torch.randn_like(truth)
        truth, cond, noise = coupled.cut(coupled.texture(names, truth, cond, noise), cond, noise)
        r = (truth - cond) / residual_scale(coarse)[:, None, None, None]
        # The logit-normal alone rarely shows the first step of the sampler, t near 0, and what that step leaves wrong stays
        # in the picture as noise. Paint is learned fastest at the times of the usual four steps.
        if a.teach == "paintings":
            often = torch.randint(4, (a.batch,)) / 4
        else:
            often = torch.randn(a.batch).sigmoid()
        t = torch.where(torch.rand(a.batch) < 0.5, torch.rand(a.batch), often)
        z = torch.lerp(noise, r, t[:, None, None, None])
        with run.autocast():
            v = net(z, cond, t, coarse, told)
        loss = ((v.float() - (r - noise)).square().mean((1, 2, 3)) * weight).mean()
        run.update(loss, a.batch)
        mean += (loss.item() - mean) * (0.005 if mean else 1)


if __name__ == "__main__":
    main()
