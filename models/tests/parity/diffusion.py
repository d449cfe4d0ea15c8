"""Golden files of U-Nets, ControlNets and autoencoders: weights in f16, outputs those of exactly these weights, run in f32."""
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel

from random_weights import randomise

# As Stable Diffusion 1.5 is built; there as here, `attention_head_dim` is in truth the number of heads.
SD1 = {
    "in_channels": 4, "block_out_channels": [16, 20], "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "cross_attention_dim": 32, "attention_head_dim": 4, "norm_num_groups": 4, "norm_eps": 1e-5, "act_fn": "silu",
    "flip_sin_to_cos": True, "freq_shift": 0, "downsample_padding": 1, "mid_block_scale_factor": 1,
}
SD2 = SD1 | {
    "block_out_channels": [8, 16], "attention_head_dim": [2, 4], "use_linear_projection": True, "cross_attention_dim": 24,
}
XL = SD1 | {
    "block_out_channels": [8, 12, 16], "attention_head_dim": [2, 3, 4], "use_linear_projection": True,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": 24, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 12 + 6 * 8,
}
HINT = [4, 6, 8, 10]


def unet(config, g):
    up = [name.replace("Down", "Up") for name in reversed(config["down_block_types"])]
    own = {"out_channels": 4, "sample_size": 16, "center_input_sample": False, "up_block_types": up}
    return randomise(UNet2DConditionModel(**config, **own), g, torch.float16)


def added(config, g):
    """What SDXL is told beside the text, and the tensors that hold it."""
    if "addition_embed_type" not in config:
        return None, {}
    pooled = torch.randn(2, config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"], generator=g)
    ids = torch.tensor([[1024.0, 768, 0, 16, 1024, 1024], [64, 80, 8, 0, 512, 640]])
    return {"text_embeds": pooled, "time_ids": ids}, {"in.pooled": pooled, "in.ids": ids}


def half(net):
    return {k: v.half() for k, v in net.state_dict().items()}


def unet_golden(config, g, size):
    net = unet(config, g)
    x, context = torch.randn(2, 4, *size, generator=g), torch.randn(2, 7, config["cross_attention_dim"], generator=g)
    more, tensors = added(config, g)
    tensors |= {"in.x": x, "in.context": context}
    for t in (981, 37):
        tensors[f"out.t{t}"] = net(x, t, context, added_cond_kwargs=more).sample
    return config, half(net), tensors


def controlnet_golden(config, g, size, hint=HINT):
    """A ControlNet, and what it makes of the U-Net of the same seed."""
    seed = g.initial_seed()
    net = randomise(ControlNetModel(**config, conditioning_embedding_out_channels=hint), g, torch.float16)
    x, context = torch.randn(2, 4, *size, generator=g), torch.randn(2, 7, config["cross_attention_dim"], generator=g)
    picture = torch.rand(2, 3, 8 * size[0], 8 * size[1], generator=g)
    more, tensors = added(config, g)
    tensors |= {"in.x": x, "in.context": context, "in.picture": picture}
    down, mid = net(x, 500, context, picture, added_cond_kwargs=more, return_dict=False)
    for i, residual in enumerate([*down, mid]):
        tensors[f"out.residual{i}"] = residual
    controlled = unet(config, torch.Generator().manual_seed(seed))
    tensors["out.controlled"] = controlled(
        x, 500, context, added_cond_kwargs=more, down_block_additional_residuals=down, mid_block_additional_residual=mid,
    ).sample
    return config, half(net), tensors


def vae_golden(config, g, z_size, size):
    levels = len(config["block_out_channels"])
    own = {
        "in_channels": 3, "out_channels": 3, "latent_channels": 4, "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels, "act_fn": "silu", "sample_size": 16, "scaling_factor": 0.18215,
    }
    net = randomise(AutoencoderKL(**config, **own), g, torch.float16)
    z, picture = torch.randn(1, 4, *z_size, generator=g), torch.rand(1, 3, *size, generator=g) * 2 - 1
    latent = net.encode(picture).latent_dist
    return config, half(net), {
        "in.z": z, "out.decoded": net.decode(z).sample,
        "in.picture": picture, "out.mean": latent.mean, "out.logvar": latent.logvar,
    }


def vae_tiny(g):
    return vae_golden({"block_out_channels": [12, 28], "layers_per_block": 1, "norm_num_groups": 4}, g, (9, 6), (18, 14))


def unet_tiny(g):
    return unet_golden(SD1, g, (12, 16))


def unet_sd2_tiny(g):
    return unet_golden(SD2, g, (6, 4))


def unet_xl_tiny(g):
    return unet_golden(XL, g, (4, 8))


def controlnet_tiny(g):
    return controlnet_golden(SD1, g, (4, 6))


def controlnet_xl_tiny(g):
    return controlnet_golden(XL, g, (8, 4))


def taesd_tiny(g):
    config = {
        "encoder_block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8), "latent_channels": 4,
        "num_encoder_blocks": (1, 2, 1, 1), "num_decoder_blocks": (2, 1, 1, 1),
    }
    net = randomise(AutoencoderTiny(**config), g, torch.float16)
    z, picture = torch.randn(1, 4, 5, 7, generator=g), torch.rand(1, 3, 24, 40, generator=g) * 2 - 1
    return config, half(net), {
        "in.z": z, "out.decoded": net.decode(z).sample, "in.picture": picture, "out.latent": net.encode(picture).latents,
    }


TINY = (vae_tiny, unet_tiny, unet_sd2_tiny, unet_xl_tiny, controlnet_tiny, controlnet_xl_tiny, taesd_tiny)
GOLDEN = {f.__name__: f for f in TINY}
