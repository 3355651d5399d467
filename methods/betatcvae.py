"""beta-TCVAE."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Terms, choice, hyperparameter
from methods.vae import VAE, Latents, log_normal


@register("betatcvae")
class BetaTCVAE(VAE):
    """beta-TCVAE: weighs the three parts of the KL, and presses on the total correlation alone.

    Minimises reconstruction + alpha * I(x; z) + beta * TC + gamma * sum_j KL(q(z_j) || p(z_j)). The parts
    sum to the KL, so that it is written as KL + (alpha - 1) * I + (beta - 1) * TC + (gamma - 1) * sum_j KL_j
    with the KL in closed form. q(z) and q(z_j) are estimated from the batch: by `stratified` sampling,
    which is off by some nats, or by `weighted` sampling, which is the paper's and off by a hundred
    (for ten independent latents of 737,280 images in batches of 64). Their gradients differ too: there stratified
    sampling's are some 2.4 times as large, and at broad posteriors of the other sign by the posterior's variance, so
    that a beta is not the same pressure under both. The study's is `weighted` but for a constant.

    Reference: Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 4, appendix C.
    """

    cost: ClassVar[float] = 1.1

    @dataclass(frozen=True)
    class Hyperparameters:
        beta: float = hyperparameter(6.0, "weight of the total correlation", grid=(1, 2, 4, 6, 8, 10))
        alpha: float = hyperparameter(1.0, "weight of the information between images and codes")
        gamma: float = hyperparameter(1.0, "weight of each latent's KL from the prior")
        sampling: str = choice("stratified", "estimate of q(z) from a batch", ("stratified", "weighted"))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Terms:
        log_weights = self.log_weights(len(latents.sample), latents.sample.device).to(latents.sample.dtype)
        # (sample, image, latent): log q(z_j | x) of each sample's latents under each image's posterior
        each = log_normal(latents.sample[:, None], latents.mean, latents.log_variance)
        log_joint = (log_weights + each.sum(2)).logsumexp(1)
        log_marginals = (log_weights[:, :, None] + each).logsumexp(1).sum(1)
        own = log_normal(latents.sample, latents.mean, latents.log_variance).sum(1)
        zeros = torch.zeros_like(latents.sample)
        prior = log_normal(latents.sample, zeros, zeros).sum(1)
        information = (own - log_joint).mean()
        total_correlation = (log_joint - log_marginals).mean()
        dimensionwise = (log_marginals - prior).mean()
        regulariser = (
            latents.kl
            + (hyperparameters.alpha - 1) * information
            + (hyperparameters.beta - 1) * total_correlation
            + (hyperparameters.gamma - 1) * dimensionwise
        )
        return {"loss": regulariser, "total_correlation": total_correlation}

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """Nothing: here beta does not weigh the KL."""
        return {}

    def log_weights(self, batch: int, device: torch.device | None = None) -> Tensor:
        """Log weights (samples, images) with which a batch's posteriors stand for those of all images.

        `weighted`: 1 / (N B). `stratified`, with M = B - 1: a sample's own image 1 / N, one other
        (N - M) / (N M), each further one 1 / M, which sum to 1; all of them 1 / B where N is at most M.
        """
        images, others = self.images, batch - 1
        if self.structure["sampling"] == "weighted":
            return torch.full((batch, batch), -log(images * batch), device=device)
        if not 0 < others < images:
            return torch.full((batch, batch), -log(batch), device=device)
        at = torch.arange(batch, device=device)
        own, next_one = at == at[:, None], at == (at[:, None] + 1) % batch
        weights = torch.full((batch, batch), -log(others), device=device)
        return weights.masked_fill(own, -log(images)).masked_fill(next_one, log((images - others) / (images * others)))
