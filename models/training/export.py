"""Write a network as f16 safetensors with the metadata that Upweave reads."""
import argparse
import math
import os

import torch
from safetensors.torch import load_file, save_file

from detail import FREQUENCIES


def export(state, path, name, version, trained):
    state = {k: v.detach().to(torch.float16).contiguous() for k, v in state.items()}
    assert all(v.isfinite().all() for v in state.values()), "weights do not fit f16"
    meta = {"format": "upweave-1", "name": name, "version": version, "trained": trained}
    save_file(state, path + ".tmp", meta)
    os.replace(path + ".tmp", path)


def shift_time(state, delta):
    """The detail network's weights such that it sees t + delta: each (sin, cos) pair of features is turned.

    Training draws few t near 0, where sampling starts; a short run extrapolates badly there, and a small shift avoids it.
    """
    w = state["emb.0.weight"].clone()
    n = len(FREQUENCIES)
    angle = math.pi * delta * torch.tensor(FREQUENCIES, dtype=w.dtype)
    s, c = w[:, :n].clone(), w[:, n : 2 * n].clone()
    w[:, :n] = s * angle.cos() - c * angle.sin()
    w[:, n : 2 * n] = s * angle.sin() + c * angle.cos()
    return state | {"emb.0.weight": w}


def load(path):
    """The state dict as f32."""
    return {k: v.float() for k, v in load_file(path).items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint", help="written by train_faithful.py or train_detail.py")
    p.add_argument("out")
    p.add_argument("--version", default="1")
    p.add_argument("--shift", type=float, default=0.0, help="time shift of the detail network")
    a = p.parse_args()
    c = torch.load(a.checkpoint, weights_only=True)
    state = shift_time(dict(c["ema"]), a.shift) if a.shift else c["ema"]
    export(state, a.out, c["name"], a.version, c["trained"])
