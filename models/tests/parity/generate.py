"""Write the golden files of the networks whose weights people bring along: small, random weights under the key names of
the published files, inputs `in.*`, expected outputs `out.*` (f32), the configuration as JSON in the metadata.

    pip install -r requirements.txt && python generate.py [--only NAME ...] [--seed N] [--out FOLDER]

Where a file would grow past 300 kB, its weights are f16; the outputs are those of exactly these weights, run in f32."""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

import diffusion
from random_weights import randomise
from upscalers import RrdbNet, Srvgg

LIMIT = 300_000


def srvgg_tiny(g):
    config = {"features": 8, "convs": 3, "scale": 4}
    net = randomise(Srvgg(**config), g)
    for layer in net.body:
        if isinstance(layer, torch.nn.PReLU):
            layer.weight.data *= 0.25  # the customary slope
    x = torch.rand(2, 3, 13, 10, generator=g)
    return config, net.state_dict(), {"in.x": x, "out.x": net(x)}


def rrdb_tiny(g):
    config = {"features": 8, "blocks": 2, "grow": 4}
    net = randomise(RrdbNet(**config), g)
    x = torch.rand(2, 3, 11, 14, generator=g)
    return config | {"scale": 4}, net.state_dict(), {"in.x": x, "out.x": net(x)}


def clip_tiny(g):
    config = {
        "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        "bos_token_id": 98, "eos_token_id": 99, "pad_token_id": 99,
    }
    net = randomise(CLIPTextModel(CLIPTextConfig(**config)), g)
    tokens = torch.randint(0, 98, (2, 77), generator=g)
    tokens[:, 0] = 98
    tokens[0, 12:] = 99  # a short text, filled up with end tokens as Stable Diffusion does
    tokens[1, 76] = 99
    out = net(tokens, output_hidden_states=True)
    weights = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in net.state_dict().items()}
    return config, weights, {
        "in.tokens": tokens, "out.last": out.last_hidden_state, "out.pooled": out.pooler_output,
        "out.before_last": out.hidden_states[-2],
    }


GOLDEN = {f.__name__: f for f in (srvgg_tiny, rrdb_tiny, clip_tiny)} | diffusion.GOLDEN


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="+", choices=GOLDEN, default=list(GOLDEN), metavar="NAME", help=", ".join(GOLDEN))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        config, weights, tensors = GOLDEN[name](torch.Generator().manual_seed(args.seed))
        path = args.out / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in (weights | tensors).items()}, path, {"config": json.dumps(config)})
        size = path.stat().st_size
        spread = ", ".join(f"{k} {v.std():.2f}" for k, v in tensors.items() if k.startswith("out."))
        print(f"{path.name}: {len(weights)} weights, {size} bytes; spread of {spread}")
        if size > LIMIT:
            raise SystemExit(f"`{path.name}` is larger than {LIMIT} bytes; make its widths smaller")


if __name__ == "__main__":
    main()
