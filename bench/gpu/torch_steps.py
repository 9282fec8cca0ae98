"""Whole steps of the GPU bench in PyTorch: from logits to their gradient, and on to the parameters."""

import torch
import torch.nn.functional as F
from torch_losses import dpo_loss, ppo_policy_loss
from torch_ops import adamw_of
from torch_ways import compiled


def logprobs_of(logits, tokens):
    return -F.cross_entropy(logits.flatten(0, -2).float(), tokens.flatten(), reduction="none").view(tokens.shape)


def ppo_loss(case, t):
    tokens = t["tokens"].long()

    def loss(logits):
        logprob = logprobs_of(logits, tokens)
        return ppo_policy_loss(case["options"], logprob, t["oldLogprob"], t["advantage"], t["valid"])

    return loss


def dpo_step_loss(case, t):
    tokens, pairs = t["tokens"].long(), t["refChosen"].shape[0]

    def loss(logits):
        sums = logprobs_of(logits, tokens).sum(-1)
        return dpo_loss(case["options"], sums[:pairs], sums[pairs:], t["refChosen"], t["refRejected"])

    return loss


def forward_and_backward(loss_of):
    """Autograd over the whole of it: logits to loss to the gradient of the logits."""

    def make(wrap):
        def made(case, t):
            logits = t["logits"].detach().requires_grad_()
            loss = wrap(loss_of(case, t))

            def run():
                value = loss(logits)
                (grad,) = torch.autograd.grad(value, logits)
                return {"loss": value.detach().reshape(1), "gradLogits": grad}

            return run

        return made

    return {
        "eager autograd": make(lambda loss: loss),
        "compile autograd": make(lambda loss: compiled(loss, None)),
    }


def optimizer_step(with_graph):
    """Logits to their gradient, the norm of the parameters' gradient, clipping, and AdamW."""

    def make(case, t):
        options = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.0, **case["options"]}
        logits = t["logits"].detach().requires_grad_()
        loss = ppo_loss(case, t)
        given = {**t, "grad": t["grad"].clone()}
        update = adamw_of("fused")({**case, "options": options}, given)

        def step():
            value = loss(logits)
            (grad,) = torch.autograd.grad(value, logits)
            norm = torch.linalg.vector_norm(t["grad"])
            torch.mul(t["grad"], torch.clamp(options["maxNorm"] / norm, max=1.0), out=given["grad"])
            update()
            return {"loss": value.detach().reshape(1), "gradLogits": grad}

        return replayed(step) if with_graph else step

    return make


def replayed(step):
    """Captured once, and started with one call."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()

    def run():
        graph.replay()
        return outputs

    return run


STEPS = {
    "ppoLossStep": forward_and_backward(ppo_loss),
    "dpoLossStep": forward_and_backward(dpo_step_loss),
    "optimizerStep": {
        "eager autograd, fused AdamW": optimizer_step(False),
        "eager autograd, fused AdamW, as a CUDA graph": optimizer_step(True),
    },
}
