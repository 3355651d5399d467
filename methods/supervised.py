"""An encoder that is told the factors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Player, Terms
from methods.few_labels import FewLabels, number_of_labels, parted


@register("supervised")
class Supervised(FewLabels):
    """What labels alone give: an encoder whose first latents are to tell the factors' values, one each.

    Its loss is the labels' cross-entropy (see `methods.few_labels`) and nothing else. A decoder, for the pictures,
    learns to reconstruct images from the codes and leaves the encoder as it is. With all images labelled it is the
    ceiling that encoders of this kind have, with few of them what few labels buy without the other images. Latents
    beyond the factors are trained by nothing, and scored as all others are, as in the study's code.

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", section 4.1 and its
    code's `supervised`.
    """

    cost: ClassVar[float] = 1.1

    @dataclass(frozen=True)
    class Hyperparameters:
        labels: int = number_of_labels(0)

    def players(self) -> dict[str, Player]:
        return {
            "model": Player(("encoder",), self.loss),
            "pictures": Player(("decoder",), self.reconstruct),
        }

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {}

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        _, labelled = parted(batch, noise)
        return {"loss": self.surprise_of_labels(self.encode(networks, labelled), noise["labels"])}

    def reconstruct(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        """The decoder's reconstruction of the images without labels from codes that it does not move."""
        images, _ = parted(batch, noise)
        return {"loss": self.measure(networks, images, noise)["reconstruction"]}

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        codes = self.encode(networks, images).detach()
        return {"reconstruction": self.reconstruction_loss(networks["decoder"](codes), images)}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """Nothing: no KL is weighed."""
        return {}
