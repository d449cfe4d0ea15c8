"""Write the golden file of a whole drawing: a tiny Stable Diffusion with random weights, a ControlNet and a LoRA, through diffusers'
`StableDiffusionControlNetImg2ImgPipeline`, with the noise that Upweave would draw.

    pip install -r requirements.txt && python pipeline.py [--seed N] [--out FOLDER]

Weights are f16 (under `unet.`, `vae.`, `control.`, `lora.`); the latents are those of exactly these weights, run in f32."""
import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL, ControlNetModel, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionControlNetImg2ImgPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file

from generate import randomise

SEED, WIDTH, HEIGHT, STRENGTH, GUIDANCE, STEPS, WEIGHT = 5, 64, 128, 0.7, 4.0, 10, 0.6
LORA_WEIGHT, RANK, ALPHA = 0.8, 3, 2.0


def philox(counter, key):
    """Philox 4x32-10 (Salmon et al. 2011) over arrays of counters."""
    counter, key = [c.astype(np.uint64) for c in counter], [np.uint64(k) for k in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        counter = [(b >> np.uint64(32)) ^ counter[1] ^ key[0], b & low, (a >> np.uint64(32)) ^ counter[3] ^ key[1], a & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return counter


def noise(seed, draw, channels, height, width):
    """Standard normal noise by place, as `models/src/noise.rs` has it."""
    c, y, x = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    first, second, *_ = philox([x, y, c, np.full_like(x, draw)], [seed & 0xFFFFFFFF, seed >> 32])
    radius = ((first >> np.uint64(8)).astype(np.float64) + 0.5) / 2**24
    turn = (second >> np.uint64(8)).astype(np.float64) / 2**24
    return torch.from_numpy(np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * turn)).float()[None]


def networks(g):
    half = torch.float16
    shared = {
        "in_channels": 4, "block_out_channels": [8, 12], "layers_per_block": 1, "cross_attention_dim": 16, "attention_head_dim": 2,
        "norm_num_groups": 4, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    }
    unet = UNet2DConditionModel(**shared, out_channels=4, sample_size=16, up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
    control = ControlNetModel(**shared, conditioning_embedding_out_channels=(4, 6, 8, 12))
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, block_out_channels=[4, 4, 8, 8],
        layers_per_block=1, norm_num_groups=4, latent_channels=4,
    )
    return [randomise(net, g, half) for net in (unet, control, vae)]


def lora(unet, g):
    """Low-rank changes of some layers, in the names of kohya's training scripts, merged into the network; its tensors."""
    tensors = {}
    for name, module in unet.named_modules():
        if not (name.endswith(("to_q", "to_v", "to_out.0", "proj_in", "ff.net.2"))):
            continue
        weight = module.weight.data
        outs, ins = weight.shape[0], weight[0].numel()
        down = (torch.randn(RANK, ins, generator=g) / math.sqrt(ins)).half()
        up = (torch.randn(outs, RANK, generator=g) / math.sqrt(RANK)).half()
        change = (up.float() @ down.float()) * (LORA_WEIGHT * ALPHA / RANK)
        weight += change.reshape(weight.shape)
        key = "lora_unet_" + name.replace(".", "_")
        conv = weight.dim() == 4
        tensors[f"{key}.lora_down.weight"] = down[:, :, None, None].contiguous() if conv else down
        tensors[f"{key}.lora_up.weight"] = up[:, :, None, None].contiguous() if conv else up
        tensors[f"{key}.alpha"] = torch.tensor(ALPHA).half()
    return tensors


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    g = torch.Generator().manual_seed(args.seed)
    unet, control, vae = networks(g)
    state = {f"{part}.{k}": v.half() for part, net in (("unet", unet), ("control", control), ("vae", vae)) for k, v in net.state_dict().items()}
    state |= {f"lora.{k}": v for k, v in lora(unet, g).items()}

    picture = torch.rand(1, 3, HEIGHT // 16, WIDTH // 16, generator=g)
    picture = torch.nn.functional.interpolate(picture, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1).half().float()
    wanted, unwanted = torch.randn(2, 1, 77, 16, generator=g)
    # Structure is kept as by sd-webui-controlnet when the prompt is more important: deeper layers count more.
    forward = control.forward

    def softly(*args, **options):
        down, middle = forward(*args, **options)
        weights = [0.825 ** (12 - i) for i in range(len(down) + 1)]
        return [d * w for d, w in zip(down, weights)], middle * weights[-1]

    control.forward = softly
    out = {}
    schedulers = {
        "ddim": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True, steps_offset=1),
        "euler": EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True),
        "dpm2m": DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True),
    }
    for name, scheduler in schedulers.items():
        pipe = StableDiffusionControlNetImg2ImgPipeline(
            vae=vae, text_encoder=None, tokenizer=None, unet=unet, controlnet=control, scheduler=scheduler, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        # The most likely latent, not one drawn around it; and the noise that belongs to each place.
        mean = vae.encode(picture * 2 - 1).latent_dist.mean * vae.config.scaling_factor
        drawn = noise(SEED, 0, 4, HEIGHT // 8, WIDTH // 8)
        scheduler.set_timesteps(STEPS)
        begin = STEPS - int(STEPS * STRENGTH)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        times = scheduler.timesteps[begin:]
        start = scheduler.add_noise(mean, drawn, times[:1])
        pipe.prepare_latents = lambda *args, **options: start
        latents = pipe(
            prompt_embeds=wanted, negative_prompt_embeds=unwanted, image=picture, control_image=picture, strength=STRENGTH,
            num_inference_steps=STEPS, guidance_scale=GUIDANCE, controlnet_conditioning_scale=WEIGHT, output_type="latent",
        ).images
        out[f"out.{name}"] = latents
        print(f"{name}: spread {latents.std():.3f}, moved by {(latents - mean).std():.3f}")
    save_file(
        {k: v.contiguous() for k, v in state.items()}
        | {"in.picture": picture.half(), "in.wanted": wanted, "in.unwanted": unwanted, "out.mean": mean} | {k: v.contiguous() for k, v in out.items()},
        args.out / "pipeline_tiny.safetensors",
        {part: net.to_json_string() for part, net in (("unet", unet), ("control", control), ("vae", vae))},
    )
    print((args.out / "pipeline_tiny.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
