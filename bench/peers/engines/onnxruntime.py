"""ONNX Runtime on its CPU provider, which knows f32 only."""
import onnxruntime

from shapes import inputs


def load(work, precision, threads, folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / f"{work.name}.onnx", options, providers=["CPUExecutionProvider"])
    values = inputs(work)
    return lambda: session.run(None, values)
