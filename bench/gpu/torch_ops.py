"""Every op of the GPU bench as a PyTorch user writes it: eager, compiled, and compiled with autotuning.

`OPERATIONS[op][way](case, tensors)` returns a function that computes once and returns outputs by name. The first word of a
way is its mode.
"""

import torch
import torch.nn.functional as F
from torch_losses import LOSSES
from torch_ways import compiled, eager, in_modes

# Log-probabilities


def with_tokens(function):
    def prepare(case, t):
        return function, (t["logits"], t["tokens"].long())

    return prepare


def log_softmax_gather(logits, tokens):
    return {"logprob": torch.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1).float()}


def float_log_softmax_gather(logits, tokens):
    """In f32 throughout, which a compiler fuses into the reads."""
    return {"logprob": torch.log_softmax(logits.float(), -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)}


def gather_logsumexp(logits, tokens):
    chosen = logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return {"logprob": chosen.float() - torch.logsumexp(logits.float(), -1)}


def cross_entropy(logits, tokens):
    return {"logprob": -F.cross_entropy(logits, tokens, reduction="none").float()}


def cross_entropy_backward(case, t):
    """The backward half alone: the graph of the forward half is made once and kept."""
    logits = t["logits"].detach().requires_grad_()
    logprob = -F.cross_entropy(logits, t["tokens"].long(), reduction="none")
    upstream = t["gradLogprob"].to(logprob.dtype)

    def run():
        (grad,) = torch.autograd.grad(logprob, logits, upstream, retain_graph=True)
        return {"gradLogits": grad}

    return run


def softmax_from_sums(case, t):
    """From the same sums as prefgrad: compiled, this is one read and one write."""

    def backward(logits, tokens, row_max, log_sum, upstream):
        p = torch.exp(logits.float() - (row_max + log_sum).unsqueeze(-1))
        hit = torch.arange(logits.shape[-1], device=logits.device) == tokens.unsqueeze(-1)
        return {"gradLogits": (upstream.unsqueeze(-1) * (hit.float() - p)).to(logits.dtype)}

    return backward, (t["logits"], t["tokens"], t["rowMax"], t["logSum"], t["gradLogprob"])


# Advantages


def deltas(t, options):
    """Temporal differences, and what the advantage of the next step is multiplied by."""
    values = t["values"]
    following = torch.cat([values[:, 1:], t["bootstrap"].unsqueeze(1)], 1)
    continues = 1.0 - t["terminated"].float()
    delta = t["rewards"] + options["gamma"] * following * continues - values
    return delta, options["gamma"] * options["lambda"] * continues


def gae_loop(case, t):
    """The loop over time that RLHF trainers have, vectorised over sequences."""
    options, steps = case["options"], t["rewards"].shape[1]
    if steps > 2048 and t["rewards"].is_cuda:
        raise NotImplementedError(f"a loop of {steps} steps takes seconds a call")

    def run():
        with torch.no_grad():
            delta, decay = deltas(t, options)
            advantages = torch.empty_like(delta)
            last = torch.zeros_like(delta[:, 0])
            for i in reversed(range(steps)):
                last = delta[:, i] + decay[:, i] * last
                advantages[:, i] = last
            return {"advantages": advantages, "returns": advantages + t["values"]}

    return run


def gae_doubling(case, t):
    """Affine maps combined over 1, 2, 4, ... steps."""
    options, names = case["options"], ("rewards", "values", "bootstrap", "terminated")

    def scan(*arguments):
        given = dict(zip(names, arguments))
        b, a = deltas(given, options)
        step = 1
        while step < b.shape[1]:
            b = b + a * F.pad(b[:, step:], (0, step))
            a = a * F.pad(a[:, step:], (0, step))
            step *= 2
        return {"advantages": b, "returns": b + given["values"]}

    return scan, [t[name] for name in names]


def gae_associative_scan(case, t):
    from torch._higher_order_ops.associative_scan import associative_scan

    options, names = case["options"], ("rewards", "values", "bootstrap", "terminated")

    def scan(*arguments):
        given = dict(zip(names, arguments))
        delta, decay = deltas(given, options)

        def combine(later, earlier):
            return later[0] * earlier[0], earlier[1] + earlier[0] * later[1]

        _, b = associative_scan(combine, (decay.flip(1), delta.flip(1)), 1)
        advantages = b.flip(1)
        return {"advantages": advantages, "returns": advantages + given["values"]}

    return scan, [t[name] for name in names]


# The optimizer, and plain traffic


def adamw_of(kind):
    def make(case, t):
        options = case["options"]
        param = torch.nn.Parameter(t["param"].clone())
        param.grad = t["grad"]
        is_fused = kind == "fused"
        settings = {"fused": True, "capturable": param.is_cuda} if is_fused else {"foreach": True}
        optimizer = torch.optim.AdamW(
            [param],
            lr=options["lr"],
            betas=(options["beta1"], options["beta2"]),
            eps=options["epsilon"],
            weight_decay=options["weightDecay"],
            **settings,
        )
        state = optimizer.state[param]
        # On the GPU the fused kernel reads it there; the others would wait for it.
        state["step"] = torch.tensor(float(t["step"].item()), device=param.device if is_fused else "cpu")
        state["exp_avg"], state["exp_avg_sq"] = t["m"].clone(), t["v"].clone()

        def run():
            optimizer.step()
            return {"param": param}

        return run

    return make


def adamw_formula(mode):
    """Written out and compiled into one kernel, in place."""

    def make(case, t):
        o = case["options"]
        param, m, v, step = (t[name].clone() for name in ("param", "m", "v", "step"))
        grad, beta1, beta2 = t["grad"], o["beta1"], o["beta2"]

        def update(param, grad, m, v, step):
            step.add_(1)
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            s = step.float()
            root = (v / (1 - beta2**s)).sqrt_().add_(o["epsilon"])
            param.mul_(1 - o["lr"] * o["weightDecay"]).sub_(o["lr"] * (m / (1 - beta1**s)) / root)

        call = compiled(update, mode)

        def run():
            with torch.no_grad():
                call(param, grad, m, v, step)
            return {"param": param}

        return run

    return make


def grad_norm(case, t):
    def run():
        return {"norm": torch.linalg.vector_norm(t["grad"]).reshape(1)}

    return run


def copy(case, t):
    y = torch.empty_like(t["x"])

    def run():
        return {"y": y.copy_(t["x"])}

    return run


# The model


def linear(tf32):
    def make(case, t):
        x, weight = t["x"], t["weight"].t()
        y = torch.empty(x.shape[0], weight.shape[1], device=x.device)

        def run():
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.mm(x, weight, out=y)
            torch.backends.cuda.matmul.allow_tf32 = False
            return {"y": y}

        return run

    return make


def rotary_attention(case, t):
    heads, shared, base = (case["options"][name] for name in ("heads", "keyValueHeads", "base"))

    def attention(query, key, value):
        batch, steps, width = query.shape
        size = width // heads
        split = lambda x, count: x.view(batch, steps, count, size).transpose(1, 2)  # noqa: E731
        positions = torch.arange(steps, device=query.device, dtype=torch.float32)
        rates = base ** (-torch.arange(0, size, 2, device=query.device, dtype=torch.float32) / size)
        angles = positions.unsqueeze(1) * rates
        cos, sin = angles.cos(), angles.sin()

        def rotate(x):
            first, second = x.chunk(2, -1)
            return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

        q, k, v = rotate(split(query, heads)), rotate(split(key, shared)), split(value, shared)
        k, v = (x.repeat_interleave(heads // shared, 1) for x in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return {"y": y.transpose(1, 2).reshape(batch, steps, width)}

    return attention, (t["query"], t["key"], t["value"])


OPERATIONS = {
    "tokenLogprobs": {
        "eager log_softmax + gather": eager(with_tokens(log_softmax_gather)),
        "eager gather - logsumexp": eager(with_tokens(gather_logsumexp)),
        "eager cross_entropy": eager(with_tokens(cross_entropy)),
        **in_modes("log_softmax + gather", with_tokens(float_log_softmax_gather)),
        **in_modes("gather - logsumexp", with_tokens(gather_logsumexp)),
    },
    "tokenLogprobsBackward": {
        "eager cross_entropy backward": cross_entropy_backward,
        **in_modes("softmax from its sums", softmax_from_sums),
    },
    "gae": {
        "eager loop over T": gae_loop,
        **in_modes("doubling scan", gae_doubling),
        **in_modes("associative_scan", gae_associative_scan),
    },
    **LOSSES,
    "adamw": {
        "eager AdamW, foreach": adamw_of("foreach"),
        "eager AdamW, fused": adamw_of("fused"),
        "compile formula": adamw_formula(None),
    },
    "gradNorm": {"eager vector_norm": grad_norm},
    "copy": {"eager copy_": copy},
    "linear": {"eager mm": linear(False), "tf32 mm": linear(True)},
    "rotaryAttention": {
        "eager rotary + scaled_dot_product_attention": eager(rotary_attention),
        **in_modes("rotary + scaled_dot_product_attention", rotary_attention),
    },
}
