"""DIP-VAE-I."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods import register
from methods.base import Networks, hyperparameter
from methods.vae import VAE, Latents

GRID = (1, 2, 5, 10, 20, 50)  # of Locatello et al. 2019


@register("dipvae_i")
class DIPVAEI(VAE):
    """DIP-VAE-I: a VAE whose posterior means are to be uncorrelated, each of unit variance.

    Minimises reconstruction + KL + lambda_od * sum_{i != j} C_ij^2 + lambda_d * sum_i (C_ii - 1)^2,
    where C is the covariance of the means over the batch and lambda_d is `ratio` * lambda_od.

    Reference: Kumar et al. 2018, "Variational inference of disentangled latent concepts ...", eq. 6.
    """

    cost: ClassVar[float] = 1.0

    @dataclass(frozen=True)
    class Hyperparameters:
        lambda_od: float = hyperparameter(10.0, "weight of covariances", grid=GRID)
        ratio: float = hyperparameter(10.0, "weight of variances, as a multiple of lambda_od")

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        covariance = self.covariance(latents)
        variances = covariance.diagonal()
        off_diagonal = (covariance - variances.diag()).square().sum()
        diagonal = (variances - 1).square().sum()
        return latents.kl + hyperparameters.lambda_od * (off_diagonal + hyperparameters.ratio * diagonal)

    def covariance(self, latents: Latents) -> Tensor:
        """The covariance (D, D) that is to be the identity: that of the posterior means."""
        centred = latents.mean - latents.mean.mean(0)
        return centred.T @ centred / len(centred)
