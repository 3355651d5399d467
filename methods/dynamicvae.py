"""DynamicVAE: a controller that moves beta step by step, down from a large one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import hyperparameter
from methods.controlvae import FIRST_POINT, Controlled

MEMORY = 0.8  # of the moving average of the KL: that of some five steps
MOST = 1e4  # of beta


@register("dynamicvae")
class DynamicVAE(Controlled):
    """DynamicVAE: minimises reconstruction + beta * KL, where a PI controller moves beta, at first a large one.

    With the error e = set point - KL, where the KL is a moving average, beta moves each step by
    proportional * (s(-e) - s(-previous e)) - integral * e, s the logistic function, and never below 0. It is beta
    itself that is remembered, within its bounds, so that nothing winds up. The set point rises from 0.5 nats to the
    target over half the training. In the end beta may be less than 1: latents that have parted need no more pressure.

    Reference: Shao et al. 2020, "DynamicVAE: Decoupling reconstruction error and disentangled representation
    learning", section 3; the average is exponential here, and the set point rises in a line alone.
    """

    cost: ClassVar[float] = 1.1

    memories = 3  # beta less its start, the averaged KL less the first set point, and s(-e) less 1/2

    @dataclass(frozen=True)
    class Hyperparameters:
        target: float = hyperparameter(20.0, "KL to hold in the end, in nats", low=0.5, grid=(10, 14, 18, 20, 26))
        proportional: float = hyperparameter(0.01, "weight of the error's changes")
        integral: float = hyperparameter(0.005, "weight of the error")
        start: float = hyperparameter(150.0, "beta of the first step", grid=(50, 100, 150))

    def beta(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.start + self.following(known, kl, hyperparameters, step)[0]

    def following(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        moved, average, before = known
        average = MEMORY * average + (1 - MEMORY) * (kl - FIRST_POINT)
        error = self.set_point(hyperparameters, step) - FIRST_POINT - average
        at_once = torch.sigmoid(-error) - 0.5
        change = hyperparameters.proportional * (at_once - before) - hyperparameters.integral * error
        beta = (hyperparameters.start + moved + change).clamp(0, MOST)
        return torch.stack([beta - hyperparameters.start, average, at_once])

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """The beta that it ends at."""
        return self.report_beta(hyperparameters.start + networks["controller"](torch.zeros(()))[0].item())
