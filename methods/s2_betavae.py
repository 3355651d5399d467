"""beta-VAE with few labels."""

from dataclasses import dataclass
from typing import ClassVar

from methods import register
from methods.betavae import BetaVAE
from methods.few_labels import FewLabels, number_of_labels, weight_of_labels


@register("s2_betavae")
class S2BetaVAE(FewLabels, BetaVAE):
    """S2-beta-VAE: beta-VAE that is told the factors of some images (see `methods.few_labels`).

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", eq. 2.
    """

    cost: ClassVar[float] = 1.4

    @dataclass(frozen=True)
    class Hyperparameters(BetaVAE.Hyperparameters):
        gamma_sup: float = weight_of_labels()
        labels: int = number_of_labels()
