"""DIP-VAE-II."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from methods import register
from methods.base import hyperparameter
from methods.dipvae_i import DIPVAEI, GRID
from methods.vae import Latents


@register("dipvae_ii")
class DIPVAEII(DIPVAEI):
    """DIP-VAE-II: as DIP-VAE-I, with the covariance of samples of q(z) in place of that of the means.

    That is the covariance of the means plus the mean of the posteriors' (diagonal) covariances.

    Reference: Kumar et al. 2018, "Variational inference of disentangled latent concepts ...", eqs. 5 and 7.
    """

    cost: ClassVar[float] = 1.0

    @dataclass(frozen=True)
    class Hyperparameters:
        lambda_od: float = hyperparameter(10.0, "weight of covariances", grid=GRID)
        ratio: float = hyperparameter(1.0, "weight of variances, as a multiple of lambda_od")

    def covariance(self, latents: Latents) -> Tensor:
        """The covariance (D, D) of samples."""
        return super().covariance(latents) + latents.log_variance.exp().mean(0).diag()
