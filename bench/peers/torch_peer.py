"""PyTorch as a peer: every op as a PyTorch user writes it, eager. Losses compute value and gradient, but not the
statistics that prefgrad returns beside them."""

import os

import torch
import torch.nn.functional as F
from protocol import gemm_gflops, loaded_blas, read_inputs, serve

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def tensors(file, inputs):
    found = {}
    for name, array in read_inputs(file, inputs).items():
        tensor = torch.from_numpy(array)
        found[name] = tensor.view(torch.bfloat16) if inputs[name]["dtype"] == "bf16" else tensor
    return found


def hello():
    x, w = torch.randn(2, 1024, 1024)
    config = torch.__config__.show()
    built = next((part for part in config.replace("\n", ",").split(",") if "BLAS_INFO" in part), "BLAS_INFO unknown")
    capability = next((line for line in config.splitlines() if "CPU capability" in line), "CPU capability unknown")
    return {
        "version": f"PyTorch {torch.__version__}",
        "built": built.split()[-1],
        "capability": capability.split()[-1],
        "threads": torch.get_num_threads(),
        "blas": loaded_blas(),
        "gemm": gemm_gflops(lambda: x @ w.T),
    }


def gather_logprobs(file, inputs, options):
    t = tensors(file, inputs)
    logits, index = t["logits"], t["tokens"].long().unsqueeze(-1)

    def run():
        with torch.inference_mode():
            return {"logprob": torch.log_softmax(logits, -1).gather(-1, index).squeeze(-1).float()}

    return run


def cross_entropy(file, inputs, options):
    t = tensors(file, inputs)
    logits, tokens = t["logits"], t["tokens"].long()

    def run():
        with torch.inference_mode():
            return {"logprob": -F.cross_entropy(logits, tokens, reduction="none").float()}

    return run


def cross_entropy_backward(file, inputs, options):
    """The backward half alone: the graph of the forward half is made once and kept."""
    t = tensors(file, inputs)
    logits = t["logits"].requires_grad_()
    logprob = -F.cross_entropy(logits, t["tokens"].long(), reduction="none")
    upstream = t["gradLogprob"].to(logprob.dtype)

    def run():
        (grad,) = torch.autograd.grad(logprob, logits, upstream, retain_graph=True)
        return {"gradLogits": grad.detach().float() if grad.dtype != torch.float32 else grad}

    return run


def gae_loop(file, inputs, options):
    """The loop over time that RLHF trainers have, vectorised over sequences."""
    t = tensors(file, inputs)
    rewards, values = t["rewards"], t["values"]
    steps = rewards.shape[1]
    continues = 1.0 - t["terminated"].float()
    gamma, lam = options["gamma"], options["lambda"]

    def run():
        with torch.inference_mode():
            advantages = torch.empty_like(rewards)
            last = torch.zeros(rewards.shape[0])
            following = t["bootstrap"]
            for i in reversed(range(steps)):
                delta = rewards[:, i] + gamma * following * continues[:, i] - values[:, i]
                last = delta + gamma * lam * continues[:, i] * last
                advantages[:, i] = last
                following = values[:, i]
            return {"advantages": advantages, "returns": advantages + values}

    return run


def value_and_grad(loss_of, wanted):
    """Eager loss and its gradients: `wanted` maps output names to the inputs that they are gradients of."""

    def make(file, inputs, options):
        t = tensors(file, inputs)
        leaves = [t[name].requires_grad_() for name in wanted.values()]

        def run():
            loss = loss_of(t, options)
            gradients = torch.autograd.grad(loss, leaves)
            return {"loss": loss.detach().reshape(1), **dict(zip(wanted, gradients))}

        return run

    return make


def ppo_policy_loss(t, options):
    ratio = torch.exp(t["logprob"] - t["oldLogprob"])
    unclipped = -t["advantage"] * ratio
    clipped = -t["advantage"] * torch.clamp(ratio, 1 - options["clipLow"], 1 + options["clipHigh"])
    valid = t["valid"]
    return (torch.maximum(unclipped, clipped) * valid).sum() / valid.sum()


def ppo_value_loss(t, options):
    valid = t["valid"]
    return options["scale"] * ((t["value"] - t["returns"]).square() * valid).sum() / valid.sum()


def bradley_terry_loss(t, options):
    return -F.logsigmoid(t["chosen"] - t["rejected"]).mean()


def dpo_loss(t, options):
    margin = (t["policyChosen"] - t["refChosen"]) - (t["policyRejected"] - t["refRejected"])
    return -F.logsigmoid(options["beta"] * margin).mean()


def adamw(file, inputs, options):
    t = tensors(file, inputs)
    param = torch.nn.Parameter(t["param"])
    param.grad = t["grad"]
    optimizer = torch.optim.AdamW(
        [param],
        lr=options["lr"],
        betas=(options["beta1"], options["beta2"]),
        eps=options["epsilon"],
        weight_decay=options["weightDecay"],
    )

    def run():
        optimizer.step()
        return {"param": param.detach()}

    return run


def grad_norm(file, inputs, options):
    grad = tensors(file, inputs)["grad"]

    def run():
        return {"norm": torch.linalg.vector_norm(grad).reshape(1)}

    return run


def linear(file, inputs, options):
    t = tensors(file, inputs)
    x, weight = t["x"], t["weight"].t()
    y = torch.empty(x.shape[0], weight.shape[1])

    def run():
        torch.mm(x, weight, out=y)
        return {"y": y}

    return run


serve(
    hello,
    {
        "tokenLogprobs": {"log_softmax + gather": gather_logprobs, "cross_entropy": cross_entropy},
        "tokenLogprobsBackward": {"cross_entropy backward": cross_entropy_backward},
        "gae": {"loop over T": gae_loop},
        "ppoPolicyLoss": {"eager": value_and_grad(ppo_policy_loss, {"gradLogprob": "logprob"})},
        "ppoValueLoss": {"eager": value_and_grad(ppo_value_loss, {"gradValue": "value"})},
        "bradleyTerryLoss": {
            "eager": value_and_grad(bradley_terry_loss, {"gradChosen": "chosen", "gradRejected": "rejected"})
        },
        "dpoLoss": {
            "eager": value_and_grad(
                dpo_loss, {"gradPolicyChosen": "policyChosen", "gradPolicyRejected": "policyRejected"}
            )
        },
        "gradNorm": {"vector_norm": grad_norm},
        "adamw": {"optim.AdamW": adamw},
        "linear": {"mm": linear},
    },
)
