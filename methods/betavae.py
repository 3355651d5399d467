"""beta-VAE."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from methods import register
from methods.base import Networks, hyperparameter
from methods.vae import VAE, Latents


@register("betavae")
class BetaVAE(VAE):
    """beta-VAE: minimises reconstruction + beta * KL, in nats an image.

    beta is the Lagrange multiplier of the constraint KL < epsilon (eqs. 2-3): more pressure
    disentangles, and costs reconstruction.

    Reference: Higgins et al. 2017, "beta-VAE: Learning basic visual concepts with a constrained
    variational framework", eq. 4.
    """

    @dataclass(frozen=True)
    class Hyperparameters:
        beta: float = hyperparameter(4.0, "weight of the KL term", grid=(1, 2, 4, 6, 8, 16))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.beta * latents.kl
