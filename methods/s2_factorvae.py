"""FactorVAE with few labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods import register
from methods.base import Networks, Noise, Terms
from methods.factorvae import FactorVAE
from methods.few_labels import FewLabels, number_of_labels, parted, weight_of_labels


@register("s2_factorvae")
class S2FactorVAE(FewLabels, FactorVAE):
    """S2-FactorVAE: FactorVAE that is told the factors of some images (see `methods.few_labels`).

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", eq. 2.
    """

    cost: ClassVar[float] = 6.3

    @dataclass(frozen=True)
    class Hyperparameters(FactorVAE.Hyperparameters):
        gamma_sup: float = weight_of_labels()
        labels: int = number_of_labels()

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        return super().discriminator_loss(networks, parted(batch, noise)[0], noise, hyperparameters, step)
