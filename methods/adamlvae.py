"""Ada-ML-VAE: weak supervision by pairs, with products of posteriors."""

from typing import ClassVar

import torch
from torch import Tensor

from methods import register
from methods.adagvae import AdaGVAE


@register("adamlvae")
class AdaMLVAE(AdaGVAE):
    """Ada-ML-VAE: as Ada-GVAE, with shared latents' posteriors averaged as a product of experts.

    Reference: Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", section 4;
    the average is that of the ML-VAE, Bouchacourt et al. 2018; the study's code has the same mean and twice the
    variance, so that a pair of latents that are not used has no KL there.
    """

    cost: ClassVar[float] = 1.7

    def average(self, means: tuple[Tensor, ...], log_variances: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of the product of the pair's posteriors: precisions add."""
        log_precision = torch.logaddexp(-log_variances[0], -log_variances[1])
        first, second = (
            mean * (-log_variance - log_precision).exp()
            for mean, log_variance in zip(means, log_variances, strict=True)
        )
        return first + second, -log_precision
