"""Write the same small network (SRVGGNetCompact) in every file format that is read: `formats.*` in the folder of golden files.

    pip install -r requirements.txt && python formats.py [--seed N] [--out FOLDER]

`.pth` holds it under `params_ema`, beside others under `params`, with a tensor that does not lie in one piece; `.legacy.pth` under
`state_dict` with `module.` in front of every name; `.half.bin` has the weights as f16."""
import argparse
import io
import struct
from pathlib import Path

import numpy
import onnx
import torch
from safetensors.torch import save_file

from generate import randomise
from upscalers import Srvgg

HALF = 0x01306B47


def ncnn(net, half):
    """ncnn's `.param` and `.bin` of the network."""
    lines, numbers = ["Input input 0 1 data", "Split split 1 2 data near deep"], b""
    name = "deep"
    for i, layer in enumerate(net.body):
        if isinstance(layer, torch.nn.Conv2d):
            w = layer.weight.detach().numpy()
            lines.append(f"Convolution conv{i} 1 1 {name} {i} 0={w.shape[0]} 1=3 4=1 5=1 6={w.size}")
            data = w.astype(numpy.float16 if half else numpy.float32).tobytes()
            data += b"\0" * (-len(data) % 4)
            numbers += struct.pack("<I", HALF if half else 0) + data + layer.bias.detach().numpy().tobytes()
        else:
            lines.append(f"PReLU prelu{i} 1 1 {name} {i} 0={layer.weight.numel()}")
            numbers += layer.weight.detach().numpy().tobytes()
        name = i
    s = net.scale
    lines += [
        f"PixelShuffle shuffle 1 1 {name} shuffled 0={s}", f"Interp near 1 1 near nearest 0=1 1={s}.0 2={s}.0",
        "BinaryOp sum 2 1 shuffled nearest output",
    ]
    return f"7767517\n{len(lines)} {len(lines) + 1}\n" + "\n".join(lines) + "\n", numbers


def as_onnx(state):
    tensors = []
    for name, value in state.items():
        value = value.numpy()
        if value.ndim == 1 and name.endswith("weight"):
            value = value[:, None, None]  # the slopes of a PReLU
        tensors.append(onnx.numpy_helper.from_array(value, name))
    graph = onnx.helper.make_graph([], "net", [], [], tensors)
    return onnx.helper.make_model(graph).SerializeToString()


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    args = p.parse_args()
    g = torch.Generator().manual_seed(args.seed)
    net = randomise(Srvgg(features=4, convs=1, scale=2), g, torch.float16)
    state = net.state_dict()
    out = lambda ending: args.out / f"formats.{ending}"
    save_file(state, out("safetensors"))
    turned = dict(state)
    w = state["body.0.weight"]
    turned["body.0.weight"] = w.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    others = {k: v + 1 for k, v in state.items()}
    torch.save({"params": others, "params_ema": turned, "step": 7, "rate": 0.5}, out("pth"))
    wrapped = {"epoch": torch.tensor(3), "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(wrapped, out("legacy.pth"), _use_new_zipfile_serialization=False)
    for half in (False, True):
        param, numbers = ncnn(net, half)
        out("half.bin" if half else "bin").write_bytes(numbers)
    out("param").write_text(param)
    out("onnx").write_bytes(as_onnx(state))


if __name__ == "__main__":
    main()
