"""The constrained VAE: beta as the price of a constraint."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Optimiser, Player, Terms, hyperparameter
from methods.vae import VAE, Latents

RATE = 0.03  # of the dual ascent, a step, on beta's logarithm
MEMORY = 0.9  # of the moving average of the excess
WALL = 10.0  # steepness of the wall at beta = 1, which beta's logarithm passes by less than 1 / WALL


class LogBeta(nn.Module):
    """The logarithm of beta, a parameter that starts where lambda is 1; adds it to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(log(2)))

    def forward(self, values: Tensor) -> Tensor:
        return values + self.value


@register("constrained_vae")
class ConstrainedVAE(VAE):
    """The beta-VAE's constraint itself: maximises reconstruction subject to KL < epsilon.

    The networks minimise reconstruction + KL + lambda * (KL - epsilon), that is a beta-VAE's loss with
    beta = 1 + lambda. A second player finds beta by dual ascent: its logarithm rises with a moving average
    of (KL - epsilon) / epsilon and falls where the constraint is slack, until lambda is 0.
    The table tells the beta that it ends at: the price of the constraint.

    Reference: Higgins et al. 2017, eqs. 2-3; the ascent is that of Rezende and Viola 2018, "Taming VAEs",
    there for a constraint on the reconstruction.
    """

    cost: ClassVar[float] = 1.1

    @dataclass(frozen=True)
    class Hyperparameters:
        epsilon: float = hyperparameter(10.0, "bound on the KL, in nats", low=1e-3, grid=(2, 5, 10, 15, 20, 25))

    def build(self) -> dict[str, nn.Module]:
        return super().build() | {"log_beta": LogBeta()}

    def players(self) -> dict[str, Player]:
        # Momentum without damping is a moving average, but for the factor that the rate makes up for.
        ascent = Optimiser("SGD", lr=RATE * (1 - MEMORY), options={"momentum": MEMORY})
        return super().players() | {"multiplier": Player(("log_beta",), self.price_loss, ascent)}

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        log_beta = networks["log_beta"](torch.zeros_like(latents.kl))
        return latents.kl + multiplier(log_beta) * (latents.kl - hyperparameters.epsilon)

    def price_loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        """Its descent raises beta's logarithm by the relative excess, alike at any price.

        The excess counts as at most 1, so that the KL of the first steps does not drive beta up beyond all
        need. The wall keeps the logarithm near 0 where the constraint is slack: it is soon back when it binds.
        """
        kl = self.infer(networks, batch, noise).kl.detach()
        excess = (kl / hyperparameters.epsilon - 1).clamp(max=1)
        log_beta = networks["log_beta"](torch.zeros_like(kl))
        return {"loss": WALL / 2 * log_beta.clamp(max=0).square() - excess * log_beta}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """The multiplier and the beta that it stands for."""
        price = multiplier(networks["log_beta"](torch.zeros(()))).item()
        return {"multiplier": price, **self.report_beta(1 + price)}


def multiplier(log_beta: Tensor) -> Tensor:
    """lambda = beta - 1, never below 0."""
    return log_beta.clamp(min=0).expm1()
