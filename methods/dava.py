"""DAVA: a VAE whose capacity grows as long as a discriminator cannot tell mixed codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from methods import register
from methods.base import Networks, Noise, Player, Terms, hyperparameter
from methods.judges import ADAM, permuted, telling_apart
from methods.memory import JUMP, Memory, jump
from methods.networks import ARCHITECTURES
from methods.vae import VAE, Latents

RISING = 0.2  # of the training, in which the capacity reaches its bound where nothing is ever told apart
TOLD = 0.75  # accuracy, half way from guessing to knowing, at which the capacity stands still


@register("dava")
class DAVA(VAE):
    """DAVA: minimises reconstruction + gamma * |KL - C| and fools a discriminator, whose accuracy steers C.

    The discriminator tells images decoded from the batch's codes from those decoded from codes of which each latent is
    permuted across the batch, as they should not be told apart where latents are independent and the decoder takes any
    combination of them. The encoder alone is to make the former look like the latter, as hard as the discriminator is
    right: weight times the percents by which its accuracy exceeds one half. The capacity C rises while the
    discriminator guesses and falls while it knows, at a rate that is linear in its accuracy, from 0 to c_max nats.

    Reference: Estermann and Wattenhofer 2023, "DAVA: Disentangling adversarial variational autoencoder", section 4,
    with the gamma of its code's command, which there weighs the fourth power of the distance of KL's mean over latents;
    that the encoder is pressed, the harder the more accurate the discriminator, is as in its code, which sums over the
    batch and bounds gradients in place of our weight, and a little presses the decoder to make images of mixed codes
    look real. c_max, the rate and the accuracy at which C stands still are ours.
    """

    version: ClassVar[int] = 2  # 2: the encoder alone is pressed, by the discriminator's accuracy
    cost: ClassVar[float] = 4.6

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(500.0, "weight of the distance of KL from C")
        c_max: float = hyperparameter(25.0, "most that C may be, in nats", low=1e-3, grid=(8, 25, 50))
        weight: float = hyperparameter(1.0, "weight of the adversarial loss, a percent of accuracy", grid=(0.1, 1, 10))

    def build(self) -> dict[str, nn.Module]:
        judge = ARCHITECTURES[self.architecture].encoder(self.image_shape, 1)
        return super().build() | {"discriminator": judge, "capacity": Memory()}

    def players(self) -> dict[str, Player]:
        return super().players() | {
            "discriminator": Player(("discriminator",), self.discriminator_loss, ADAM),
            "capacity": Player(("capacity",), self.capacity_loss, JUMP),
        }

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("posterior", "permutation"), (batch, self.latents))

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        latents = self.infer(networks, batch, noise)
        fixed = latents.sample.detach()
        codes = torch.cat([latents.sample, fixed, permuted(fixed, noise["permutation"])])
        decoded = networks["decoder"](codes)
        reconstruction = self.reconstruction_loss(decoded[: len(batch)], batch)
        capacity = self.known(networks, latents).detach()
        whole, held, mixed = networks["discriminator"](decoded.sigmoid()).chunk(3)
        pressure = hyperparameters.weight * 100 * (accuracy(held, mixed) - 0.5).clamp(min=0)
        told = softplus(held).mean()
        # The gradient that reaches the decoder by the same images of fixed codes cancels out.
        adversarial = softplus(whole).mean() - (told - told.detach())
        return {
            "loss": reconstruction + hyperparameters.gamma * (latents.kl - capacity).abs() + pressure * adversarial,
            "reconstruction": reconstruction,
            "kl": latents.kl,
            "kl_per_latent": latents.kl_per_latent,
            "adversarial": told,
            "capacity": capacity,
        }

    def known(self, networks: Networks, latents: Latents) -> Tensor:
        """The capacity, in nats."""
        return networks["capacity"](latents.mean.new_zeros(1)).sum()

    def told(self, networks: Networks, batch: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The discriminator's logits (B, 1) for images of the batch's codes, and of permuted ones; both fixed."""
        sample = self.infer(networks, batch, noise).sample
        images = networks["decoder"](torch.cat([sample, permuted(sample, noise["permutation"])])).sigmoid().detach()
        whole, mixed = networks["discriminator"](images).chunk(2)
        return whole, mixed

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The discriminator's cross-entropy in nats, half for each kind of image; no gradient leaves it."""
        whole, mixed = self.told(networks, batch, noise)
        return {"loss": telling_apart(whole, mixed)}

    def capacity_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """Its step moves the capacity by how well the discriminator does on this batch."""
        whole, mixed = self.told(networks, batch, noise)
        right = accuracy(whole, mixed)
        known = networks["capacity"](whole.new_zeros(1))
        rate = (hyperparameters.c_max / (RISING * self.steps)) * ((TOLD - right) / (TOLD - 0.5)).clamp(-1, 1)
        following = torch.minimum((known + rate).clamp(min=0), known.new_zeros(1) + hyperparameters.c_max)
        return {"loss": jump(known, following), "accuracy": right}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """The capacity that it ends at, in nats."""
        return {"capacity": networks["capacity"](torch.zeros(())).item()}


def accuracy(whole: Tensor, mixed: Tensor) -> Tensor:
    """The share that is told right by logits for images of either kind, half for each."""
    return ((whole > 0).to(whole.dtype) + (mixed <= 0).to(whole.dtype)).mean() / 2
