"""SlowVAE: factors that seldom move, and then a little."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Batches, Networks, Pairs, Terms, Transitions, choice, hyperparameter
from methods.vae import VAE, Latents

TRANSITIONS: dict[str, Batches] = {"laplace": Transitions(1.0), "uniform": Pairs()}


def transitions() -> Any:
    """The hyperparameter that says how the second image of a pair follows from the first."""
    meaning = "steps in time: `laplace`, small ones of all factors in order, or `uniform`, some factors drawn anew"
    return choice("laplace", meaning, tuple(TRANSITIONS))


@register("slowvae")
class SlowVAE(VAE):
    """SlowVAE: a VAE on pairs of images in time, whose latents are expected to move seldom.

    The prior of what is seen next is a Laplace distribution about what was seen first. Minimises, for a pair, the
    reconstruction of both images + beta * KL from the standard normal + gamma * KL from the Laplace prior about the
    other image's mean, in closed form; both are means over the two directions of time, in which the paper has one.
    Halved, as all losses here are of an image. The authors' code adds both directions' cross-entropies up and takes
    one entropy from them: about twice the pressure at the same gamma. Where its `uniform` pairs draw a factor anew, the
    old value is left out; here it may come again.

    Reference: Klindt et al. 2021, "Towards nonlinear disentanglement in natural data with temporal sparse coding",
    eq. 7 and appendix on the closed form; gamma = 10 and rate = 6 are the paper's, found by search.
    """

    version: ClassVar[int] = 2  # 2: what has no order stands still in time
    cost: ClassVar[float] = 1.7

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(10.0, "weight of the KL from the Laplace prior", grid=(1, 2, 5, 10, 16))
        rate: float = hyperparameter(6.0, "1 / scale of the Laplace prior", low=1e-3, grid=(1, 3, 6, 10))
        beta: float = hyperparameter(1.0, "weight of the KL from the standard normal")
        transitions: str = transitions()

    def batches(self) -> Batches:
        return TRANSITIONS[self.structure["transitions"]]

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"posterior": (2 * batch, self.latents)}

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Terms:
        first, second = latents.mean.chunk(2)
        other = torch.cat([second, first])
        slowness = kl_from_laplace(latents.mean - other, latents.log_variance, hyperparameters.rate).sum(1).mean()
        weighed = hyperparameters.beta * latents.kl + hyperparameters.gamma * slowness
        return {"loss": weighed / 2, "slowness": slowness}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        return self.report_beta(hyperparameters.beta / 2)


def kl_from_laplace(mean: Tensor, log_variance: Tensor, rate: Tensor | float) -> Tensor:
    """KL(N(mean, exp(log_variance)) || Laplace(0, 1 / rate)) in nats, one by one.

    E|z| is the mean of a folded normal distribution (Leone et al. 1961).
    """
    deviation = (log_variance / 2).exp()
    scaled = mean / deviation
    absolute = deviation * sqrt(2 / pi) * (-scaled.square() / 2).exp() + mean * torch.erf(scaled / sqrt(2))
    entropy = 0.5 * (log_variance + log(2 * pi) + 1)
    return rate * absolute - torch.log(torch.as_tensor(rate / 2)) - entropy
