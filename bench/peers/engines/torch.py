"""PyTorch, eager, channels last."""
import torch

from networks import build
from shapes import inputs


def load(work, precision, threads, folder):
    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    net = build(work, dtype).to(memory_format=torch.channels_last)
    values = [as_tensor(x, dtype) for x in inputs(work).values()]

    def run():
        with torch.inference_mode():
            net(*values)

    return run


def as_tensor(x, dtype):
    x = torch.from_numpy(x)
    if x.is_floating_point():
        x = x.to(dtype)
    return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x
