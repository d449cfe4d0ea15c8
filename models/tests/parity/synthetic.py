"""Write a whole checkpoint of Stable Diffusion 1 with random weights under the names and shapes of the published one: 4.3 GB in f32, half
of that in f16 or bf16. It is for measuring how long loading takes; keep it out of the repository.

    python synthetic.py --lists FOLDER --out FILE.safetensors [--dtype F32|F16|BF16] [--seed N]"""
import argparse
import json
import math
import struct
from pathlib import Path

import numpy as np

from keylists import listed

PARTS = [("UNET-v1-SD", "model.diffusion_model."), ("VAE-v1-SD", "first_stage_model."),
         ("CLIP-v1-SD", "cond_stage_model.transformer.text_model.")]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lists", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--dtype", choices=["F32", "F16", "BF16"], default="F32")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    width = 4 if args.dtype == "F32" else 2
    header, at, tensors = {}, 0, []
    for name, prefix in PARTS:
        for key, shape in listed(args.lists, name):
            if "position_ids" in key:
                continue
            size = width * math.prod(shape)
            header[prefix + key] = {"dtype": args.dtype, "shape": shape, "data_offsets": [at, at + size]}
            tensors.append((key, shape))
            at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    # A few million values over and over: what they are does not change how long it takes.
    noise = np.random.default_rng(args.seed).standard_normal((1 << 22) - 3).astype(np.float32)
    with args.out.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for key, shape in tensors:
            left = math.prod(shape)
            one = len(shape) == 1 and key.endswith("weight")
            spread = 0.02 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            while left > 0:
                values = noise[:left] * np.float32(spread) + np.float32(one)
                if args.dtype == "BF16":
                    values = (values.view(np.uint32) >> 16).astype(np.uint16)
                elif args.dtype == "F16":
                    values = values.astype(np.float16)
                file.write(values.tobytes())
                left -= len(values)
    print(f"{args.out}: {len(tensors)} tensors, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
