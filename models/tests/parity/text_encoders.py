"""Write golden files of text encoders at every depth: random weights, texts that are filled up as the families do, the state in front
of the last blocks, with and without the last normalisation, and the pooled and projected vector.

    pip install -r requirements.txt && python text_encoders.py [--seed N] [--out FOLDER] [--full [NAME ...]]

`--full` writes the encoders of Stable Diffusion 1, 2 and SDXL at their sizes (up to 1.4 GB each, f16 weights that are run in f32), for a
folder outside the repository."""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from random_weights import randomise

TINY = {
    "text_encoder_open": {"vocab_size": 90, "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 3,
                          "num_attention_heads": 5, "hidden_act": "gelu", "projection_dim": 24, "eos_token_id": 89},
}
FULL = {
    "text_encoder_l": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                       "hidden_act": "quick_gelu"},
    "text_encoder_h": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                       "hidden_act": "gelu"},
    "text_encoder_big_g": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
                           "hidden_act": "gelu", "projection_dim": 1280},
}


@torch.no_grad()
def write(path, config, g, dtype, texts):
    config = {"vocab_size": 49408, "max_position_embeddings": 77, "layer_norm_eps": 1e-5, "eos_token_id": 49407} | config
    end = config["eos_token_id"]
    config |= {"bos_token_id": end - 1, "pad_token_id": 0}
    projects = "projection_dim" in config
    net = (CLIPTextModelWithProjection if projects else CLIPTextModel)(CLIPTextConfig(**config))
    net = randomise(net, g, torch.float16)
    tokens = torch.randint(1, end - 1, (texts, 77), generator=g)
    tokens[:, 0] = end - 1
    tokens[0, 12:] = 0
    tokens[0, 12] = end
    tokens[1:, 76] = end
    out = net(tokens, output_hidden_states=True)
    tensors = {"in.tokens": tokens.to(torch.int32), "out.pooled": out.text_embeds if projects else out.pooler_output}
    norm = (net.text_model if hasattr(net, "text_model") else net).final_layer_norm
    for skip in (0, 1, 2):
        state = out.hidden_states[-1 - skip]
        tensors[f"out.raw.{skip}"], tensors[f"out.normalised.{skip}"] = state, norm(state)
    named = lambda k: k if k.startswith(("text_model.", "text_projection.")) else f"text_model.{k}"
    weights = {named(k): v.to(dtype) for k, v in net.state_dict().items() if "position_ids" not in k}
    save_file({k: v.contiguous() for k, v in (weights | tensors).items()}, path, {"config": json.dumps(config)})
    print(f"{path.name}: {len(weights)} weights, {path.stat().st_size} bytes; spread of the pooled {tensors['out.pooled'].std():.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    p.add_argument("--full", nargs="*", choices=list(FULL), metavar="NAME", help=", ".join(FULL))
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = TINY if args.full is None else {name: FULL[name] for name in args.full or FULL}
    for name, config in wanted.items():
        g = torch.Generator().manual_seed(args.seed)
        write(args.out / f"{name}.safetensors", config, g, torch.float16, 2)


if __name__ == "__main__":
    main()
