"""The losses of the GPU bench in PyTorch: the value and its gradients."""

import torch
import torch.nn.functional as F
from torch_ways import in_modes

def ppo_policy_loss(options, logprob, old, advantage, valid):
    ratio = torch.exp(logprob - old)
    clipped = torch.clamp(ratio, 1 - options["clipLow"], 1 + options["clipHigh"])
    return (torch.maximum(-advantage * ratio, -advantage * clipped) * valid).sum() / valid.sum()


def kl_penalty(options, logprob, reference, valid):
    x = reference - logprob
    return ((torch.expm1(x) - x) * valid).sum() / valid.sum()


def ppo_value_loss(options, value, returns, valid):
    return options["scale"] * ((value - returns).square() * valid).sum() / valid.sum()


def bradley_terry_loss(options, chosen, rejected):
    return -F.logsigmoid(chosen - rejected).mean()


def dpo_loss(options, chosen, rejected, ref_chosen, ref_rejected):
    return -F.logsigmoid(options["beta"] * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()


def value_and_grad(loss, names, gradients):
    """The first inputs named are differentiated; `gradients` names the results."""

    def arguments_of(t):
        return [t[name] for name in names]

    def autograd(case, t):
        given = [tensor.detach() for tensor in arguments_of(t)]
        leaves = [tensor.requires_grad_() for tensor in given[: len(gradients)]]

        def run():
            value = loss(case["options"], *given)
            found = torch.autograd.grad(value, leaves)
            return {"loss": value.detach().reshape(1), **dict(zip(gradients, found))}

        return run

    def functional(case, t):
        options = case["options"]
        both = torch.func.grad_and_value(
            lambda *given: loss(options, *given), argnums=tuple(range(len(gradients)))
        )

        def run(*given):
            found, value = both(*given)
            return {"loss": value.reshape(1), **dict(zip(gradients, found))}

        return run, arguments_of(t)

    return {"eager autograd": autograd, **in_modes("grad_and_value", functional)}


LOSSES = {
    "ppoPolicyLoss": value_and_grad(
        ppo_policy_loss, ("logprob", "oldLogprob", "advantage", "valid"), ("gradLogprob",)
    ),
    "klPenalty": value_and_grad(kl_penalty, ("logprob", "refLogprob", "valid"), ("gradLogprob",)),
    "ppoValueLoss": value_and_grad(ppo_value_loss, ("value", "returns", "valid"), ("gradValue",)),
    "bradleyTerryLoss": value_and_grad(bradley_terry_loss, ("chosen", "rejected"), ("gradChosen", "gradRejected")),
    "dpoLoss": value_and_grad(
        dpo_loss,
        ("policyChosen", "policyRejected", "refChosen", "refRejected"),
        ("gradPolicyChosen", "gradPolicyRejected"),
    ),
}
