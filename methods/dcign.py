"""DC-IGN: the deep convolutional inverse graphics network."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods import register
from methods.base import Batches, Groups, Networks, Noise, Terms, hyperparameter
from methods.vae import VAE


@register("dcign")
class DCIGN(VAE):
    """DC-IGN: a VAE that is told which factor varies in each mini-batch.

    There is one latent for each factor. In a batch where factor k varies, latent k is active and
    the others are clamped to their mean over the batch. Coming back, a clamped latent gets no gradient
    of the reconstruction but `invariance` times its difference from that mean.

    Reference: Kulkarni et al. 2015, "Deep convolutional inverse graphics network", sections 3.1-3.2.
    """

    cost: ClassVar[float] = 1.0

    @dataclass(frozen=True)
    class Hyperparameters:
        invariance: float = hyperparameter(0.01, "weight of a clamped latent's difference from its mean")

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.latents = len(self.factor_sizes) or self.latents

    def batches(self) -> Batches:
        return Groups()

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        latents = self.infer(networks, batch, noise)
        active = torch.arange(self.latents, device=batch.device) == noise["factor"]
        clamp = latents.sample.mean(0).detach()
        reconstruction = self.reconstruction_loss(
            networks["decoder"](torch.where(active, latents.sample, clamp)), batch
        )
        # The gradient of half the squared difference is the difference.
        differences = torch.where(active, 0, latents.sample - clamp)
        invariance = differences.square().sum(1).mean() / 2
        return {
            "loss": reconstruction + latents.kl + hyperparameters.invariance * invariance,
            "reconstruction": reconstruction,
            "kl": latents.kl,
            "kl_per_latent": latents.kl_per_latent,
            "invariance": invariance,
        }
