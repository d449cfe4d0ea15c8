"""Write one work in the format of one engine. run.py calls it, in a process that ends before anything is measured."""
import sys
from pathlib import Path

import torch

from networks import build
from shapes import WORKS, inputs


def onnx(net, values, path):
    torch.onnx.export(net, tuple(values.values()), path, input_names=list(values), output_names=["out"])


def openvino(net, values, path):
    import openvino as ov

    model = ov.convert_model(net, example_input=tuple(values.values()), input=[list(v.shape) for v in values.values()])
    ov.save_model(model, path, compress_to_fp16=False)


def ncnn(net, values, path):
    import pnnx

    pnnx.export(net, str(path.parent / "net.pt"), tuple(values.values()), fp16=False)
    for ending in (".param", ".bin"):
        (path.parent / f"net.ncnn{ending}").replace(path.with_suffix(ending))
    for side_product in path.parent.glob("net*"):
        side_product.unlink()


if __name__ == "__main__":
    engine, work, path = sys.argv[1], WORKS[sys.argv[2]], Path(sys.argv[3])
    values = {name: torch.from_numpy(x) for name, x in inputs(work).items()}
    with torch.inference_mode():
        {"onnxruntime": onnx, "openvino": openvino, "ncnn": ncnn}[engine](build(work), values, path)
