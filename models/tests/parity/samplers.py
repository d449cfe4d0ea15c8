"""Write the golden file of the samplers: every state on the way from noise to a picture by the schedulers of diffusers, with a
cheap function in place of a network and noise that is in the file.

    pip install -r requirements.txt && python samplers.py [--seed N] [--out FOLDER] [--values N]

States are in the form x = x0 + sigma n; what a scheduler counts as alpha x is divided by alpha. The stand-in for a network sees
what a network would: x / sqrt(sigma^2 + 1) and the time."""
import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, LCMScheduler,
    TCDScheduler, UniPCMultistepScheduler,
)
from diffusers.schedulers import (
    scheduling_ddim, scheduling_dpmsolver_multistep, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd,
)
from safetensors.torch import save_file

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DRAWING = (
    scheduling_ddim, scheduling_dpmsolver_multistep, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd,
)


def network(x, time):
    """Smooth, mixes neighbours, knows the time."""
    return torch.tanh(0.8 * x + 0.3 * torch.roll(x, 1, -1) + 0.2 * math.sin(time / 100))


def scheduler(sampler, spacing, prediction, zero_terminal):
    common = BETAS | {"prediction_type": {"epsilon": "epsilon", "velocity": "v_prediction", "sample": "sample"}[prediction]}
    if zero_terminal:
        common["rescale_betas_zero_snr"] = True
    if spacing in ("leading", "linspace", "trailing"):
        common |= {"timestep_spacing": spacing, "steps_offset": 1}
    elif spacing in ("karras", "exponential"):
        common |= {"timestep_spacing": "linspace", f"use_{spacing}_sigmas": True}
    dpm = common | {"solver_order": 2, "solver_type": "midpoint"}
    match sampler:
        case "ddim":
            return DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=True)
        case "euler":
            return EulerDiscreteScheduler(**common)
        case "euler-a":
            return EulerAncestralDiscreteScheduler(**common)
        case "dpm++2m":
            return DPMSolverMultistepScheduler(**dpm, algorithm_type="dpmsolver++")
        case "dpm++2m-sde":
            return DPMSolverMultistepScheduler(**dpm, algorithm_type="sde-dpmsolver++")
        case "dpm++3m-sde":
            return DPMSolverMultistepScheduler(**dpm, algorithm_type="sde-dpmsolver++")  # its times and sigmas alone
        case "unipc":
            return UniPCMultistepScheduler(**common, solver_order=2, solver_type="bh2")
        case "lcm":
            return LCMScheduler(**common, clip_sample=False, set_alpha_to_one=True)
        case "tcd":
            return TCDScheduler(**common, clip_sample=False, set_alpha_to_one=True)


def sigmas_of(s, sampler):
    if hasattr(s, "sigmas"):
        return [float(v) for v in s.sigmas]
    of = lambda t: float(((1 - s.alphas_cumprod[t]) / s.alphas_cumprod[t]) ** 0.5)
    return [of(int(t)) for t in s.timesteps] + [of(0) if sampler == "tcd" else 0.0]


def denoised(x, output, sigma, prediction):
    match prediction:
        case "epsilon":
            return x - sigma * output
        case "velocity":
            return x / (sigma**2 + 1) - output * sigma / math.sqrt(sigma**2 + 1)
        case "sample":
            return output


def third_order(x, times, sigmas, noise, prediction):
    """DPM++ 3M SDE as it was published in k-diffusion (eta 1): exponential integrator over -log sigma with the quadratic through
    the last three pictures. diffusers 0.42 has the constant of the quadratic term with the wrong sign: see `check_third_order`."""
    past, states = [], []
    x = x.double()
    for i, time in enumerate(times):
        sigma, to = sigmas[i], sigmas[i + 1]
        m0 = denoised(x, network(x / math.sqrt(sigma**2 + 1), time), sigma, prediction)
        if to == 0:
            x = m0
        else:
            h = math.log(sigma / to)
            x = math.exp(-2 * h) * x - math.expm1(-2 * h) * m0
            phi2 = math.expm1(-2 * h) / (2 * h) + 1
            if len(past) >= 2:
                (s1, m1), (s2, m2) = past[-1], past[-2]
                r0, r1 = math.log(s1 / sigma) / h, math.log(s2 / s1) / h
                d0, d1 = (m0 - m1) / r0, (m1 - m2) / r1
                first, second = d0 + (d0 - d1) * r0 / (r0 + r1), (d0 - d1) / (r0 + r1)
                x = x + phi2 * first - (phi2 / (2 * h) - 0.5) * second
            elif past:
                s1, m1 = past[-1]
                x = x + phi2 * (m0 - m1) * h / math.log(s1 / sigma)
            x = x + noise[i].double() * to * math.sqrt(-math.expm1(-2 * h))
        past.append((sigma, m0))
        states.append(x.float())
    return states


class Corrected(DPMSolverMultistepScheduler):
    """diffusers' third order with the sign put right: its second-order "heun" branch is the exact one."""

    def multistep_dpm_solver_third_order_update(self, outputs, *args, sample=None, noise=None, **kwargs):
        x = super().multistep_dpm_solver_third_order_update(outputs, *args, sample=sample, noise=noise, **kwargs)
        lambdas = [math.log(float(self.sigmas[self.step_index + 1 - k])) * -1 for k in range(4)]
        h, h0, h1 = (lambdas[k] - lambdas[k + 1] for k in range(3))
        d0, d1 = (outputs[-1] - outputs[-2]) * h / h0, (outputs[-2] - outputs[-3]) * h / h1
        alpha = 1 / math.sqrt(float(self.sigmas[self.step_index + 1]) ** 2 + 1)
        return x + alpha * (d0 - d1) * h / (h0 + h1)


def check_third_order(x, times, sigmas, noise, states, prediction, start):
    s = Corrected(**BETAS, solver_order=3, solver_type="heun", algorithm_type="sde-dpmsolver++", use_karras_sigmas=True,
                  lower_order_final=False,
                  prediction_type={"epsilon": "epsilon", "velocity": "v_prediction"}[prediction])
    s.set_timesteps(len(times) + start)
    s.set_begin_index(start)
    v = x / math.sqrt(sigmas[0] ** 2 + 1)
    for i, time in enumerate(times):
        v = s.step(network(v, time), s.timesteps[start + i], v, variance_noise=noise[i]).prev_sample
        off = (v * math.sqrt(sigmas[i + 1] ** 2 + 1) - states[i]).abs().max() / states[i].abs().max()
        assert off < 2e-5, f"step {i} is {off} off diffusers' third order with its sign put right"


def run(case, picture, noise, drawn):
    sampler, prediction, strength = case["sampler"], case["prediction"], case["strength"]
    s = scheduler(sampler, case["spacing"], prediction, case["zero_terminal"])
    s.set_timesteps(case["steps"])
    start = max(case["steps"] - min(int(case["steps"] * strength), case["steps"]), 0)
    times, sigmas = [float(t) for t in s.timesteps][start:], sigmas_of(s, sampler)[start:]
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(start)
    x = picture + sigmas[0] * noise
    if sampler == "dpm++3m-sde":
        states = third_order(x, times, sigmas, drawn[start:], prediction)
        check_third_order(x, times, sigmas, drawn[start:], states, prediction, start)
        return times, sigmas, [x, *states]
    # Euler's two count as we do, the others times alpha.
    own = lambda sigma: 1.0 if sampler in ("euler", "euler-a") else math.sqrt(sigma**2 + 1)
    states, v = [x], x / own(sigmas[0])
    for i, time in enumerate(times):
        for module in DRAWING:
            module.randn_tensor = lambda *_, i=i, **__: drawn[start + i]
        t = s.timesteps[start + i]
        output = network(s.scale_model_input(v, t), time)
        eta = {} if case["randomness"] is None else {"eta": case["randomness"]}
        v = s.step(output, t, v, **eta).prev_sample
        states.append(v * own(sigmas[i + 1]))
    return times, sigmas, states


def cases():
    def case(sampler, spacing, prediction="epsilon", strength=1.0, randomness=None, zero_terminal=False, steps=10):
        return {"sampler": sampler, "spacing": spacing, "prediction": prediction, "strength": strength,
                "randomness": randomness, "zero_terminal": zero_terminal, "steps": steps}

    for prediction in ("epsilon", "velocity"):
        for strength in (1.0, 0.45):
            yield case("ddim", "leading", prediction, strength)
            yield case("ddim", "trailing", prediction, strength, 0.7)
            yield case("euler", "karras", prediction, strength)
            yield case("euler-a", "linspace", prediction, strength)
            yield case("dpm++2m", "karras", prediction, strength)
            yield case("dpm++2m-sde", "karras", prediction, strength)
            yield case("dpm++3m-sde", "karras", prediction, strength)
            yield case("unipc", "linspace", prediction, strength)
            yield case("lcm", "distilled", prediction, strength)
            yield case("tcd", "distilled", prediction, strength, 0.3)
    yield case("ddim", "leading", "sample")
    yield case("ddim", "leading", randomness=1.0)
    yield case("euler", "linspace", steps=7)
    yield case("euler", "leading")
    yield case("euler", "trailing", steps=4)
    yield case("euler", "exponential")
    yield case("euler-a", "leading")
    yield case("dpm++2m", "linspace")
    yield case("dpm++2m", "leading", steps=18)
    yield case("dpm++2m", "trailing", strength=0.35)
    yield case("dpm++2m-sde", "linspace", steps=20)
    yield case("dpm++3m-sde", "karras", steps=18, strength=0.35)
    yield case("unipc", "karras", steps=20)
    yield case("unipc", "leading")
    yield case("lcm", "distilled", steps=4)
    yield case("tcd", "distilled", steps=4, randomness=0.0)
    yield case("tcd", "distilled", steps=8, randomness=1.0)
    yield case("euler", "trailing", "velocity", zero_terminal=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--values", type=int, default=32, help="size of the latents")
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    g = torch.Generator().manual_seed(args.seed)
    shape = (1, 1, 1, args.values)
    picture, noise = torch.randn(shape, generator=g), torch.randn(shape, generator=g)
    drawn = torch.randn(20, *shape, generator=g)
    tensors = {"picture": picture, "noise": noise, "drawn": drawn}
    described = []
    for i, case in enumerate(cases()):
        times, sigmas, states = run(case, picture, noise, drawn)
        tensors[f"{i}.times"] = torch.tensor(times, dtype=torch.float32)
        tensors[f"{i}.sigmas"] = torch.tensor(np.array(sigmas), dtype=torch.float32)
        tensors[f"{i}.states"] = torch.stack(states).float()
        described.append(case)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "samplers.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"cases": json.dumps(described)})
    print(f"{path}: {len(described)} runs, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
