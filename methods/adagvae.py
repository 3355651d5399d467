"""Ada-GVAE: weak supervision by pairs."""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods import register
from methods.base import Batches, Networks, Noise, Pairs, hyperparameter
from methods.vae import VAE, Latents, sampled


@register("adagvae")
class AdaGVAE(VAE):
    """Ada-GVAE: a beta-VAE on pairs of images that share all but a few factors.

    A pair's latents whose posteriors lie near each other (KL below half way between the pair's least
    and greatest) are taken to be shared: both images get the average posterior for them. The loss is
    the mean over the two images. Whether factors are shared is known; which ones is not. How many factors a pair
    differs in is drawn evenly, as the paper says; in the study's code it is one in half of the pairs.

    Reference: Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", eqs. 3-5.
    """

    cost: ClassVar[float] = 1.7

    @dataclass(frozen=True)
    class Hyperparameters:
        beta: float = hyperparameter(1.0, "weight of the KL term", grid=(1, 2, 4, 6, 8, 16))
        differing: int = hyperparameter(0, "factors in which a pair differs; 0: drawn for each pair", structural=True)

    def batches(self) -> Batches:
        return Pairs(self.structure["differing"])

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"posterior": (2 * batch, self.latents)}

    def infer(self, networks: Networks, batch: Tensor, noise: Noise) -> Latents:
        """The posteriors of the pairs' first images, then of the second, with shared latents averaged."""
        means, log_variances = (part.chunk(2) for part in self.posteriors(networks, batch))
        shared = self.shared(means, log_variances, noise).repeat(2, 1)
        mean, log_variance = (average.repeat(2, 1) for average in self.average(means, log_variances))
        return sampled(
            torch.where(shared, mean, torch.cat(means)),
            torch.where(shared, log_variance, torch.cat(log_variances)),
            noise["posterior"],
        )

    def shared(self, means: tuple[Tensor, ...], log_variances: tuple[Tensor, ...], noise: Noise) -> Tensor:
        """Which latents are taken to be shared by each pair's images: booleans (B, D)."""
        distance = kl_between(means, log_variances)
        return distance < (distance.amin(1, keepdim=True) + distance.amax(1, keepdim=True)) / 2

    def average(self, means: tuple[Tensor, ...], log_variances: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of the average: arithmetic means of the pair's means and variances."""
        return (means[0] + means[1]) / 2, torch.logaddexp(*log_variances) - log(2)

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.beta * latents.kl


def kl_between(means: tuple[Tensor, ...], log_variances: tuple[Tensor, ...]) -> Tensor:
    """KL(q(z_j|x1) || q(z_j|x2)) in nats of each latent: (B, D)."""
    ratio = log_variances[0] - log_variances[1]
    squared = (means[0] - means[1]) ** 2 * (-log_variances[1]).exp()
    return (ratio.exp() + squared - 1 - ratio) / 2
