"""The peers of the GPU bench: PyTorch, and the scripts of a folder. One JSON request a line on stdin, one answer on stdout.

    hello     {tiny, folder}                    peers with their versions, and their ways to compute each op
    ceilings  {}                                what copies, sums and matrix products reach on this GPU
    case      {op, shape, file, inputs,         fills the tensors of a case: element i of a tensor is element i modulo
               options}                         `length` of its block in the file
    load      {slot, peer, way, outputs}        calls once; the wanted rows of its outputs, as base64 of f32
    sample    {slot, measure, count, calls}     so many times the milliseconds of a call, in a row of so many calls
    drop      {}                                lets go of the case

A script of the folder defines `peers()`, which returns {name: {op: make}}; `make(case, tensors)` returns a function without
arguments that computes once and returns its outputs by name. `case` has op, shape and options; `tensors` must not be changed.
Without a GPU everything runs on the CPU, so that the protocol can be tried anywhere; such times mean nothing.
"""

import base64
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy
import torch

import torch_ops
from torch_steps import STEPS

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
STORED = {"f32": "<f4", "i32": "<i4", "u8": "u1", "bf16": "<i2", "f16": "<f2"}


class Bench:
    def __init__(self):
        self.tiny = True
        self.ways = {"torch": {**torch_ops.OPERATIONS, **STEPS}}
        self.flushed = None
        self.case = None
        self.tensors = {}
        self.runs = {}

    def hello(self, request):
        self.tiny = request["tiny"]
        broken = [] if request["folder"] is None else self.find_peers(Path(request["folder"]))
        about = [{"peer": "torch", "version": torch.__version__, "details": torch_details()}]
        about += [{"peer": name, "version": "", "details": []} for name in self.ways if name != "torch"]
        ops = {peer: {op: list(ways) for op, ways in found.items()} for peer, found in self.ways.items()}
        return {"peers": about + broken, "ops": ops}

    def find_peers(self, folder):
        """Adds the peers of a folder; what cannot be loaded is left out, and returned."""
        sys.path.insert(0, str(folder))
        broken = []
        for path in sorted(folder.glob("*.py")):
            try:
                spec = importlib.util.spec_from_file_location(path.stem, path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                for name, ops in (module.peers() if hasattr(module, "peers") else {}).items():
                    self.ways[name] = {op: {op: make} for op, make in ops.items()}
            except Exception as error:
                broken.append({"peer": path.name, "version": "", "details": [f"left out: {said(error)}"]})
        return broken

    def make_case(self, request):
        self.drop(request)
        self.case = {"op": request["op"], "shape": request["shape"], "options": request["options"]}
        for name, spec in request["inputs"].items():
            self.tensors[name] = filled(request["file"], spec)
        return {}

    def load(self, request):
        make = self.ways[request["peer"]][self.case["op"]][request["way"]]
        run = make(self.case, self.tensors)
        first = run()
        outputs = {}
        for name, rows in request["outputs"].items():
            if name in first:
                whole = first[name].detach()
                picked = whole if rows is None else whole[torch.tensor(rows, device=whole.device)]
                array = picked.float().cpu().contiguous().numpy().astype("<f4")
                outputs[name] = base64.b64encode(array.tobytes()).decode()
        self.runs[request["slot"]] = run
        return {"outputs": outputs}

    def sample(self, request):
        run, measure, calls = self.runs[request["slot"]], request["measure"], request["calls"]
        return {"ms": [self.once(run, measure, calls) for _ in range(request["count"])]}

    def once(self, run, measure, calls=1):
        if measure in ("cold", "warm"):
            self.flush()
            if measure == "warm":
                run()
            return device_ms(run)
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        if measure == "full":
            synchronize()
        end = time.perf_counter()
        synchronize()
        return (end - start) * 1e3 / calls

    def flush(self):
        """The L2 cache holds other things afterwards, and nothing that has still to be written back."""
        if self.flushed is None:
            self.flushed = torch.empty(2**10 if self.tiny else 2**28, device=DEVICE)
        self.flushed.fill_(1.5)
        self.flushed.sum()

    def drop(self, _):
        self.case = None
        self.tensors.clear()
        self.runs.clear()
        if hasattr(torch, "_dynamo") and "torch._inductor" in sys.modules:
            torch._dynamo.reset()
        if ON_GPU:
            torch.cuda.empty_cache()
        return {}

    def ceilings(self, _):
        """Best of many: what the hardware can do, not what it does on average."""
        elements = 2**12 if self.tiny else 2**30
        x = torch.randn(min(elements, 2**24), device=DEVICE).repeat(max(1, elements // 2**24))
        y = torch.empty_like(x)
        size, large = (64, 64) if self.tiny else (4096, 8192)
        a, b = torch.randn(2, size, size, device=DEVICE)
        c, d = torch.randn(2, large, large, device=DEVICE).bfloat16()
        bandwidth = [
            ("copy", 8 * elements, lambda: y.copy_(x), "torch copy_"),
            ("read", 4 * elements, lambda: x.sum(), "torch sum"),
            ("read", 4 * elements, lambda: x.amax(), "torch amax"),
        ]
        products = [
            ("multiplyF32", 2 * size**3, lambda: a @ b, f"torch mm f32 {size}, TF32 off"),
            ("multiplyBf16", 2 * large**3, lambda: c @ d, f"torch mm bf16 {large}"),
        ]
        found = []
        for unit, scale, kind in (("GB/s", 1e-6, bandwidth), ("TFLOP/s", 1e-9, products)):
            for name, amount, work, source in kind:
                work()
                best = min(self.once(work, "cold") for _ in range(20))
                found.append({"name": name, "rate": amount / best * scale, "unit": unit, "source": source})
        return {"ceilings": found}


def said(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def filled(file, spec):
    """A tensor on the device that repeats its block."""
    block = numpy.fromfile(file, STORED[spec["dtype"]], spec["length"], offset=spec["offset"])
    source = torch.from_numpy(block).to(DEVICE)
    source = source.view(torch.bfloat16) if spec["dtype"] == "bf16" else source
    tensor = torch.empty(spec["shape"], dtype=source.dtype, device=DEVICE)
    flat, length = tensor.view(-1), len(source)
    for at in range(0, len(flat), length):
        count = min(length, len(flat) - at)
        flat[at : at + count] = source[:count]
    return tensor


def synchronize():
    if ON_GPU:
        torch.cuda.synchronize()


def device_ms(run):
    """Milliseconds of the device between two events around a call."""
    if not ON_GPU:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def torch_details():
    if not ON_GPU:
        return ["on the CPU: these times mean nothing"]
    details = [f"CUDA {torch.version.cuda}", torch.cuda.get_device_name()]
    try:
        import triton

        details.append(f"Triton {triton.__version__}")
    except ImportError:
        details.append("no Triton: nothing can be compiled")
    return details


def main():
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    bench = Bench()
    # Whatever libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests = {
        "hello": bench.hello,
        "ceilings": bench.ceilings,
        "case": bench.make_case,
        "load": bench.load,
        "sample": bench.sample,
        "drop": bench.drop,
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = requests[request["do"]](request)
        except Exception as error:  # the bench shows it beside the peer's name
            reply = {"error": said(error)}
        print(json.dumps(reply), file=answers, flush=True)


main()
