"""The untrained VAE: what a random convolution sees."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from methods import register
from methods.base import Player
from methods.vae import VAE


@register("vae_untrained")
class UntrainedVAE(VAE):
    """A VAE with its initial weights: the score of the architecture alone.

    Reference: Higgins et al. 2017, section 4.2, table 1 ("VAE untrained").
    """

    def players(self) -> dict[str, Player]:
        return {}

    def fit(self, networks: Mapping[str, nn.Module], images: Tensor, seed: int) -> None:
        """Learns nothing."""

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        return {}
