"""ML-VAE told which factors changed."""

from typing import ClassVar

from methods import register
from methods.adamlvae import AdaMLVAE
from methods.groupvae import GroupVAE


@register("mlvae")
class MLVAE(GroupVAE, AdaMLVAE):
    """ML-VAE: as GroupVAE, with shared latents' posteriors averaged as a product of experts.

    Reference: Bouchacourt et al. 2018, "Multi-level variational autoencoder: Learning disentangled representations from
    grouped observations", eq. 7; told factor by factor as in Locatello et al. 2020, section 4.
    """

    cost: ClassVar[float] = 1.7
