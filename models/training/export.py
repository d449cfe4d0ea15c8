"""Write a network as f16 safetensors with the metadata that Upweave reads."""
import argparse
import math
import os

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from detail import FREQUENCIES, PAINTINGS, TWO_STEPS


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


def trained_weights(path):
    """(state dict, name, how it was trained) of a checkpoint, or of an exported file."""
    if path.endswith(".safetensors"):
        with safe_open(path, "pt") as f:
            return load_file(path), f.metadata()["name"], f.metadata()["trained"]
    c = torch.load(path, weights_only=True)
    return dict(c["ema"]), c["name"], c["trained"]


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint", help="written by train_faithful.py or train_detail.py; or an exported file")
    p.add_argument("out")
    p.add_argument("--version", default="1")
    p.add_argument("--paintings", help="the same for the second network of the file, of `train_detail.py --teach paintings`")
    p.add_argument("--two-steps", nargs=2, metavar=("PHOTOGRAPHS", "PAINTINGS"), help="the same for those of `train_two_steps.py`")
    p.add_argument("--shift", type=float, default=0.0, help="time shift of the detail network")
    a = p.parse_args()
    state, name, trained = trained_weights(a.checkpoint)
    if a.shift:
        state = shift_time(state, a.shift)
    few = zip(("two steps", "two steps of paintings"), TWO_STEPS, a.two_steps or ())
    for what, prefix, path in (("paintings", PAINTINGS, a.paintings), *few):
        if path:
            further, _, more = trained_weights(path)
            state |= {prefix + k: v for k, v in further.items()}
            trained += f"; {what} {more}"
    export(state, a.out, name, a.version, trained)
