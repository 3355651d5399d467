"""An adversarial autoencoder: a second network, with a loss and an optimiser of its own.

The discriminator tells codes from draws of the prior; the encoder learns to be taken for the prior.
A player is a loss over some of the networks. The harness takes its gradients for these alone, so that the
first player's loss may pass through the discriminator without moving it.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

from methods import register
from methods.base import Optimiser, Player, hyperparameter
from methods.networks import discriminator
from methods.vae import VAE


@register("aae")
class AAE(VAE):
    """Adversarial autoencoder. Reference: Makhzani et al. 2015, "Adversarial autoencoders", section 2."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(10.0, "weight of the adversarial loss", grid=(1, 10, 100))

    def build(self):
        return super().build() | {"discriminator": discriminator(self.latents)}

    def players(self):
        adam = Optimiser("Adam", lr=1e-4, options={"betas": (0.5, 0.9)})
        return super().players() | {"discriminator": Player(("discriminator",), self.discriminator_loss, adam)}

    def noise_shapes(self, batch):
        return dict.fromkeys(("posterior", "prior"), (batch, self.latents))

    def regulariser(self, networks, latents, hyperparameters, step):
        return hyperparameters.weight * softplus(-networks["discriminator"](latents.sample)).mean()

    def discriminator_loss(self, networks, batch, noise, hyperparameters, step):
        codes = self.infer(networks, batch, noise).sample.detach()
        prior, told = networks["discriminator"](torch.cat([noise["prior"], codes])).chunk(2)
        return {"loss": (softplus(-prior) + softplus(told)).mean() / 2}
