"""PCL: permutation contrastive learning."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Batches, Method, Networks, Noise, Player, Terms
from methods.judges import telling_apart
from methods.networks import ARCHITECTURES
from methods.slowvae import TRANSITIONS, transitions


class TellsTime(nn.Module):
    """Codes of what is seen first and next, side by side (B, 2 D) -> logits (B, 1) of following one another in time."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.after = nn.Parameter(torch.ones(latents))
        self.before = nn.Parameter(-torch.ones(latents))
        self.apart = nn.Parameter(torch.zeros(latents))
        self.scale = nn.Parameter(torch.ones(latents))
        self.shift = nn.Parameter(torch.zeros(latents))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, codes: Tensor) -> Tensor:
        first, second = codes.chunk(2, 1)
        step = (self.after * second + self.before * first + self.apart).abs()
        return ((self.scale * second + self.shift).square() - step).sum(1, keepdim=True) + self.bias


@register("pcl")
class PCL(Method):
    """Permutation contrastive learning: codes from which one tells images that follow in time from images that do not.

    A logistic regression tells pairs of images in time from pairs whose first image is another pair's. What it looks
    at is a sum over latents of (s h(x') + t)^2 - |a h(x') + b h(x) + c|: the logarithm of how much likelier a step of
    Laplace size is than a code by itself. Its features h are the codes: with as many factors as latents, and factors
    that move in time one by one, they are the factors but for order and a function of each. There is no decoder.

    Reference: Hyvarinen and Morioka 2017, "Nonlinear ICA of temporally dependent stationary sources", section 3 and,
    for the function, its simulations; on pairs of images as in Klindt et al. 2021.
    """

    version: ClassVar[int] = 2  # 2: what has no order stands still in time
    cost: ClassVar[float] = 0.7

    @dataclass(frozen=True)
    class Hyperparameters:
        transitions: str = transitions()

    def build(self) -> dict[str, nn.Module]:
        encoder = ARCHITECTURES[self.architecture].encoder(self.image_shape, self.latents)
        return {"encoder": encoder, "regression": TellsTime(self.latents)}

    def players(self) -> dict[str, Player]:
        return {"model": Player(("encoder", "regression"), self.loss)}

    def batches(self) -> Batches:
        return TRANSITIONS[self.structure["transitions"]]

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        """Cross-entropy in nats, half for each kind of pair; log 2 where nothing is told."""
        first, second = networks["encoder"](batch).chunk(2)
        others = first.roll(1, 0)  # another pair's each
        pairs = torch.cat([torch.cat([first, second], 1), torch.cat([others, second], 1)])
        return {"loss": telling_apart(*networks["regression"](pairs).chunk(2))}

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The features (B, D)."""
        return networks["encoder"](images)
