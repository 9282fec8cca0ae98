"""How `npm run bench` talks to a Python peer: one JSON request a line on stdin, one JSON answer a line on stdout.

    hello                         what this peer is, and which variants of which op it has
    gemm                          its matrix product rate at this moment, in GFLOP/s
    load    {slot, op, variant,   reads the inputs and calls once; the outputs are kept for `judge`
             file, inputs, options}
    judge   {slot, outputs, rows} outputs of that first call, or rows of them, as base64 of f32; once each
    sample  {slot, calls}         milliseconds per call
    unload  {slot}

The inputs lie one after the other in a raw file that every implementation of a case reads: the same numbers for all.
"""

import base64
import ctypes
import json
import os
import sys
import time

import numpy

STORED = {"f32": "<f4", "i32": "<i4", "u8": "u1", "bf16": "<i2", "f16": "<f2"}


def read_inputs(file, inputs):
    """Arrays by name, in memory of their own; bf16 comes as the i16 that holds its bits."""
    arrays = {}
    for name, spec in inputs.items():
        count = int(numpy.prod(spec["shape"], dtype=numpy.int64))
        array = numpy.fromfile(file, STORED[spec["dtype"]], count, offset=spec["offset"])
        arrays[name] = array.reshape(spec["shape"])
    return arrays


def loaded_blas(besides=""):
    """Files of the BLAS libraries in this process, and for OpenBLAS the kernels it chose and its threads. `besides`: what names those
    that belong to something else."""
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line and ".so" in line}
    files = {file for file in files if besides == "" or besides not in file}
    found = []
    for file in sorted(os.path.realpath(f) for f in files):
        about = {}
        library = ctypes.CDLL(file)
        for prefix, suffix in (("", ""), ("scipy_", "64_"), ("", "64_")):
            config = getattr(library, f"{prefix}openblas_get_config{suffix}", None)
            if config is not None:
                config.restype = ctypes.c_char_p
                core = getattr(library, f"{prefix}openblas_get_corename{suffix}")
                core.restype = ctypes.c_char_p
                about["version"] = " ".join(config().decode().split()[:2])
                about["kernels"] = core().decode()
                about["threads"] = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")()
                break
        if not about and "libblas" in file:
            about = {"version": os.path.basename(file)}
        if about and about not in [{key: known[key] for key in about if key in known} for known in found]:
            found.append({**about, "file": file})
    return found


def gemm_gflops(multiply, size=1024):
    """The matrix product rate of this process, best of nine."""
    best = min(timed(multiply) for _ in range(9))
    return 2 * size**3 / best / 1e9


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def serve(hello, gemm, operations, as_array=numpy.array):
    """`operations[op][variant](file, inputs, options)` returns `run`, whose result is a dict of outputs by name, which `as_array`
    copies into arrays of NumPy. `gemm` measures."""
    slots = {}

    def answer(request):
        do, slot = request["do"], request.get("slot")
        if do == "hello":
            return {**hello(), "gemm": gemm(), "ops": {op: list(variants) for op, variants in operations.items()}}
        if do == "gemm":
            return {"gemm": gemm()}
        if do == "load":
            make = operations[request["op"]][request["variant"]]
            run = make(request["file"], request["inputs"], request["options"])
            first = {name: as_array(value) for name, value in run().items()}
            slots[slot] = {"run": run, "first": first}
            return {"outputs": list(first)}
        if do == "judge":
            rows = request["rows"]
            outputs = {}
            for name in request["outputs"]:
                array = slots[slot]["first"].pop(name)
                picked = array if rows is None else array[rows]
                outputs[name] = base64.b64encode(numpy.ascontiguousarray(picked, "<f4").tobytes()).decode()
            return {"outputs": outputs}
        if do == "sample":
            run, calls = slots[slot]["run"], request["calls"]
            start = time.perf_counter()
            for _ in range(calls):
                run()
            return {"ms": (time.perf_counter() - start) * 1e3 / calls}
        if do == "unload":
            slots.pop(slot, None)
            return {}
        raise ValueError(f"no such request: {do}")

    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # the bench shows it beside the peer's name
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
