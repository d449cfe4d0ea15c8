"""Write the golden file of soft noise inversion (`inversion_tiny.safetensors`): the U-Net and the autoencoder of `pipeline_tiny.safetensors`,
the picture's latent carried up to noise by diffusers' `DDIMInverseScheduler`, and drawn out of it again by its `DDIMScheduler`.

    pip install -r requirements.txt && python inversion.py [--seed N] [--out FOLDER]

`FOLDER` has to hold `pipeline_tiny.safetensors` (`pipeline.py` writes it)."""
import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMInverseScheduler, DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline import GUIDANCE, SEED, noise

STEPS, STRENGTH = 10, 0.7
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1}


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    path = args.out / "pipeline_tiny.safetensors"
    with safe_open(path, "pt") as file:
        configs = file.metadata()
    tensors = {k: v.float() for k, v in load_file(path).items()}

    def network(kind, part):
        net = kind.from_config(json.loads(configs[part])).eval()
        net.load_state_dict({k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")})
        return net

    unet, vae = network(UNet2DConditionModel, "unet"), network(AutoencoderKL, "vae")
    wanted, unwanted = torch.randn(2, 1, 77, 16, generator=torch.Generator().manual_seed(args.seed))
    mean = vae.encode(tensors["in.picture"] * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    out = {"in.wanted": wanted, "in.unwanted": unwanted}
    for prediction in ("epsilon", "v_prediction"):
        up = DDIMInverseScheduler(**SCHEDULE, prediction_type=prediction)
        down = DDIMScheduler(**SCHEDULE, set_alpha_to_one=True, prediction_type=prediction)
        up.set_timesteps(STEPS)
        down.set_timesteps(STEPS)
        taken = int(STEPS * STRENGTH)
        high = mean
        for time in up.timesteps[:taken]:
            high = up.step(unet(high, time, wanted).sample, time, high).prev_sample
        times = down.timesteps[-taken:]
        assert times[0] == up.timesteps[taken - 1]
        kept, spread = [f[times[0]] ** 0.5 for f in (down.alphas_cumprod, 1 - down.alphas_cumprod)]
        found = (high - kept * mean) / spread
        fresh = noise(SEED, 0, 4, *mean.shape[-2:])
        for part in (0.0, 0.3):
            mixed = ((1 - part) * found + part * fresh) / (part**2 + (1 - part) ** 2) ** 0.5
            x = kept * mean + spread * mixed
            for time in times:
                answers = [unet(x, time, text).sample for text in (wanted, unwanted)]
                x = down.step(answers[1] + GUIDANCE * (answers[0] - answers[1]), time, x).prev_sample
            out[f"out.{prediction}.{part}"] = x
            print(f"{prediction} {part}: spread {x.std():.3f}, moved by {(x - mean).std():.3f}")
    path = args.out / "inversion_tiny.safetensors"
    save_file({k: v.contiguous() for k, v in out.items()}, path)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
