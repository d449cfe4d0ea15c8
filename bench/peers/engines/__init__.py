"""The peers. Each module here has `load(work, precision, threads, folder) -> run`; `run()` does the work once.

Engines with a file format of their own read a file that export.py has written, in a process without torch: their memory
is then that of the engine alone."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    precisions: tuple
    ending: str = ""  # of the exported file
    kinds: tuple = ()  # only works whose names start so; empty: all


ENGINES = {
    "torch": Engine(("f32", "bf16")),
    "onnxruntime": Engine(("f32",), ".onnx"),
    "openvino": Engine(("f32", "default"), ".xml"),
    "ncnn": Engine(("f32", "bf16"), ".ncnn.param", ("srvgg",)),
}
