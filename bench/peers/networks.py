"""The works as torch modules, with random weights from a fixed seed: speed does not depend on what a network has learned."""
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.append(str(Path(__file__).resolve().parents[2] / "models" / "tests" / "parity"))
from upscalers import RrdbNet, Srvgg  # noqa: E402


class Attention(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.heads = heads

    def forward(self, q, k, v):
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class ClipText(nn.Module):
    """CLIP ViT-L/14's text encoder."""

    def __init__(self):
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        self.net = CLIPTextModel(CLIPTextConfig(
            vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
            max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
        ))

    def forward(self, tokens):
        return self.net(tokens).last_hidden_state


class Unet(nn.Module):
    """Stable Diffusion 1.5's UNet."""

    def __init__(self):
        from diffusers import UNet2DConditionModel

        super().__init__()
        self.net = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)

    def forward(self, x, t, context):
        return self.net(x, t, context, return_dict=False)[0]


class VaeDecoder(nn.Module):
    """Stable Diffusion's way from a latent to a picture."""

    def __init__(self):
        from diffusers import AutoencoderKL

        super().__init__()
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )
        self.enter, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, z):
        return self.decoder(self.enter(z))


def build(work, dtype=torch.float32):
    """The module of a work; its weights are made in `dtype`, so that no wider copy counts as memory."""
    torch.manual_seed(1)
    torch.set_default_dtype(dtype)
    kind, *numbers = work.name.split("-")
    if kind == "conv3x3":
        channels = int(numbers[0])
        layers = [(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU()) for _ in range(work.chain)]
        net = nn.Sequential(*(part for layer in layers for part in layer))
    elif kind == "linear":
        _, before, after = map(int, numbers[0].split("x"))
        net = nn.Linear(before, after)
    elif kind == "attention":
        net = Attention(int(numbers[0].split("x")[0]))
    else:
        # The published general-purpose x4 files have 32 convolutions.
        srvgg = lambda: Srvgg(convs=32)  # noqa: E731
        net = {"srvgg": srvgg, "rrdb": RrdbNet, "clip": ClipText, "unet15": Unet, "vae15": VaeDecoder}[kind]()
    torch.set_default_dtype(torch.float32)
    return net.eval()
