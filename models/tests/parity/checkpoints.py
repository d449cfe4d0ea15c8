"""Write what the tests of single files compare with: for every tensor of the published files the name that diffusers' own conversion
gives it (`checkpoints/names/*.txt`), and the outputs of small models that went through that conversion (`checkpoints/*.safetensors`).

    pip install -r requirements.txt && python checkpoints.py --lists FOLDER [--seed N] [--out FOLDER]

`FOLDER` holds the lists of keys and shapes of published files (`UNET-v1-SD.txt` and others: a name and `[shape]` a line). The weights of
the small models stand in no file: each is made of its name and place by the formula in `drawn`, which the tests have too."""
import argparse
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_controlnet_checkpoint, convert_ldm_clip_checkpoint, convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from keylists import listed

CROSS = {"layers_per_block": 2}
VAE = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
UNET, FIRST = "model.diffusion_model.", "first_stage_model."


def open_clip(keys, prefix):
    class Model:
        class config:
            hidden_size = keys["token_embedding.weight"].shape[1]
    return convert_open_clip_checkpoint(Model, {prefix + k: v for k, v in keys.items()}, prefix=prefix)


def conversions(name, tensors):
    """What diffusers makes of the tensors of a list; names as in whole files."""
    if name.startswith("UNET"):
        config = CROSS | ({"addition_embed_type": "text_time"} if "XL" in name else {})
        return UNET, convert_ldm_unet_checkpoint({UNET + k: v for k, v in tensors.items()}, config)
    if name.startswith("ControlNet"):
        return "control_model.", convert_controlnet_checkpoint({"control_model." + k: v for k, v in tensors.items()}, CROSS)
    if name.startswith("VAE"):
        return FIRST, convert_ldm_vae_checkpoint({FIRST + k: v for k, v in tensors.items()}, VAE)
    if name == "CLIP-v1-SD":
        prefix = "cond_stage_model.transformer.text_model."
        return prefix, convert_ldm_clip_checkpoint({prefix + k: v for k, v in tensors.items()})
    prefix = "conditioner.embedders.1.model." if "XL" in name else "cond_stage_model.model."
    return prefix, open_clip(tensors, prefix)


def names(folder, out):
    """Every tensor holds its number, so that what it becomes can be told."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ["UNET-v1-SD", "UNET-v2-SD", "UNET-XL-SD", "UNET-XL-Refiner", "VAE-v1-SD", "CLIP-v1-SD", "CLIP-v2-SD",
                 "CLIP-XL-SD", "ControlNet-v1-SD"]:
        keys = list(listed(folder, name))
        tensors = {key: torch.tensor(float(i)).expand(shape) for i, (key, shape) in enumerate(keys)}
        prefix, made = conversions(name, tensors)
        lines = []
        for new, tensor in made.items():
            old, shape = keys[int(tensor.flatten()[0])]
            other = "" if shape == list(tensor.shape) else f" {list(tensor.shape)}"
            lines.append(f"{prefix}{old} {shape} {new}".replace(", ", ",") + other.replace(", ", ","))
        (out / f"{name}.txt").write_text("\n".join(sorted(lines)) + "\n")
        print(f"{name}: {len(keys)} tensors, {len(made)} in diffusers")


def drawn(name, shape, seed):
    """Values about as large as those of a network, made of the name and the place alone: the hash of MurmurHash3's end."""
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(zlib.crc32(name.encode()) ^ seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    even = x.astype(np.float64) / 2**32 - 0.5
    if len(shape) > 1:
        inputs = math.prod(shape[1:])
        value = even * math.sqrt(12 / inputs) if "embedding" not in name else even
    else:
        value = 0.4 * even if name.endswith("bias") else 1 + even
    return torch.from_numpy(value.astype(np.float32)).reshape(shape)


def small(folder, name, shrink, keep=lambda key: True):
    """The tensors of a list with other widths: (names and shapes)."""
    return {key: [shrink(side) for side in shape] for key, shape in listed(folder, name) if keep(key)}


def filled(shapes, prefix, seed):
    return {key: drawn(prefix + key, shape, seed) for key, shape in shapes.items()}


def text_model(config, state):
    model = CLIPTextModel(CLIPTextConfig(**config)).eval()
    own = model.state_dict()
    bare = not any(k.startswith("text_model.") for k in own)
    state = {k.removeprefix("text_model.") if bare else k: v for k, v in state.items() if k.startswith("text_model.")}
    state = {k: v for k, v in state.items() if k in own}
    model.load_state_dict(state, strict=True)
    return model


@torch.no_grad()
def outputs(folder, out, seed):
    g = torch.Generator().manual_seed(seed)
    tensors, shapes = {}, {}

    # Stable Diffusion 1 at a tenth of its width; the text keeps its own.
    unet = small(folder, "UNET-v1-SD", lambda side: side if side < 16 or side == 768 else side // 10)
    shapes |= {UNET + key: shape for key, shape in unet.items()}
    config = {"in_channels": 4, "out_channels": 4, "block_out_channels": [32, 64, 128, 128], "layers_per_block": 2,
              "cross_attention_dim": 768, "attention_head_dim": 8}
    net = UNet2DConditionModel(**config).eval()
    net.load_state_dict(conversions("UNET", filled(unet, UNET, seed))[1])
    x, context = torch.randn(1, 4, 16, 8, generator=g), torch.randn(1, 7, 768, generator=g)
    tensors |= {"unet.in.x": x, "unet.in.context": context, "unet.out.t500": net(x, 500, context).sample}

    vae = small(folder, "VAE-v1-SD", lambda side: side if side < 16 else side // 4)
    shapes |= {FIRST + key: shape for key, shape in vae.items()}
    net = AutoencoderKL(block_out_channels=[32, 64, 128, 128], layers_per_block=2, latent_channels=4, **VAE).eval()
    net.load_state_dict(conversions("VAE", filled(vae, FIRST, seed))[1])
    z, picture = torch.randn(1, 4, 5, 4, generator=g), torch.rand(1, 3, 40, 32, generator=g) * 2 - 1
    tensors |= {"vae.in.z": z, "vae.out.decoded": net.decode(z).sample, "vae.in.picture": picture,
                "vae.out.mean": net.encode(picture).latent_dist.mean}

    tokens = torch.randint(0, 999, (1, 12), generator=g)
    tokens[0, 9:] = 999
    short = lambda side: 1000 if side == 49408 else side
    prefix = "cond_stage_model.transformer.text_model."
    clip = small(folder, "CLIP-v1-SD", short, lambda key: "position_ids" not in key and ("layers" not in key or key.split(".")[2] < "2"
                                                                                 and len(key.split(".")[2]) == 1))
    shapes |= {prefix + key: shape for key, shape in clip.items()}
    common = {"vocab_size": 1000, "bos_token_id": 998, "eos_token_id": 999, "pad_token_id": 999}
    net = text_model(common | {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 2, "num_attention_heads": 12,
                               "hidden_act": "quick_gelu"}, conversions("CLIP-v1-SD", filled(clip, prefix, seed))[1])
    tensors |= {"clip.in.tokens": tokens, "clip.out.last": net(tokens).last_hidden_state}

    # Stable Diffusion 2 leaves out the last layer.
    prefix = "cond_stage_model.model."
    clip = small(folder, "CLIP-v2-SD", short, lambda key: "logit_scale" not in key and ("resblocks" not in key or
                                                                                key.split(".")[2] in "012"))
    second = {prefix + key: shape for key, shape in clip.items()}
    net = text_model(common | {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 2, "num_attention_heads": 16,
                               "hidden_act": "gelu"}, {k: v for k, v in open_clip(filled(clip, prefix, seed), prefix).items()
                                                       if ".layers.2." not in k})
    tensors |= {"open_clip.out.last": net(tokens).last_hidden_state}

    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "small.safetensors", {"seed": str(seed)})
    for name, named in (("small", shapes), ("small_open_clip", second)):
        lines = [f"{key} {shape}".replace(", ", ",") for key, shape in sorted(named.items())]
        (out / f"{name}.txt").write_text("\n".join(lines) + "\n")
    for key, value in tensors.items():
        print(key, list(value.shape), f"{value.float().std():.3f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lists", type=Path, required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    names(args.lists, args.out / "checkpoints" / "names")
    outputs(args.lists, args.out / "checkpoints", args.seed)


if __name__ == "__main__":
    main()
