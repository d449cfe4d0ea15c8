"""Write a network as f16 safetensors with the metadata that Upweave reads."""
import argparse
import os

import torch
from safetensors.torch import load_file, save_file


def export(state, path, name, version, trained):
    state = {k: v.detach().to(torch.float16).contiguous() for k, v in state.items()}
    assert all(v.isfinite().all() for v in state.values()), "weights do not fit f16"
    meta = {"format": "upweave-1", "name": name, "version": version, "trained": trained}
    save_file(state, path + ".tmp", meta)
    os.replace(path + ".tmp", path)


def load(path):
    """The state dict as f32."""
    return {k: v.float() for k, v in load_file(path).items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint", help="written by train_faithful.py or train_detail.py")
    p.add_argument("out")
    p.add_argument("--version", default="1")
    a = p.parse_args()
    c = torch.load(a.checkpoint, weights_only=True)
    export(c["ema"], a.out, c["name"], a.version, c["trained"])
