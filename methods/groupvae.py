"""GroupVAE told which factors changed."""

from typing import ClassVar

import torch
from torch import Tensor

from methods import register
from methods.adagvae import AdaGVAE
from methods.base import Noise


@register("groupvae")
class GroupVAE(AdaGVAE):
    """GroupVAE: as Ada-GVAE, but told which factors a pair shares, factor by factor.

    The first latents stand for the factors, one each in their order: a pair's images share the latents of factors that
    were not drawn anew, and average their posteriors. Latents beyond the factors are always shared, as in the study's
    code: whatever differs between a pair's images has a latent that may tell it. That code tells one of the factors
    that were drawn anew, and shares the others' latents too; here all are told.

    Reference: Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", section 4 (there "group
    labels"); the average of posteriors is Hosoya 2019's, "Group-based learning of disentangled representations with
    generalizability for novel contents".
    """

    cost: ClassVar[float] = 1.7

    def objection(self) -> str:
        return super().objection() or one_latent_a_factor(self.name, self.latents, len(self.factor_sizes))

    def shared(self, means: tuple[Tensor, ...], log_variances: tuple[Tensor, ...], noise: Noise) -> Tensor:
        changed = noise["changed"]
        beyond = means[0].shape[1] - changed.shape[1]
        return torch.nn.functional.pad(~changed, (0, beyond), value=True)


def one_latent_a_factor(name: str, latents: int, factors: int) -> str:
    """Why a method that gives each factor a latent of its own cannot; empty where it can."""
    need = f"{name} gives each factor a latent of its own, and there are {latents} latents for {factors} factors."
    return need if latents < factors else ""
