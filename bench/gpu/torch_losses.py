"""Losses in PyTorch: the value, its gradients, and what prefgrad returns of every token or pair beside them."""

import torch
import torch.nn.functional as F
from torch_ways import in_modes


def ppo_policy_loss(options, logprob, old, advantage, valid):
    ratio = torch.exp(logprob - old)
    clipped = torch.clamp(ratio, 1 - options["clipLow"], 1 + options["clipHigh"])
    return (torch.maximum(-advantage * ratio, -advantage * clipped) * valid).sum() / valid.sum()


def kl_and_penalty(options, logprob, reference, valid):
    x = reference - logprob
    kl = (torch.expm1(x) - x) * valid
    return kl.sum() / valid.sum(), kl


def ppo_value_loss(options, value, returns, valid):
    return options["scale"] * ((value - returns).square() * valid).sum() / valid.sum()


def bradley_terry_loss(options, chosen, rejected):
    return -F.logsigmoid(chosen - rejected).mean()


def dpo_loss_and_rewards(options, chosen, rejected, ref_chosen, ref_rejected):
    beta, chosen, rejected = options["beta"], chosen - ref_chosen, rejected - ref_rejected
    losses = -F.logsigmoid(beta * (chosen - rejected))
    return losses.mean(), losses, beta * chosen.detach(), beta * rejected.detach()


def dpo_loss(*given):
    return dpo_loss_and_rewards(*given)[0]


def value_and_grad(loss, names, gradients, each=()):
    """The first inputs named are differentiated; `gradients` names the results. `each` names what the loss returns after itself."""

    def outputs(options, given):
        found = loss(options, *given)
        value, *others = found if each else (found,)
        return value, {name: other.detach() for name, other in zip(each, others)}

    def arguments_of(t):
        return [t[name] for name in names]

    def autograd(case, t):
        given = [tensor.detach() for tensor in arguments_of(t)]
        leaves = [tensor.requires_grad_() for tensor in given[: len(gradients)]]

        def run():
            value, others = outputs(case["options"], given)
            found = torch.autograd.grad(value, leaves)
            return {"loss": value.detach().reshape(1), **dict(zip(gradients, found)), **others}

        return run

    def functional(case, t):
        both = torch.func.grad_and_value(
            lambda *given: outputs(case["options"], given), argnums=tuple(range(len(gradients))), has_aux=True
        )

        def run(*given):
            found, (value, others) = both(*given)
            return {"loss": value.reshape(1), **dict(zip(gradients, found)), **others}

        return run, arguments_of(t)

    return {"eager autograd": autograd, **in_modes("grad_and_value", functional)}


LOSSES = {
    "ppoPolicyLoss": value_and_grad(
        ppo_policy_loss, ("logprob", "oldLogprob", "advantage", "valid"), ("gradLogprob",)
    ),
    "klPenalty": value_and_grad(kl_and_penalty, ("logprob", "refLogprob", "valid"), ("gradLogprob",), ("kl",)),
    "ppoValueLoss": value_and_grad(ppo_value_loss, ("value", "returns", "valid"), ("gradValue",)),
    "bradleyTerryLoss": value_and_grad(bradley_terry_loss, ("chosen", "rejected"), ("gradChosen", "gradRejected")),
    "dpoLoss": value_and_grad(
        dpo_loss_and_rewards,
        ("policyChosen", "policyRejected", "refChosen", "refRejected"),
        ("gradPolicyChosen", "gradPolicyRejected"),
        ("losses", "chosenReward", "rejectedReward"),
    ),
}
