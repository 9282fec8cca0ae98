"""How PyTorch is asked to compute: as it is, compiled, and compiled with autotuning."""

import torch

MODES = {"compile": None, "max-autotune": "max-autotune-no-cudagraphs"}


def compiled(function, mode):
    """Shapes are fixed for as long as a case lasts."""
    return torch.compile(function, dynamic=False, fullgraph=True, **({} if mode is None else {"mode": mode}))


def pure(prepare, wrap):
    """`prepare(case, tensors)` returns a function without side effects, and its arguments."""

    def make(case, tensors):
        function, arguments = prepare(case, tensors)
        call = wrap(function)

        def run():
            with torch.no_grad():
                return call(*arguments)

        return run

    return make


def eager(prepare):
    return pure(prepare, lambda function: function)


def in_modes(name, prepare):
    """Compiled in every mode that there is."""
    return {
        f"{mode} {name}": pure(prepare, lambda function, setting=setting: compiled(function, setting))
        for mode, setting in MODES.items()
    }
