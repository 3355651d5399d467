"""FactorVAE."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Batches, Independent, Networks, Noise, Player, Terms, hyperparameter
from methods.judges import ADAM, permuted, telling_apart
from methods.networks import discriminator
from methods.vae import VAE, Latents


@register("factorvae")
class FactorVAE(VAE):
    """FactorVAE: minimises reconstruction + KL + gamma * total correlation, told by a discriminator.

    The discriminator tells samples of q(z) from samples of the product of its marginals, which
    are those of a second batch with each latent permuted across it. Its logit estimates
    log q(z) / prod_j q(z_j), whose mean is the total correlation.

    Reference: Kim and Mnih 2018, "Disentangling by factorising", eqs. 2-3 and algorithm 2.
    """

    cost: ClassVar[float] = 6.0

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(35.0, "weight of the total correlation", grid=(10, 20, 30, 40, 50, 100))

    def build(self) -> dict[str, nn.Module]:
        return super().build() | {"discriminator": discriminator(self.latents)}

    def players(self) -> dict[str, Player]:
        return super().players() | {
            "discriminator": Player(("discriminator",), self.discriminator_loss, ADAM),
        }

    def batches(self) -> Batches:
        return Independent(2)

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("posterior", "second_posterior", "permutation"), (batch, self.latents))

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        return super().loss(networks, batch.chunk(2)[0], noise, hyperparameters, step)

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return latents.kl + hyperparameters.gamma * networks["discriminator"](latents.sample).mean()

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The discriminator's cross-entropy in nats, half for each kind of sample; no gradient leaves it."""
        mean, log_variance = (part.detach() for part in self.posteriors(networks, batch))
        draws = torch.cat([noise["posterior"], noise["second_posterior"]])
        joint, second = (mean + draws * torch.exp(log_variance / 2)).chunk(2)
        shown = torch.cat([joint, permuted(second, noise["permutation"])])
        return {"loss": telling_apart(*networks["discriminator"](shown).chunk(2))}
