"""What methods share that have a discriminator: how it learns, and what it is shown of latents that are independent."""

from torch import Tensor
from torch.nn.functional import softplus

from methods.base import Optimiser

ADAM = Optimiser("Adam", lr=1e-4, options={"betas": (0.5, 0.9)})  # a discriminator's, as FactorVAE's paper has it


def telling_apart(true: Tensor, false: Tensor) -> Tensor:
    """Cross-entropy in nats of logits for one kind and for the other, half for each; log 2 where nothing is told."""
    return (softplus(-true) + softplus(false)).mean() / 2


def permuted(codes: Tensor, permutation: Tensor) -> Tensor:
    """Codes (B, D, ...) with each latent permuted across the batch, in a way of its own, by normal draws (B, D)."""
    order = permutation.argsort(0)
    return codes.gather(0, order.view(*order.shape, *[1] * (codes.ndim - 2)).expand_as(codes))
