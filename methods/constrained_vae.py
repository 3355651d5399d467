"""The constrained VAE: beta as the price of a constraint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Optimiser, Player, Terms, hyperparameter
from methods.vae import VAE, Latents

RATE = 0.03  # of the dual ascent, a step, on the multiplier's logarithm
MEMORY = 0.9  # of the moving average of the excess


class Multiplier(nn.Module):
    """A Lagrange multiplier, positive by its logarithm; takes an excess to its price."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.zeros(()))

    @property
    def value(self) -> float:
        return self.log.exp().item()

    def forward(self, excess: Tensor) -> Tensor:
        """lambda * excess."""
        return self.log.exp() * excess


@register("constrained_vae")
class ConstrainedVAE(VAE):
    """The beta-VAE's constraint itself: maximises reconstruction subject to KL < epsilon.

    The networks minimise reconstruction + KL + lambda * (KL - epsilon), that is a beta-VAE's loss with
    beta = 1 + lambda. A second player finds lambda by dual ascent: its logarithm rises with a moving average
    of (KL - epsilon) / epsilon and falls where the constraint is slack, so that lambda is never below 0.
    The table tells the beta that it ends at: the price of the constraint.

    Reference: Higgins et al. 2017, eqs. 2-3; the ascent is that of Rezende and Viola 2018, "Taming VAEs",
    there for a constraint on the reconstruction.
    """

    @dataclass(frozen=True)
    class Hyperparameters:
        epsilon: float = hyperparameter(10.0, "bound on the KL, in nats", low=1e-3, grid=(2, 5, 10, 15, 20, 25))

    def build(self) -> dict[str, nn.Module]:
        return super().build() | {"multiplier": Multiplier()}

    def players(self) -> dict[str, Player]:
        # Momentum without damping is a moving average, but for the factor that the rate makes up for.
        ascent = Optimiser("SGD", lr=RATE * (1 - MEMORY), options={"momentum": MEMORY})
        return super().players() | {"multiplier": Player(("multiplier",), self.price_loss, ascent)}

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return latents.kl + networks["multiplier"](latents.kl - hyperparameters.epsilon)

    def price_loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        """Minus the price of the relative excess, for lambda at 1: its gradient is minus the excess at any lambda."""
        kl = self.infer(networks, batch, noise).kl.detach()
        price = networks["multiplier"](kl / hyperparameters.epsilon - 1)
        # Divided by lambda: the logarithm moves by the excess alone, fast or slow alike at any price.
        return {"loss": -price / networks["multiplier"](torch.ones_like(kl)).detach()}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """The multiplier and the beta that it stands for."""
        multiplier = networks["multiplier"]
        assert isinstance(multiplier, Multiplier)
        return {"multiplier": multiplier.value, **self.report_beta(1 + multiplier.value)}
