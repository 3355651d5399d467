"""The adversarial autoencoder: a discriminator tells codes from draws of the prior."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from methods import register
from methods.base import Networks, Noise, Player, Terms, hyperparameter
from methods.judges import ADAM, telling_apart
from methods.networks import discriminator
from methods.vae import VAE, Latents


@register("aae")
class AAE(VAE):
    """Adversarial autoencoder: minimises reconstruction and makes a discriminator take codes for draws of the prior.

    The discriminator tells the batch's samples from standard normal draws; the encoder's adversarial loss is the
    non-saturating one, -log of the chance that a sample is of the prior.

    Reference: Makhzani et al. 2015, "Adversarial autoencoders", section 2, with posteriors that are Gaussian.
    """

    cost: ClassVar[float] = 5.5

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(10.0, "weight of the adversarial loss", grid=(1, 10, 100))

    def build(self) -> dict[str, nn.Module]:
        return super().build() | {"discriminator": discriminator(self.latents)}

    def players(self) -> dict[str, Player]:
        return super().players() | {"discriminator": Player(("discriminator",), self.discriminator_loss, ADAM)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("posterior", "prior"), (batch, self.latents))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.weight * softplus(-networks["discriminator"](latents.sample)).mean()

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The discriminator's cross-entropy in nats, half for each kind of code; no gradient leaves it."""
        codes = self.infer(networks, batch, noise).sample.detach()
        return {"loss": telling_apart(*networks["discriminator"](torch.cat([noise["prior"], codes])).chunk(2))}
