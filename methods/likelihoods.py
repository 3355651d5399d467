"""How an image is given its code: p(x|z), by name, from the logits that every decoder ends in."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BERNOULLI, GAUSSIAN = "bernoulli", "gaussian"
Loss = Callable[[Tensor, Tensor], Tensor]


@cache
def negative_log_likelihood(name: str) -> Loss:
    """The loss (logits, images) -> () of that name: "bernoulli", or "gaussian:V" with a variance V."""
    kind, _, variance = name.partition(":")
    return bernoulli_loss if kind == BERNOULLI else partial(gaussian_loss, variance=float(variance))


def gaussian_loss(logits: Tensor, images: Tensor, variance: float) -> Tensor:
    """-log p(x|z) in nats but for its constant, for pixels N(sigmoid(logit), variance), as Bernoulli's is averaged.

    Without the constant, log(2 pi variance) / 2 a pixel and channel, a perfect reconstruction has a loss of 0.
    """
    return (logits.sigmoid() - images).square().sum() / (2 * variance * len(images))


def bernoulli_loss(logits: Tensor, images: Tensor) -> Tensor:
    """-log p(x|z) in nats for Bernoulli pixels: summed over pixels, averaged over the batch.

    A perfect reconstruction has the loss 0 of black and white images; of grey levels x it has their entropy,
    -x log x - (1 - x) log(1 - x) a pixel and channel, which no model is below.
    """
    loss: Tensor = _Bernoulli.apply(logits, images)  # type: ignore[no-untyped-call]
    return loss


class _Bernoulli(torch.autograd.Function):
    """softplus(l) - l x for a logit l and a pixel x; its gradient, sigmoid(l) - x, in as few passes over the images."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, images: Tensor) -> Tensor:
        return (functional.softplus(logits, threshold=40).sum() - (logits * images).sum()) / len(images)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, images = context.saved_tensors
        each = gradient / len(images)
        return (logits.sigmoid() - images) * each, -logits * each if context.needs_input_grad[1] else None
