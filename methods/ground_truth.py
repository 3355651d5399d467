"""The true factors as codes."""

import torch
from torch import Tensor

from methods import register
from methods.base import Networks
from methods.pixels import Pixels


@register("ground_truth")
class GroundTruth(Pixels):
    """The factors themselves, each scaled to [0, 1]: the score of a perfect representation.

    Reference: Higgins et al. 2017, table 1 ("Ground truth").
    """

    def objection(self) -> str:
        return "" if self.factor_sizes else f"{self.name} takes factors for codes; the data have none."

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        raise NotImplementedError("an image alone does not tell its factors; see `represent`")

    def represent(self, networks: Networks, images: Tensor, factors: Tensor) -> Tensor:
        """The factors (B, K)."""
        greatest = torch.tensor(self.factor_sizes, device=factors.device) - 1
        return factors / greatest.clamp(min=1)
