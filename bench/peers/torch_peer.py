"""PyTorch as a peer: every op as a PyTorch user writes it, eager and compiled. Losses compute values and gradients, but not the
statistics that prefgrad returns beside them. What the bench for GPUs has too is in its folder."""

import os
import shutil
import sys
from pathlib import Path

import torch
from protocol import gemm_gflops, loaded_blas, read_inputs, serve

sys.path.append(str(Path(__file__).resolve().parent.parent / "gpu"))
from torch_ops import OPERATIONS, eager, gae_doubling  # noqa: E402
from torch_policy import POLICY_STEPS, has_fused_adamw  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
# Compiling in more processes than that takes the time of the others.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

HAS_COMPILER = hasattr(torch, "compile") and any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++"))


def hello():
    config = torch.__config__.show()
    built = next((part for part in config.replace("\n", ",").split(",") if "BLAS_INFO" in part), "BLAS_INFO unknown")
    capability = next((line for line in config.splitlines() if "CPU capability" in line), "CPU capability unknown")
    return {
        "version": f"PyTorch {torch.__version__}",
        "built": built.split()[-1].split("=")[-1],
        "capability": capability.split()[-1],
        "threads": torch.get_num_threads(),
        # NumPy's wheels bring a BLAS of their own, which PyTorch does not use.
        "blas": [] if "mkl" in built else loaded_blas(besides="numpy.libs"),
        "details": [compiles_for() if HAS_COMPILER else "not compiled: that takes PyTorch 2 and a C++ compiler"],
    }


def compiles_for():
    """The vectors that compiled functions are made of: without any, they are slower than eager ones."""
    try:
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        return f"compiles for {pick_vec_isa() or 'no vectors'}"
    except ImportError:
        return "compiles"


def gemm():
    x, w = torch.randn(2, 1024, 1024)
    return gemm_gflops(lambda: x @ w.T)


def tensors(file, inputs):
    found = {}
    for name, array in read_inputs(file, inputs).items():
        tensor = torch.from_numpy(array)
        found[name] = tensor.view(torch.bfloat16) if inputs[name]["dtype"] == "bf16" else tensor
    return found


def with_tensors(make):
    return lambda file, inputs, options: make({"options": options}, tensors(file, inputs))


def shared(op, *ways):
    return {way: with_tensors(OPERATIONS[op][way]) for way in ways}


def linear(case, t):
    x, weight = t["x"], t["weight"].t()
    y = torch.empty(x.shape[0], weight.shape[1])

    def run():
        torch.mm(x, weight, out=y)
        return {"y": y}

    return run


def step(make):
    return with_tensors(lambda case, t: make(case["options"], t))


FOREACH_OR_FUSED = ("eager AdamW, foreach", *(["eager AdamW, fused"] if has_fused_adamw() else []))
LOSS_WAYS = ("eager autograd", "compile grad_and_value")
WAYS = {
    "tokenLogprobs": shared(
        "tokenLogprobs",
        "eager log_softmax + gather",
        "eager cross_entropy",
        "compile gather - logsumexp",
    ),
    "tokenLogprobsBackward": shared(
        "tokenLogprobsBackward", "eager cross_entropy backward", "compile softmax from its sums"
    ),
    "gae": {
        **shared("gae", "eager loop over T", "compile doubling scan"),
        "eager doubling scan": with_tensors(eager(gae_doubling)),
    },
    **{op: shared(op, *LOSS_WAYS) for op in ("ppoPolicyLoss", "ppoValueLoss", "bradleyTerryLoss", "dpoLoss")},
    "gradNorm": shared("gradNorm", "eager vector_norm"),
    "adamw": shared("adamw", *FOREACH_OR_FUSED),
    "linear": {"eager mm": with_tensors(linear)},
    **{op: {way: step(make) for way, make in ways.items()} for op, ways in POLICY_STEPS.items()},
}


def is_possible(way):
    return HAS_COMPILER or not way.startswith("compile ")


serve(
    hello,
    gemm,
    {op: {way: make for way, make in ways.items() if is_possible(way)} for op, ways in WAYS.items()},
    as_array=lambda value: value.detach().float().clone().numpy(),
)
