"""InfoGAN-CR: InfoGAN whose images also tell which code two of them share."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from methods import register
from methods.base import Networks, Noise, Optimiser, Player, Terms, hyperparameter
from methods.infogan import InfoGAN
from methods.networks import ARCHITECTURES

WIDEST = 1.9  # gap of the first step, of codes from -1 to 1
CLOSING = 0.5  # of the training, in which the gap closes


@register("infogan_cr")
class InfoGANCR(InfoGAN):
    """InfoGAN-CR: InfoGAN with a contrastive regulariser, a classifier of the code that two images share.

    Two images are made of the same noise and of codes of which one continuous code, drawn for each pair, is the same
    and every other differs by at least a gap, which closes over half the training: pairs are easy to tell at first. The
    category, of which the paper's models have none, is drawn anew. The classifier, a network of its own that sees both
    images as channels of one, learns which code it is, and the generator to make it easy.

    Reference: Lin et al. 2020, "InfoGAN-CR and ModelCentrality: Self-supervised model training and selection for
    disentangling GANs", eqs. 3-4 and section 3.2; the contrast's weight is its code's for dSprites, which
    weighs likelihoods by 0.05: with that, in some thousand steps, no code is told. The gap closes in a line, over a
    time that is ours. Its code's configuration for dSprites has no gap, contrasts in the last ninth of the training,
    moves the critics at ten times the rate here and takes 5 numbers of noise where InfoGAN's 62 are here.
    """

    version: ClassVar[int] = 2  # 2: a pair's noise is one, and its categories are two
    cost: ClassVar[float] = 5.6

    @dataclass(frozen=True)
    class Hyperparameters(InfoGAN.Hyperparameters):
        information: float = hyperparameter(1.0, "weight of the continuous codes' likelihood", grid=(0.05, 0.1, 1, 10))
        contrast: float = hyperparameter(2.0, "weight of telling the shared code", grid=(0.5, 1, 2, 4))
        continuous: int = hyperparameter(5, "continuous codes", low=2, structural=True)

    def build(self) -> dict[str, nn.Module]:
        channels, height, width = self.image_shape
        pair = ARCHITECTURES[self.architecture].encoder((2 * channels, height, width), self.structure["continuous"])
        return super().build() | {"contrast": pair}

    def players(self) -> dict[str, Player]:
        optimiser = Optimiser("Adam", lr=2e-4, options={"betas": (0.5, 0.999)})
        return super().players() | {"contrast": Player(("contrast",), self.contrast_loss, optimiser)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        codes = (batch, self.structure["continuous"])
        pair = dict.fromkeys(("shared", "apart", "place", "side"), codes)
        return super().noise_shapes(batch) | pair | {"second_categories": (batch, self.structure["categories"])}

    def generator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """InfoGAN's, and how hard it is to tell the shared code, in nats a pair."""
        terms = super().generator_loss(networks, batch, noise, hyperparameters, step)
        images, shared = self.pairs(networks, noise, step)
        unlike = cross_entropy(networks["contrast"](images), shared)
        return terms | {"loss": terms["loss"] + hyperparameters.contrast * unlike, "contrast": unlike}

    def contrast_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The classifier's cross-entropy in nats a pair; no gradient leaves it."""
        images, shared = self.pairs(networks, noise, step)
        return {"loss": cross_entropy(networks["contrast"](images.detach()), shared)}

    def pairs(self, networks: Networks, noise: Noise, step: Tensor) -> tuple[Tensor, Tensor]:
        """Images of pairs, side by side as channels (B, 2C, H, W), and which code each pair shares (B,)."""
        shared = noise["shared"].argmax(1)
        of_code = torch.arange(self.structure["continuous"], device=shared.device) == shared[:, None]
        one, other = apart(noise["apart"], noise["place"], noise["side"], self.gap(step))
        _, category = self.codes(noise)
        first = self.generate(networks, one, category, noise["noise"])
        second = self.generate(
            networks, torch.where(of_code, one, other), noise["second_categories"].argmax(1), noise["noise"]
        )
        return torch.cat([first, second], 1), shared

    def gap(self, step: Tensor) -> Tensor:
        """The least difference of codes that are not shared, at that step."""
        return WIDEST * (1 - step / (CLOSING * self.steps)).clamp(min=0)


def apart(distance: Tensor, place: Tensor, side: Tensor, gap: Tensor | float) -> tuple[Tensor, Tensor]:
    """Two codes, uniform on [-1, 1] but that they are at least a gap apart, from three normal draws of their shape.

    A distance d of two such codes has a density in proportion to 2 - d; given d the lower one is uniform, and either
    may be it.
    """
    chance, where = (torch.special.ndtr(drawn) for drawn in (distance, place))
    between = 2 - (2 - gap) * (1 - chance).sqrt()
    lower = -1 + (2 - between) * where
    upper = lower + between
    return torch.where(side > 0, lower, upper), torch.where(side > 0, upper, lower)
