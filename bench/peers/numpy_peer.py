"""NumPy as a peer: its BLAS is what `linear` is measured against."""

import numpy
from protocol import gemm_gflops, loaded_blas, read_inputs, serve


def hello():
    return {"version": f"NumPy {numpy.__version__}", "blas": loaded_blas()}


def gemm():
    # Two different matrices: for x @ x.T NumPy calls a routine that does half the work.
    x, w = numpy.random.default_rng(0).standard_normal((2, 1024, 1024), numpy.float32)
    y = numpy.empty_like(x)
    return gemm_gflops(lambda: numpy.matmul(x, w.T, out=y))


def linear(file, inputs, options):
    arrays = read_inputs(file, inputs)
    x, weight = arrays["x"], arrays["weight"]
    y = numpy.empty((x.shape[0], weight.shape[0]), numpy.float32)

    def run():
        numpy.matmul(x, weight.T, out=y)
        return {"y": y}

    return run


serve(hello, gemm, {"linear": {"matmul": linear}})
