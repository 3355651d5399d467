"""The variational autoencoder, and what every method built on it shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log, pi, prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Method, Networks, Noise, Player, Terms
from methods.likelihoods import bernoulli_loss as bernoulli_loss
from methods.networks import ARCHITECTURES


@dataclass(frozen=True)
class Latents:
    """A batch's posteriors q(z|x) = N(mean, diag exp(log_variance)) and a sample of each, all (B, D)."""

    mean: Tensor
    log_variance: Tensor
    sample: Tensor

    @cached_property
    def kl_per_latent(self) -> Tensor:
        """KL(q(z_j|x) || N(0, 1)) of each latent in nats, averaged over the batch: (D,)."""
        kl = 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)
        return kl.mean(0)

    @property
    def kl(self) -> Tensor:
        """KL(q(z|x) || N(0, I)) in nats, averaged over the batch: scalar."""
        return self.kl_per_latent.sum()


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Latents:
    """The posteriors of those means and log variances, sampled with the standard normal noise, all (B, D)."""
    return Latents(mean, log_variance, mean + noise * torch.exp(log_variance / 2))


def bounded(values: Tensor, least: float, greatest: float) -> Tensor:
    """The values cut to [least, greatest], with gradients as if nothing were cut, which lead back from beyond.

    Values within the bounds, and their gradients, are what they were to the bit.
    """
    return values + (values.clamp(least, greatest) - values).detach()


def log_normal(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density in nats of N(mean, exp(log_variance)) at the values, one by one."""
    return -0.5 * ((values - mean) ** 2 * (-log_variance).exp() + log_variance + log(2 * pi))


@register("vae")
class VAE(Method):
    """Variational autoencoder: minimises reconstruction + KL, both in nats an image.

    A method built on it overrides `regulariser`, the term beside the reconstruction.

    Reference: Kingma and Welling 2014, "Auto-encoding variational Bayes", eq. 10.
    """

    cost: ClassVar[float] = 1.0

    def build(self) -> dict[str, nn.Module]:
        architecture = ARCHITECTURES[self.architecture]
        return {
            "encoder": architecture.encoder(self.image_shape, 2 * self.latents),
            "decoder": architecture.decoder(self.latents, self.image_shape),
        }

    def players(self) -> dict[str, Player]:
        return {"model": Player(("encoder", "decoder"), self.loss)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"posterior": (batch, self.latents)}

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        """The negative evidence lower bound with this method's regulariser, in nats an image."""
        latents = self.infer(networks, batch, noise)
        terms = {
            "reconstruction": self.reconstruction_loss(networks["decoder"](latents.sample), batch),
            "kl": latents.kl,
            "kl_per_latent": latents.kl_per_latent,
        }
        regulariser = self.regulariser(networks, latents, hyperparameters, step)
        if isinstance(regulariser, Tensor):
            regulariser = {"loss": regulariser}
        return {"loss": terms["reconstruction"] + regulariser.pop("loss")} | terms | regulariser

    def infer(self, networks: Networks, batch: Tensor, noise: Noise) -> Latents:
        """The posteriors of the batch's images, sampled."""
        return sampled(*self.posteriors(networks, batch), noise["posterior"])

    def posteriors(self, networks: Networks, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances (B, D) of q(z|x), the latter within the architecture's bounds."""
        mean, log_variance = networks["encoder"](images).chunk(2, dim=1)
        bounds = ARCHITECTURES[self.architecture].log_variances
        return mean, bounded(log_variance, *bounds) if bounds else log_variance

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor | Terms:
        """What is added to the reconstruction, in nats an image: scalar, or terms of which it is the "loss"."""
        return latents.kl

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The posterior means (B, D)."""
        return networks["encoder"](images).chunk(2, dim=1)[0]

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The means of p(x|z): (B, C, H, W)."""
        return torch.sigmoid(networks["decoder"](codes))

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        """Reconstruction and KL in nats an image, whatever it is that the method minimises."""
        latents = sampled(*self.posteriors(networks, images), noise["posterior"][: len(images)])
        reconstruction = self.reconstruction_loss(networks["decoder"](latents.sample), images)
        return {"reconstruction": reconstruction, "kl": latents.kl, "kl_per_latent": latents.kl_per_latent}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """beta and its normalised value, where the KL has a constant weight."""
        plain = type(self).regulariser is VAE.regulariser
        beta = 1.0 if plain else getattr(hyperparameters, "beta", None)
        return {} if beta is None else self.report_beta(beta)

    def report_beta(self, beta: float) -> dict[str, float]:
        """beta and beta * latents / pixels (Higgins et al. 2017, section 4.2)."""
        return {"beta": beta, "normalised_beta": beta * self.latents / prod(self.image_shape)}
