"""A VAE whose latents stay silent unless they have something to say: one penalty, and it is a method."""

from dataclasses import dataclass

from methods import register
from methods.base import hyperparameter
from methods.vae import VAE


@register("sparsevae")
class SparseVAE(VAE):
    """Minimises reconstruction + KL + weight * sum |posterior means|. Reference: Ng 2011, "Sparse autoencoder"."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(1.0, "weight of the absolute values", grid=(0.1, 1, 10))

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl + hyperparameters.weight * latents.mean.abs().sum(1).mean()
