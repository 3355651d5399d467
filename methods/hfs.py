"""HFS: Hausdorff factorised support."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods import register
from methods.base import Networks, Terms, hyperparameter
from methods.vae import VAE, Latents

AT_ONCE = 2  # pairs, of whose B * B * B sums all in one tensor take longer to fill than to compute


@register("hfs")
class HFS(VAE):
    """Hausdorff factorised support: a beta-VAE whose latents may correlate, but must be able to go anywhere.

    For each pair of latents, the joint support is the batch's posterior means and the factorised support
    every combination of a first and a second coordinate among them. Minimises reconstruction + beta * KL +
    gamma * the sum over pairs of the (squared) Hausdorff distance: how far the combination that lies
    farthest from the joint support is from it. A latent that is not used costs nothing: its means agree,
    where samples would scatter as the prior does.

    Reference: Roth et al. 2023, "Disentanglement of correlated factors via Hausdorff factorized support",
    eqs. 3-5, with squared distances of means and the grids as in the authors' code, which sums over 25 pairs drawn anew
    in each step by default: of ten latents 45 are summed here, so that a gamma presses 1.8 times as hard.
    """

    cost: ClassVar[float] = 2.9

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(1.0, "weight of the supports' distance", grid=(0.1, 1, 10, 100, 1000, 10_000))
        beta: float = hyperparameter(1.0, "weight of the KL term", grid=(0, 1, 2, 4, 6, 8, 10, 16))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Terms:
        distance = support_distance(latents.mean)
        return {"loss": hyperparameters.beta * latents.kl + hyperparameters.gamma * distance, "support": distance}


def support_distance(codes: Tensor) -> Tensor:
    """Sum over pairs of latents of the squared Hausdorff distance of their supports in codes (B, D)."""
    batch, latents = codes.shape
    first, second = torch.tril_indices(latents, latents, -1, device=codes.device)  # (pairs,)
    values = codes.mT.contiguous()
    with torch.no_grad():  # the search needs no gradients, only what it finds
        apart = (values[:, :, None] - values[:, None]).square()  # (D, B, B)
        nearest = [_to_nearest(apart[i], some) for i in range(1, latents) for some in torch.split(apart[:i], AT_ONCE)]
        farthest = torch.cat(nearest).flatten(1).argmax(1, keepdim=True)  # (pairs, 1)
    ones, others = values[first], values[second]  # (pairs, B)
    along = (ones.gather(1, farthest // batch) - ones).square()
    across = (others.gather(1, farthest % batch) - others).square()
    return (along + across).amin(1).sum()


def _to_nearest(first: Tensor, others: Tensor) -> Tensor:
    """From each combination (a, b) of a first and another coordinate to the nearest code c: (others, a, b).

    From squared distances in each coordinate, (a, c) and (others, b, c), which are symmetric.
    """
    return (first[:, :, None] + others[:, None]).amin(2)
