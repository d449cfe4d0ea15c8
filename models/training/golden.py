"""Write small golden files (random weights, inputs, outputs; f32) that the Rust networks are tested against."""
import argparse
import os

import torch
from safetensors.torch import save_file

from detail import STYLES, Detail
from faithful import SCALES, Faithful


def randomise(net, g):
    """Non-zero weights everywhere, outputs of order one."""
    for p in net.parameters():
        fan = p[0].numel() if p.dim() > 1 else 4
        p.data = torch.randn(p.shape, generator=g) / fan**0.5
    return net.eval()


def write(path, net, tensors):
    tensors |= {f"net.{k}": v for k, v in net.state_dict().items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, {"format": "upweave-1"})
    print(path, os.path.getsize(path), "bytes")


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden"))
    out = p.parse_args().out
    os.makedirs(out, exist_ok=True)
    g = torch.Generator().manual_seed(1)

    net = randomise(Faithful(8, 2), g)
    x, damage = torch.rand(1, 3, 20, 17, generator=g), torch.tensor([[0.3, 0.6, 0.25]])
    t = {"in.x": x, "in.damage": damage} | {f"out.x{s}": net(x, damage, s) for s in SCALES}
    write(os.path.join(out, "faithful_tiny.safetensors"), net, t)

    net = randomise(Detail((8, 16, 24), (1, 1, 1), 4, 8), g)
    z, cond = torch.randn(2, 3, 24, 16, generator=g), torch.rand(2, 3, 24, 16, generator=g)
    t, coarse = torch.tensor([0.25, 0.8]), torch.tensor([1.0, 1.6])
    style = torch.zeros(2, len(STYLES))
    style[1, STYLES.index("impasto")] = 1  # the first picture has none
    v = net(z, cond, t, coarse, style)
    write(os.path.join(out, "detail_tiny.safetensors"), net,
          {"in.z": z, "in.cond": cond, "in.t": t, "in.coarse": coarse, "in.style": style, "out.v": v})


if __name__ == "__main__":
    main()
