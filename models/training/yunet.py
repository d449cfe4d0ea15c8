"""Write ../weights/yunet.safetensors out of the numbers that libfacedetection is built with.

    pip download --no-deps yuface==2023.5.1 && unzip yuface-*.whl && python yunet.py yuface/libfacedetection.so ../weights/yunet.safetensors

The library (Shiqi Yu, BSD 3-Clause; yuface is its package for Python) holds YuNet with the batch normalisations folded into the
weights, as variables that have names. Nothing is rounded.
"""
import argparse
import ctypes

import numpy as np
from safetensors.numpy import save_file

WIDTHS = ((16, 16, 16), (16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64))  # what a stage takes, and its units give
HEADS = {"cls": 1, "bbox": 4, "obj": 1, "kps": 10}
LEVELS = 3


def units():
    """Variable, name in the authors' PyTorch files, channels that come in and go out."""
    yield "backbone__model0_dp", "backbone.model0.conv2", 16, 16
    for i, (a, b, c) in enumerate(WIDTHS[1:], 1):
        yield f"backbone__model{i}_dp1", f"backbone.model{i}.conv1", a, b
        yield f"backbone__model{i}_dp2", f"backbone.model{i}.conv2", b, c
    for i in range(LEVELS):
        yield f"neck__lateral_convs__{i}", f"neck.lateral_convs.{i}", 64, 64
        for what, n in HEADS.items():
            yield f"bbox_head__multi_level_{what}__{i}", f"bbox_head.multi_level_{what}.{i}", 64, n


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("library")
    p.add_argument("out")
    a = p.parse_args()
    library = ctypes.CDLL(a.library)

    def numbers(name, *shape):
        return np.ctypeslib.as_array((ctypes.c_float * int(np.prod(shape))).in_dll(library, name)).reshape(shape).copy()

    # The first convolution works on 3x3 pixels side by side, filled up to 32 numbers.
    first = numbers("backbone__model0_pw_weight", 16, 32)
    assert not first[:, 27:].any()
    out = {"backbone.model0.conv1.weight": first[:, :27].reshape(16, 3, 3, 3).transpose(0, 3, 1, 2),
           "backbone.model0.conv1.bias": numbers("backbone__model0_pw_bias", 16)}
    for variable, name, i, o in units():
        out[f"{name}.conv1.weight"] = numbers(f"{variable}_pw_weight", o, i, 1, 1)
        out[f"{name}.conv1.bias"] = numbers(f"{variable}_pw_bias", o)
        # Pixel by pixel, the channels of each side by side.
        out[f"{name}.conv2.weight"] = numbers(f"{variable}_dw_weight", 3, 3, o).transpose(2, 0, 1)[:, None]
        out[f"{name}.conv2.bias"] = numbers(f"{variable}_dw_bias", o)
    about = {"format": "upweave-1", "name": "faces", "version": "2023.5", "trained": "by Shiqi Yu and others on WIDER FACE"}
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, a.out, about)


if __name__ == "__main__":
    main()
