"""beta-TCVAE with few labels."""

from dataclasses import dataclass
from typing import ClassVar

from methods import register
from methods.betatcvae import BetaTCVAE
from methods.few_labels import FewLabels, number_of_labels, weight_of_labels


@register("s2_betatcvae")
class S2BetaTCVAE(FewLabels, BetaTCVAE):
    """S2-beta-TCVAE: beta-TCVAE that is told the factors of some images (see `methods.few_labels`).

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", eq. 2.
    """

    cost: ClassVar[float] = 1.5

    @dataclass(frozen=True)
    class Hyperparameters(BetaTCVAE.Hyperparameters):
        gamma_sup: float = weight_of_labels()
        labels: int = number_of_labels()
