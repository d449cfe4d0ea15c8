"""ncnn: f32 with Winograd convolutions, or bf16 storage."""
import ncnn

from shapes import inputs


def load(work, precision, threads, folder):
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_bf16_storage = precision == "bf16"
    for load_part, ending in ((net.load_param, "param"), (net.load_model, "bin")):
        path = folder / f"{work.name}.ncnn.{ending}"
        if load_part(str(path)) != 0:
            raise RuntimeError(f"ncnn can't read `{path}`; delete it, it is then made anew")
    (x,) = inputs(work).values()
    picture = ncnn.Mat(x[0]).clone()

    def run():
        with net.create_extractor() as extractor:
            extractor.input("in0", picture)
            status, _ = extractor.extract("out0")
        if status != 0:
            raise RuntimeError(f"ncnn failed on `{work.name}` with {status}")

    return run
