"""Raw pixels as codes."""

from collections.abc import Mapping

from torch import Tensor, nn

from methods import register
from methods.base import Method, Networks


@register("pixels")
class Pixels(Method):
    """Every pixel is a code: what a measure gives for no representation at all.

    Reference: Higgins et al. 2017, table 1 ("Raw pixels").
    """

    def build(self) -> dict[str, nn.Module]:
        return {}

    def fit(self, networks: Mapping[str, nn.Module], images: Tensor, seed: int) -> None:
        """Learns nothing."""

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The pixels (B, C * H * W)."""
        return images.flatten(1)
