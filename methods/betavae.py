"""beta-VAE."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods import register
from methods.base import Networks, choice, hyperparameter
from methods.vae import VAE, Latents

CYCLES = {"linear": 1, "cyclic": 4}  # in each of which beta rises from 0
RISING = 0.5  # of a cycle; then it is held


@register("betavae")
class BetaVAE(VAE):
    """beta-VAE: minimises reconstruction + beta * KL, in nats an image.

    beta is the Lagrange multiplier of the constraint KL < epsilon (eqs. 2-3): more pressure
    disentangles, and costs reconstruction. By its schedule it may rise from 0 over the first half of the training
    (`linear`), or over the first half of each fourth of it (`cyclic`).

    Reference: Higgins et al. 2017, "beta-VAE: Learning basic visual concepts with a constrained
    variational framework", eq. 4; the schedules are those of Fu et al. 2019, "Cyclical annealing schedule: A simple
    approach to mitigating KL vanishing", eqs. 6-7.
    """

    cost: ClassVar[float] = 1.0

    @dataclass(frozen=True)
    class Hyperparameters:
        beta: float = hyperparameter(4.0, "weight of the KL term", grid=(1, 2, 4, 6, 8, 16))
        schedule: str = choice("constant", "how beta rises", ("constant", *CYCLES), later=True)

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Tensor:
        return hyperparameters.beta * self.risen(step) * latents.kl

    def risen(self, step: Tensor) -> Tensor | float:
        """The share of beta that weighs at that step."""
        if self.structure["schedule"] == "constant":
            return 1.0
        cycle = (step * CYCLES[self.structure["schedule"]] / self.steps) % 1
        return (cycle / RISING).clamp(max=1)
