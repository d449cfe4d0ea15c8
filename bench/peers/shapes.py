"""What is measured: names, inputs and cost, as plain data. The names are those of `upweave bench`."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    name: str
    gflop: float  # of one run of the whole chain
    inputs: dict  # name -> shape; `tokens` are integers, all else is f32
    chain: int = 1  # so many equal layers in a row; the time is that of one, so that changes of layout at the ends count little
    layer: bool = True  # a part of a network: in bf16 its values come and go as bf16
    memory: float = 1  # GB, what the hungriest engine may take; run.py makes room for it


def conv(channels, size, chain=8):
    """3x3 convolution with bias and SiLU."""
    cost = chain * 2 * 9 * channels**2 * size**2 / 1e9
    return Work(f"conv3x3-{channels}-{size}", cost, {"x": (1, channels, size, size)}, chain)


def linear(rows, before, after):
    """Matrix product with bias."""
    return Work(f"linear-{rows}x{before}x{after}", 2 * rows * before * after / 1e9, {"x": (1, rows, before)})


def attention(heads, tokens, head):
    """Self attention without a mask. As between the layers of a network the heads lie next to each other."""
    shape = (1, tokens, heads * head)
    cost = 4 * heads * head * tokens**2 / 1e9
    return Work(f"attention-{heads}x{tokens}x{head}", cost, {"q": shape, "k": shape, "v": shape})


def network(name, gflop, memory, **inputs):
    return Work(name, gflop, inputs, layer=False, memory=memory)


WORKS = {w.name: w for w in (
    conv(320, 64),
    conv(640, 32),
    conv(64, 256),
    conv(1280, 16, chain=4),
    linear(4096, 320, 2560),
    linear(4096, 1280, 320),
    attention(8, 4096, 40),
    network("srvgg-x4-256", 158.5, 1, x=(1, 3, 256, 256)),
    network("rrdb-x4-128", 587.4, 1.5, x=(1, 3, 128, 128)),
    network("clip-l-77", 13.3, 1.5, tokens=(1, 77)),
    network("unet15-64", 803, 8, x=(1, 4, 64, 64), t=(1,), context=(1, 77, 768)),
    network("vae15-decode-512", 2515, 2.5, z=(1, 4, 64, 64)),
)}


def inputs(work):
    import numpy as np

    rng = np.random.default_rng(1)
    return {
        name: rng.integers(0, 49407, shape) if name == "tokens" else rng.standard_normal(shape, np.float32)
        for name, shape in work.inputs.items()
    }
