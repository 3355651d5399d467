"""HFS: Hausdorff factorised support."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods import register
from methods.base import Networks, Terms, hyperparameter
from methods.vae import VAE, Latents


@register("hfs")
class HFS(VAE):
    """Hausdorff factorised support: a beta-VAE whose latents may correlate, but must be able to go anywhere.

    For each pair of latents, the joint support is the batch's posterior means and the factorised support
    every combination of a first and a second coordinate among them. Minimises reconstruction + beta * KL +
    gamma * the sum over pairs of the (squared) Hausdorff distance: how far the combination that lies
    farthest from the joint support is from it. A latent that is not used costs nothing: its means agree,
    where samples would scatter as the prior does.

    Reference: Roth et al. 2023, "Disentanglement of correlated factors via Hausdorff factorized support",
    eqs. 3-5, with squared distances of means and the grids as in the authors' code.
    """

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(1.0, "weight of the supports' distance", grid=(0.1, 1, 10, 100, 1000, 10_000))
        beta: float = hyperparameter(1.0, "weight of the KL term", grid=(0, 1, 2, 4, 6, 8, 10, 16))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Terms:
        distance = support_distance(latents.mean)
        return {"loss": hyperparameters.beta * latents.kl + hyperparameters.gamma * distance, "support": distance}


def support_distance(codes: Tensor) -> Tensor:
    """Sum over pairs of latents of the squared Hausdorff distance of their supports in codes (B, D)."""
    return torch.stack([_of_pair(codes[:, i], codes[:, j]) for i in range(codes.shape[1]) for j in range(i)]).sum()


def _of_pair(first: Tensor, second: Tensor) -> Tensor:
    """For coordinates (B,): the farthest combination (a, b) from its nearest code c, squared."""
    with torch.no_grad():  # the search needs no gradients, only what it finds
        to_first, to_second = ((each[:, None] - each).square() for each in (first, second))  # (a or b, c)
        nearest, at = (to_first[:, None] + to_second).min(2)  # (a, b)
        farthest = nearest.flatten().argmax(0, keepdim=True)
        c = at.flatten().gather(0, farthest)
        a, b = farthest // len(first), farthest % len(first)
    squared = (first.gather(0, a) - first.gather(0, c)) ** 2 + (second.gather(0, b) - second.gather(0, c)) ** 2
    return squared.sum()
