"""Write golden files of Stable Diffusion's networks at their full sizes: random weights (f16), inputs and outputs (f32), for the
tests in `src/stable_diffusion/tests/full_size.rs`. The files have gigabytes, and a U-Net takes 4 GB of memory.

    pip install -r requirements.txt && python full_size.py --out FOLDER [--only NAME ...] [--seed N] [--latent H W]
        [--xl-blocks N]"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import diffusion

SD1 = diffusion.SD1 | {
    "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "attention_head_dim": 8, "norm_num_groups": 32,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "cross_attention_dim": 768,
}
XL = diffusion.XL | {
    "block_out_channels": [320, 640, 1280], "layers_per_block": 2, "attention_head_dim": [5, 10, 20], "norm_num_groups": 32,
    "cross_attention_dim": 2048, "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}
VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32}


def unet(g, args):
    return diffusion.unet_golden(SD1, g, args.latent)


def controlnet(g, args):
    return diffusion.controlnet_golden(SD1, g, args.latent, [16, 32, 96, 256])


def vae(g, args):
    return diffusion.vae_golden(VAE, g, args.latent, [8 * side for side in args.latent])


def unet_xl(g, args):
    return diffusion.unet_golden(XL | {"transformer_layers_per_block": [1, 2, args.xl_blocks]}, g, args.latent)


GOLDEN = {f.__name__: f for f in (unet, controlnet, vae, unet_xl)}


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="+", choices=GOLDEN, default=list(GOLDEN), metavar="NAME", help=", ".join(GOLDEN))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--latent", type=int, nargs=2, default=(24, 32), metavar=("H", "W"), help="multiples of 8")
    p.add_argument("--xl-blocks", type=int, default=10, help="transformer blocks of SDXL's coarsest level: fewer take less memory")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        config, weights, tensors = GOLDEN[name](torch.Generator().manual_seed(args.seed), args)
        path = args.out / f"full_{name}.safetensors"
        save_file({k: v.contiguous() for k, v in (weights | tensors).items()}, path, {"config": json.dumps(config)})
        print(f"{path.name}: {len(weights)} weights, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
