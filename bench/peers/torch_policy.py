"""The built-in policy in PyTorch, and whole optimizer steps on it: the same weights, batch, loss, clipping and AdamW.

Sequences of a case are of equal length, so that the batch is [B, T] without padding. Logits are made for response rows only.
"""

import torch
import torch.nn.functional as F
from torch_losses import dpo_loss, ppo_policy_loss
from torch_ways import compiled

NAMES = ("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
NAMES += ("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def rms_norm(x, weight, epsilon):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, weight.shape, weight, epsilon)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def causal_attention(query, key, value):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    steps, size = query.shape[-2:]
    scores = query @ key.transpose(-1, -2) * size**-0.5
    later = torch.ones(steps, steps, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ value


def rotary_tables(steps, size, base):
    rates = base ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(steps).unsqueeze(1) * rates
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Positions are the next to last axis; element i of a head is paired with i + size / 2."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Policy:
    """Logits and values of the rows of a batch; `wrap` is applied to the parts that are worth compiling."""

    def __init__(self, options, t, parameters, wrap):
        self.options, self.parameters = options, parameters
        self.ids = t["ids"].long().view(t["offsets"].shape[0] - 1, -1)
        self.rows, self.targets = t["rows"].long(), t["targets"].long()
        size = options["width"] // options["heads"]
        self.cos, self.sin = rotary_tables(self.ids.shape[1], size, options["rotaryBase"])
        self.layer, self.head = wrap(self.layer_of), wrap(self.logprobs_of)
        self.layers = [[parameters[f"model.layers.{l}.{name}.weight"] for name in NAMES] for l in range(options["layers"])]

    def layer_of(self, x, cos, sin, norm, wq, wk, wv, wo, second_norm, gate, up, down):
        heads, shared, epsilon = (self.options[name] for name in ("heads", "keyValueHeads", "normEpsilon"))
        split = lambda y, count: y.unflatten(-1, (count, -1)).transpose(1, 2)  # noqa: E731
        normed = rms_norm(x, norm, epsilon)
        query = rotate(split(F.linear(normed, wq), heads), cos, sin)
        key = rotate(split(F.linear(normed, wk), shared), cos, sin)
        value = split(F.linear(normed, wv), shared)
        if shared != heads:
            key, value = (y.repeat_interleave(heads // shared, 1) for y in (key, value))
        x = x + F.linear(causal_attention(query, key, value).transpose(1, 2).flatten(2), wo)
        normed = rms_norm(x, second_norm, epsilon)
        return x + F.linear(F.silu(F.linear(normed, gate)) * F.linear(normed, up), down)

    def logprobs_of(self, picked, head, targets):
        return -F.cross_entropy(F.linear(picked, head), targets, reduction="none")

    def __call__(self):
        """Log-probability of every response token, and the hidden states that they were made from."""
        p = self.parameters
        x = F.embedding(self.ids, p["model.embed_tokens.weight"])
        for weights in self.layers:
            x = self.layer(x, self.cos, self.sin, *weights)
        hidden = rms_norm(x, p["model.norm.weight"], self.options["normEpsilon"])
        picked = hidden.flatten(0, 1).index_select(0, self.rows)
        head = p["model.embed_tokens.weight" if self.options["tiedHead"] else "lm_head.weight"]
        return self.head(picked, head, self.targets), picked


def value_loss(options, value, old, returns):
    """Clipped as in the OpenAI baselines."""
    near = torch.clamp(value, old - options["valueClip"], old + options["valueClip"])
    return 0.5 * torch.maximum((value - returns).square(), (near - returns).square()).mean()


def ppo_loss(options, t, policy):
    logprob, picked = policy()
    values = F.linear(picked, policy.parameters["value_head.weight"]).squeeze(-1)
    every = torch.ones_like(logprob)
    surrogate = ppo_policy_loss(options, logprob, t["oldLogprob"], t["advantage"], every)
    critic = value_loss(options, values, t["oldValue"], t["returns"])
    return surrogate + options["valueCoefficient"] * critic, {"policyLoss": surrogate, "valueLoss": critic}


def pair_loss(options, t, policy):
    """The first half of the sequences are the chosen ones; all have responses of the same length."""
    logprob, _ = policy()
    chosen, rejected = logprob.view(policy.ids.shape[0], -1).sum(-1).chunk(2)
    loss = dpo_loss(options, chosen, rejected, t["refChosen"], t["refRejected"])
    return loss, {"loss": loss}


def has_fused_adamw():
    """On the CPU since PyTorch 2.4."""
    try:
        torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    except (RuntimeError, TypeError):
        return False
    return True


def adamw(options, parameters):
    """Decay for matrices only."""
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options["weightDecay"]},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options["lr"], **({"fused": True} if has_fused_adamw() else {"foreach": True}))


BATCH = ("ids", "offsets", "rows", "targets", "oldLogprob", "oldValue", "advantage", "returns", "refChosen", "refRejected")


def step_of(loss_of, wrap):
    """`make(options, tensors)`: forward, loss, backward, clipping, AdamW. The first call also returns its gradients."""

    def make(options, t):
        parameters = {name: torch.nn.Parameter(x) for name, x in t.items() if name not in BATCH}
        policy = Policy(options, t, parameters, wrap)
        optimizer = adamw(options, list(parameters.values()))
        is_first = True

        def run():
            nonlocal is_first
            optimizer.zero_grad(set_to_none=True)
            loss, parts = loss_of(options, t, policy)
            loss.backward()
            gradients = {name: p.grad.clone() for name, p in parameters.items()} if is_first else {}
            is_first = False
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), options["maxNorm"])
            optimizer.step()
            return {**{name: part.detach().reshape(1) for name, part in parts.items()}, "gradNorm": norm.reshape(1), **gradients}

        return run

    return make


def in_ways(loss_of):
    return {
        "eager": step_of(loss_of, lambda function: function),
        "compile layers and head": step_of(loss_of, lambda function: compiled(function, None)),
    }


POLICY_STEPS = {"ppoStep": in_ways(ppo_loss), "dpoStep": in_ways(pair_loss)}
