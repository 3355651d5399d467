"""JointVAE: a categorical latent beside the continuous ones."""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Method, Networks, Noise, Player, Terms, hyperparameter
from methods.factorqvae import gumbel_softmax, kl_to_uniform
from methods.networks import ARCHITECTURES
from methods.vae import bounded, sampled

TEMPERATURE = 0.67  # of the category's relaxation
RISING = 1 / 3  # of the training: the study's schedule of a capacity


@register("jointvae")
class JointVAE(Method):
    """JointVAE: minimises reconstruction + gamma * |KL(z) - C_z| + gamma * |KL(c) - C_c|, c a category.

    The continuous latents' KL is that to the standard normal, the category's that to the uniform, and each has a
    capacity that grows linearly over the first third of the training; the category's ends at the logarithm of how
    many values it has, which no KL passes: beyond it the distance would never vanish. The category is drawn as a
    relaxed one, by a Gumbel-softmax. Codes are the continuous latents' means, then the categories' probabilities.

    Reference: Dupont 2018, "Learning disentangled joint continuous and discrete representations", eq. 7 and appendix B,
    with its values for dSprites.
    """

    cost: ClassVar[float] = 1.1

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(150.0, "weight of the distances of the KLs from their capacities")
        c_max: float = hyperparameter(40.0, "continuous KL that is allowed in the end, in nats", grid=(5, 10, 25, 40))
        continuous: int = hyperparameter(6, "continuous latents", low=1, structural=True)
        categories: int = hyperparameter(3, "values of the categorical latent", low=2, structural=True)

    def build(self) -> dict[str, nn.Module]:
        architecture = ARCHITECTURES[self.architecture]
        continuous, categories = self.structure["continuous"], self.structure["categories"]
        return {
            "encoder": architecture.encoder(self.image_shape, 2 * continuous + categories),
            "decoder": architecture.decoder(continuous + categories, self.image_shape),
        }

    def players(self) -> dict[str, Player]:
        return {"model": Player(("encoder", "decoder"), self.loss)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"posterior": (batch, self.structure["continuous"]), "category": (batch, self.structure["categories"])}

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        terms = self.terms(networks, batch, noise)
        risen = (step / (RISING * self.steps)).clamp(max=1)
        most = log(self.structure["categories"])
        beyond = (terms["continuous_kl"] - hyperparameters.c_max * risen).abs()
        beyond = beyond + (terms["category_kl"] - most * risen).abs()
        return {"loss": terms["reconstruction"] + hyperparameters.gamma * beyond} | terms

    def terms(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        """Reconstruction and KLs, in nats an image."""
        mean, log_variance, logits = self.parts(networks, images)
        latents = sampled(mean, log_variance, noise["posterior"][: len(images)])
        category = gumbel_softmax(logits, noise["category"][: len(images)], TEMPERATURE)
        decoded = networks["decoder"](torch.cat([latents.sample, category], 1))
        of_category = kl_to_uniform(logits[:, None])  # (1,)
        return {
            "reconstruction": self.reconstruction_loss(decoded, images),
            "kl": latents.kl + of_category.sum(),
            "continuous_kl": latents.kl,
            "category_kl": of_category.sum(),
            "kl_per_latent": torch.cat([latents.kl_per_latent, of_category]),
        }

    def parts(self, networks: Networks, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means and log variances (B, continuous), the latter within the architecture's bounds, and logits."""
        told, n = networks["encoder"](images), self.structure["continuous"]
        mean, log_variance, logits = told[:, :n], told[:, n : 2 * n], told[:, 2 * n :]
        bounds = ARCHITECTURES[self.architecture].log_variances
        return mean, bounded(log_variance, *bounds) if bounds else log_variance, logits

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The means, then the categories' probabilities: (B, continuous + categories)."""
        mean, _, logits = self.parts(networks, images)
        return torch.cat([mean, logits.softmax(1)], 1)

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The means of p(x|z, c): (B, C, H, W)."""
        return torch.sigmoid(networks["decoder"](codes))

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        return self.terms(networks, images, noise)
