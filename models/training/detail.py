"""The detail network: a conditional flow over the residual that the faithful picture leaves."""
import math

import torch
import torch.nn.functional as F
from torch import nn

FREQUENCIES = (1, 2, 4, 8, 16, 32, 64, 128)
STYLES = ("universal", "realism", "anime", "impasto", "watercolor")
PAINTED = STYLES[2:]
PAINTINGS = "paintings."  # before the names of the tensors of the second network, for these
TWO_STEPS = ("two-steps.", "paintings-two-steps.")  # and of those that two steps are enough for, for photographs and paintings
PREFIXES = (PAINTINGS, *TWO_STEPS)


def residual_scale(coarse):
    """Typical size of the residual; coarse = log2(enlargement), 1..2."""
    return 0.05 * 1.5 ** (coarse - 1)


def conv(i, o, k=3):
    return nn.Conv2d(i, o, k, padding=k // 2)


class Block(nn.Module):
    def __init__(self, c, emb):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(c))
        self.conv1, self.conv2 = conv(c, c), conv(c, c)
        self.film = nn.Linear(emb, 2 * c)
        for p in (*self.conv2.parameters(), *self.film.parameters()):
            nn.init.zeros_(p)

    def forward(self, x, e):
        y = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6) * self.gain[:, None, None]
        s, b = self.film(e)[:, :, None, None].chunk(2, 1)
        return x + self.conv2(F.silu(self.conv1(y) * (1 + s) + b))


class Detail(nn.Module):
    def __init__(self, widths=(32, 64, 128), counts=(2, 2, 2), full=8, last=16, emb=128):
        super().__init__()
        (c1, c2, c3), (n1, n2, n3) = widths, counts
        blocks = lambda c, n: nn.ModuleList(Block(c, emb) for _ in range(n))
        self.emb = nn.ModuleList((nn.Linear(2 * len(FREQUENCIES) + 1 + len(STYLES), emb), nn.Linear(emb, emb)))
        self.stem = conv(24, c1)
        self.enc1, self.down1 = blocks(c1, n1), nn.Conv2d(c1, c2, 2, 2)
        self.enc2, self.down2 = blocks(c2, n2), nn.Conv2d(c2, c3, 2, 2)
        self.mid = blocks(c3, n3)
        self.up2, self.dec2 = conv(c3, 4 * c2, 1), blocks(c2, n2)
        self.up1, self.dec1 = conv(c2, 4 * c1, 1), blocks(c1, n1)
        self.up0 = conv(c1, 4 * full)
        self.out = nn.ModuleDict({"a": conv(full + 6, last), "b": conv(last, 3)})
        nn.init.zeros_(self.out["b"].weight)
        nn.init.zeros_(self.out["b"].bias)

    def embed(self, t, coarse, style=None):
        a = math.pi * t[:, None] * torch.tensor(FREQUENCIES, dtype=t.dtype)
        if style is None:
            style = t.new_zeros(len(t), len(STYLES))
        e = torch.cat((a.sin(), a.cos(), coarse[:, None] - 1, style), 1)
        for layer in self.emb:
            e = F.silu(layer(e))
        return e

    def forward(self, z, cond, t, coarse, style=None):
        """Velocity at (z, t); z and cond (B, 3, H, W), H and W multiples of 8; t and coarse (B,)."""
        e = self.embed(t, coarse, style)
        x = self.stem(torch.cat((F.pixel_unshuffle(z, 2), F.pixel_unshuffle(cond, 2)), 1))
        for b in self.enc1:
            x = b(x, e)
        skip1, x = x, self.down1(x)
        for b in self.enc2:
            x = b(x, e)
        skip2, x = x, self.down2(x)
        for b in self.mid:
            x = b(x, e)
        x = F.pixel_shuffle(self.up2(x), 2) + skip2
        for b in self.dec2:
            x = b(x, e)
        x = F.pixel_shuffle(self.up1(x), 2) + skip1
        for b in self.dec1:
            x = b(x, e)
        x = F.pixel_shuffle(self.up0(x), 2)
        return self.out["b"](F.silu(self.out["a"](torch.cat((x, z, cond), 1))))


@torch.no_grad()
def sample(net, cond, coarse, steps, generator=None, style=None):
    """Carry noise to a plausible residual (in units of residual_scale) with uniform Euler steps."""
    h, w = cond.shape[2:]
    cond = F.pad(cond, (0, -w % 8, 0, -h % 8), mode="replicate")
    z = torch.randn(cond.shape, generator=generator)
    c = torch.full((len(z),), float(coarse))
    for k in range(steps):
        z = z + net(z, cond, torch.full((len(z),), k / steps), c, style) / steps
    return z[:, :, :h, :w]


def from_state(state):
    """Build the network that a state dict belongs to."""
    width = lambda k: state[k].shape[0]
    count = lambda p: sum(k.startswith(p + ".") and k.endswith(".gain") for k in state)
    net = Detail((width("stem.weight"), width("down1.weight"), width("down2.weight")),
                 (count("enc1"), count("enc2"), count("mid")),
                 width("up0.weight") // 4, width("out.a.weight"), width("emb.1.weight"))
    net.load_state_dict(state)
    return net


def first(state):
    """The tensors of the network of photographs."""
    return {k: v for k, v in state.items() if not k.startswith(PREFIXES)}


def part_of(state, prefix):
    """The tensors of a further network."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


class Networks:
    """The networks of an exported file by style, as the program picks them."""

    def __init__(self, state):
        net = lambda part: from_state(part).to(memory_format=torch.channels_last).eval()
        further = lambda prefix, other: net(part) if (part := part_of(state, prefix)) else other
        self.photographs = net(first(state))
        self.paintings = further(PAINTINGS, self.photographs)
        self.two_steps = [further(*pair) for pair in zip(TWO_STEPS, (self.photographs, self.paintings))]

    def sample(self, style, cond, coarse, steps, generator):
        """As `sample`; universal is the network without a hint."""
        told = torch.zeros(1, len(STYLES))
        if style != "universal":
            told[0, STYLES.index(style)] = 1
        net = (self.two_steps if steps == 2 else (self.photographs, self.paintings))[style in PAINTED]
        return sample(net, cond, coarse, steps, generator, told)
