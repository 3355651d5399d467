"""AnnealedVAE: a capacity that grows."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods import register
from methods.base import Networks, hyperparameter
from methods.vae import VAE, Latents

ANNEALED = 1 / 3  # of the training: the study's 100,000 of 300,000 steps


@register("annealedvae")
class AnnealedVAE(VAE):
    """AnnealedVAE: minimises reconstruction + gamma * |KL - C|, where C grows from 0 to c_max nats.

    C grows linearly over the first third of the training. KL is that of the batch, its mean over images.

    Reference: Burgess et al. 2018, "Understanding disentangling in beta-VAE", eq. 8; the schedule is
    that of Locatello et al. 2019.
    """

    cost: ClassVar[float] = 1.0

    @dataclass(frozen=True)
    class Hyperparameters:
        c_max: float = hyperparameter(25.0, "KL that is allowed in the end, in nats", grid=(5, 10, 25, 50, 75, 100))
        gamma: float = hyperparameter(1000.0, "weight of the distance of KL from C")

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.gamma * (latents.kl - self.capacity(hyperparameters, step)).abs()

    def capacity(self, hyperparameters: Any, step: Tensor) -> Tensor:
        """C at that step, in nats."""
        return hyperparameters.c_max * (step / (ANNEALED * self.steps)).clamp(max=1)
