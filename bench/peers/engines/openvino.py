"""OpenVINO, in f32 or in what it chooses by itself: bf16 where the processor has it."""
import openvino as ov
from openvino.preprocess import PrePostProcessor

from shapes import inputs


def load(work, precision, threads, folder):
    core = ov.Core()
    config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    if precision == "f32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    chosen = ov.Type.f32 if precision == "f32" else core.get_property("CPU", "INFERENCE_PRECISION_HINT")

    model = core.read_model(folder / f"{work.name}.xml")
    if work.layer:
        model = with_values_as(model, chosen)
    request = core.compile_model(model, "CPU", config).create_infer_request()
    for port, x in zip(request.model_inputs, inputs(work).values(), strict=True):
        tensor = ov.Tensor(port.element_type, port.shape)
        tensor.data[:] = x.astype(tensor.data.dtype)
        request.set_tensor(port, tensor)
    return request.infer


def with_values_as(model, kind):
    """Inside a network values stay as they are computed, so let them come and go like that."""
    steps = PrePostProcessor(model)
    for i in range(len(model.inputs)):
        steps.input(i).tensor().set_element_type(kind)
    for i in range(len(model.outputs)):
        steps.output(i).tensor().set_element_type(kind)
    return steps.build()
