"""Write the golden files of adapters (`checkpoints/lora_*.safetensors`): one set of random matrices for the U-Net of
`unet_tiny.safetensors` in the layouts of kohya, PEFT and processors, and the outputs that diffusers and PEFT give with them merged.

    pip install -r requirements.txt && python loras.py [--seed N] [--out FOLDER]

`FOLDER` has to hold `unet_tiny.safetensors` (`generate.py` writes it)."""
import argparse
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

LINEAR = ["attn1.to_q", "attn1.to_v", "attn2.to_k", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"]
CONV = {"proj_in": 1, "proj_out": 1, "conv1": 3, "conv_shortcut": 1}


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    g = torch.Generator().manual_seed(args.seed)
    path = args.out / "unet_tiny.safetensors"
    with safe_open(path, "pt") as file:
        # The way up mirrors the way down.
        config = {"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]} | json.loads(file.metadata()["config"])
    base = {k: v.float() for k, v in load_file(path).items()}

    def fresh():
        net = UNet2DConditionModel(**config).eval()
        net.load_state_dict({k: v for k, v in base.items() if not k.startswith(("in.", "out."))})
        return net

    modules = []
    for name, module in fresh().named_modules():
        if any(name.endswith(part) for part in LINEAR) or any(name.endswith("." + part) for part in CONV):
            modules.append((name, module.weight.shape))
    matrices = {}
    for name, shape in modules:
        rank = 3  # one for all: without alphas, diffusers scales layers of several ranks by the first
        inner = shape[1:]
        down = torch.randn(rank, *inner, generator=g) / inner.numel() ** 0.5
        up = torch.randn(shape[0], rank, *([1, 1] if len(shape) == 4 else []), generator=g)
        matrices[name] = (down, up, 1.5 if "attn1" in name else 4.0)

    kohya, peft, processors = {}, {}, {}
    for name, (down, up, alpha) in matrices.items():
        flat = "lora_unet_" + name.replace(".", "_")
        kohya |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(alpha)}
        # These two layouts have no alpha: it goes into the matrix.
        scaled = up * (alpha / down.shape[0])
        peft |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": scaled}
        if ".attn" in name:
            before, attn = name.split(".attn")
            number, layer = attn.split(".", 1)
            layer = layer.removesuffix(".0")
            old = f"unet.{before}.attn{number}.processor.{layer}_lora"
            processors |= {f"{old}.down.weight": down, f"{old}.up.weight": scaled}

    x, context = base["in.x"][:1], base["in.context"][:1]
    out = {}
    for key, state, weight in (("all", peft, 1.0), ("half", peft, 0.5), ("attention", processors, 1.0)):
        net = fresh()
        net.load_lora_adapter(state, prefix="unet")
        net.set_adapters(net.active_adapters(), weight)
        net.fuse_lora()
        out[f"out.{key}"] = net(x, 37, context).sample
    # kohya's alphas by the formula: diffusers loses those of files that have several.
    net = fresh()
    for name, (down, up, alpha) in matrices.items():
        weight = net.get_submodule(name).weight
        weight += alpha / down.shape[0] * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    torch.testing.assert_close(net(x, 37, context).sample, out["out.all"], rtol=1e-4, atol=1e-4)
    plain = fresh()(x, 37, context).sample
    for key, value in out.items():
        print(key, f"{(value - plain).std():.3f} away from without")

    folder = args.out / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    # Embeddings as trainers save them: in a dictionary inside, and as the parameters of an object.
    vectors = torch.arange(2 * 768, dtype=torch.float32).reshape(2, 768) / 8
    token = {"string_to_token": {"*": 265}, "name": "x", "step": 9}
    torch.save(token | {"string_to_param": {"*": vectors}}, folder / "embedding.pt")
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors)})
    token["string_to_token"] = {"*": torch.tensor(265)}
    torch.save(token | {"string_to_param": parameters}, folder / "embedding_parameters.pt")
    for name, tensors in (("lora_kohya", kohya), ("lora_peft", peft), ("lora_processors", processors), ("lora_outputs", out)):
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()
