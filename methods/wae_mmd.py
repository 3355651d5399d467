"""WAE-MMD and InfoVAE: all codes together are to be distributed as the prior, by their maximum mean discrepancy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Terms, choice, hyperparameter
from methods.vae import VAE

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the inverse multiquadratics


@register("wae_mmd")
class WAEMMD(VAE):
    """WAE-MMD: minimises reconstruction + weight * MMD(q(z), p(z)); with a weight on the KL it is InfoVAE.

    The maximum mean discrepancy compares the batch's samples with as many draws of the prior by a kernel, without bias,
    so that it may be below 0 by chance: a sum of inverse multiquadratics C / (C + |x - y|^2), C = 2 D s for seven s
    from 0.1 to 10, or the Gaussian exp(-|x - y|^2 / D). InfoVAE with alpha and lambda is kl = 1 - alpha and
    weight = alpha + lambda - 1 here.

    Reference: Tolstikhin et al. 2018, "Wasserstein auto-encoders", algorithm 2 and section 4, with posteriors that are
    drawn from; Zhao et al. 2019, "InfoVAE: Balancing learning and inference in variational autoencoders", eq. 6.
    """

    cost: ClassVar[float] = 1.2

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(10.0, "weight of the discrepancy", grid=(1, 10, 100, 1000))
        kl: float = hyperparameter(0.0, "weight of the KL, InfoVAE's 1 - alpha", grid=(0, 0.5, 1))
        kernel: str = choice("imq", "by which codes are compared", ("imq", "gaussian"))

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("posterior", "prior"), (batch, self.latents))

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        latents = self.infer(networks, batch, noise)
        reconstruction = self.reconstruction_loss(networks["decoder"](latents.sample), batch)
        discrepancy = mmd(latents.sample, noise["prior"], self.structure["kernel"])
        return {
            "loss": reconstruction + hyperparameters.kl * latents.kl + hyperparameters.weight * discrepancy,
            "reconstruction": reconstruction,
            "kl": latents.kl,
            "kl_per_latent": latents.kl_per_latent,
            "mmd": discrepancy,
        }

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        return self.report_beta(hyperparameters.kl)


def mmd(codes: Tensor, prior: Tensor, kernel: str = "imq") -> Tensor:
    """The squared maximum mean discrepancy of codes and draws of the prior, both (B, D), estimated without bias."""
    batch, latents = codes.shape
    both = torch.cat([codes, prior])
    apart = (both[:, None] - both).square().sum(2)  # (2B, 2B)
    if kernel == "gaussian":
        alike = torch.exp(-apart / latents)
    else:
        alike = sum((c / (c + apart) for c in (2 * latents * scale for scale in SCALES)), torch.zeros_like(apart))
    own, across, others = alike[:batch, :batch], alike[:batch, batch:], alike[batch:, batch:]
    pairs = batch * (batch - 1)
    # A code is compared with every other, not with itself, of which it is as like as can be.
    itself = own.diagonal().sum() + others.diagonal().sum()
    return (own.sum() + others.sum() - itself) / pairs - 2 * across.mean()
