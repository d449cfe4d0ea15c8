"""Write the golden files of one-step restoration (`one_step/`): adapters of random numbers for the U-Net of `unet_sd2_tiny.safetensors` and
the autoencoder of `pipeline_tiny.safetensors`, put in by PEFT and saved as the programs of OSEDiff and PiSA-SR save theirs, and the
latents that the formulas of the papers give with them.

    pip install -r requirements.txt && python one_step.py [--seed N] [--out FOLDER]

`FOLDER` has to hold the two files (`generate.py` and `pipeline.py` write them)."""
import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

RANK, SIDE = 4, 64
UNET = ("to_k", "to_q", "to_v", "to_out.0", "conv", "proj_in", "proj_out", "ff.net.2", "ff.net.0.proj")
VAE = ("conv", "to_k", "to_q", "to_v", "to_out.0")
# Resemblance, creativity and guidance of what is drawn.
AMOUNTS = {"default": (1.0, 1.0, 1.0), "pixels": (1.0, 0.4, 1.0), "meaning": (0.5, 1.0, 1.0), "guided": (0.8, 0.2, 2.0)}


def groups(unet):
    """The layers of the way down, of the way up, and the others."""
    found = {"encoder": [], "decoder": [], "others": []}
    for name, p in unet.named_parameters():
        if name.endswith("weight") and "norm" not in name and any(part in name for part in UNET):
            down, up = "down_blocks" in name or "conv_in" in name, "up_blocks" in name or "conv_out" in name
            found["encoder" if down else "decoder" if up else "others"].append(name.removesuffix(".weight"))
    return found


def adapt(net, layers, adapter, g):
    """Adds an adapter with the settings of both programs, of random numbers."""
    net.add_adapter(LoraConfig(r=RANK, init_lora_weights="gaussian", target_modules=layers), adapter_name=adapter)
    for name, p in net.named_parameters():
        if f"lora_A.{adapter}." in name:
            p.data = torch.randn(p.shape, generator=g) / p[0].numel() ** 0.5
        elif f"lora_B.{adapter}." in name:
            p.data = torch.randn(p.shape, generator=g) * 0.2


def guided(unet, z, time, texts, scale):
    wanted, unwanted = [unet(z, time, text).sample for text in texts]
    return unwanted + scale * (wanted - unwanted)


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    g = torch.Generator().manual_seed(args.seed)
    sd2, pipeline = args.out / "unet_sd2_tiny.safetensors", args.out / "pipeline_tiny.safetensors"
    with safe_open(sd2, "pt") as file:
        # The way up mirrors the way down.
        config = {"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]} | json.loads(file.metadata()["config"])
    with safe_open(pipeline, "pt") as file:
        vae_config = json.loads(file.metadata()["vae"])

    def fresh(kind, path, prefix, config):
        net = kind.from_config(config).eval()
        state = {k.removeprefix(prefix): v.float() for k, v in load_file(path).items() if k.startswith(prefix)}
        net.load_state_dict({k: v for k, v in state.items() if not k.startswith(("in.", "out."))})
        return net

    vae = fresh(AutoencoderKL, pipeline, "vae.", vae_config)
    picture = torch.rand(1, 3, SIDE // 8, SIDE // 8, generator=g)
    picture = torch.nn.functional.interpolate(picture, (SIDE, SIDE), mode="bicubic").clamp(0, 1).half().float()
    texts = torch.randn(2, 1, 77, config["cross_attention_dim"], generator=g)
    out = {"in.picture": picture, "in.wanted": texts[0], "in.unwanted": texts[1]}
    folder = args.out / "one_step"
    folder.mkdir(parents=True, exist_ok=True)

    # PiSA-SR: a half for the pixels, a half for the meaning.
    unet = fresh(UNet2DConditionModel, sd2, "", config)
    layers = groups(unet)
    for half in ("pix", "sem"):
        for place, names in layers.items():
            adapt(unet, names, f"default_{place}_{half}", g)
    saved = {f"unet_lora_{place}_modules_{half}": names for place, names in layers.items() for half in ("pix", "sem")}
    saved |= {"lora_rank_unet_pix": RANK, "lora_rank_unet_sem": RANK}
    saved["state_dict_unet"] = {k: v.half() for k, v in unet.state_dict().items() if "lora" in k}
    torch.save(saved, folder / "pisa_sr.pkl")
    for name, p in unet.named_parameters():
        if "lora" in name:
            p.data = p.half().float()
    z = vae.encode(picture * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    both = [f"default_{place}_{half}" for half in ("pix", "sem") for place in layers]

    def pisa(pix, sem, scale):
        unet.set_adapter(both[:3])
        pixels = guided(unet, z, 1, texts, scale)
        unet.set_adapter(both)
        return z - (pix * pixels + sem * (guided(unet, z, 1, texts, scale) - pixels))

    for name, amounts in AMOUNTS.items():
        out[f"out.pisa.{name}"] = pisa(*amounts)
    # Other amounts at each latent.
    pix, sem = [torch.rand(1, 1, SIDE // 8, SIDE // 8, generator=g) for _ in range(2)]
    out |= {"in.pix": pix, "in.sem": sem, "out.pisa.maps": pisa(pix, sem, 1.0)}

    # OSEDiff: one adapter, another for the encoder, and a first convolution that was trained along.
    unet = fresh(UNet2DConditionModel, sd2, "", config)
    for place, names in layers.items():
        adapt(unet, names, f"default_{place}", g)
    for p in unet.conv_in.base_layer.parameters():
        p.data += torch.randn(p.shape, generator=g) * 0.1
    names = [n.removesuffix(".weight") for n, _ in vae.named_parameters() if n.endswith("weight") and "norm" not in n]
    names = [n for n in names if n == "quant_conv" or (n.startswith("encoder") and any(part in n for part in VAE))]
    adapt(vae, names, "default_encoder", g)
    for net in (unet, vae):
        for name, p in net.named_parameters():
            if "lora" in name or "conv_in.base" in name and net is unet:
                p.data = p.half().float()
    saved = {f"unet_lora_{place}_modules": names for place, names in layers.items()}
    saved |= {"vae_lora_encoder_modules": names, "rank_unet": RANK, "rank_vae": RANK}
    saved["state_dict_unet"] = {k: v.half() for k, v in unet.state_dict().items() if "lora" in k or "conv_in" in k}
    saved["state_dict_vae"] = {k: v.half() for k, v in vae.state_dict().items() if "lora" in k}
    torch.save(saved, folder / "osediff.pkl")
    unet.set_adapter([f"default_{place}" for place in layers])
    z = vae.encode(picture * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    scheduler.set_timesteps(timesteps=[999])
    answer = unet(z, 999, texts[0]).sample
    out["out.osediff.default"] = scheduler.step(answer, torch.tensor(999), z).prev_sample
    out["out.osediff.part"] = z + 0.6 * (out["out.osediff.default"] - z)
    for name, value in out.items():
        if name.startswith("out."):
            print(f"{name}: spread {value.std():.3f}, moved by {(value - z).std():.3f}")
    save_file({k: v.contiguous() for k, v in out.items()}, folder / "outputs.safetensors", {"unet": json.dumps(config)})
    for file in sorted(folder.iterdir()):
        print(file.name, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
