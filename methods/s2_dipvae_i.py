"""DIP-VAE-I with few labels."""

from dataclasses import dataclass
from typing import ClassVar

from methods import register
from methods.dipvae_i import DIPVAEI
from methods.few_labels import FewLabels, number_of_labels, weight_of_labels


@register("s2_dipvae_i")
class S2DIPVAEI(FewLabels, DIPVAEI):
    """S2-DIP-VAE-I: DIP-VAE-I that is told the factors of some images (see `methods.few_labels`).

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", eq. 2.
    """

    cost: ClassVar[float] = 1.4

    @dataclass(frozen=True)
    class Hyperparameters(DIPVAEI.Hyperparameters):
        gamma_sup: float = weight_of_labels()
        labels: int = number_of_labels()
