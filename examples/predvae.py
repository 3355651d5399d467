"""Predictability minimisation: a second network, with a loss and an optimiser of its own.

The predictor guesses each latent from the others; the encoder learns to be unpredictable.
A player is a loss over some of the networks. The harness takes its gradients for these alone, so that the
first player's loss may pass through the predictor without moving it.
"""

from dataclasses import dataclass

import torch
from torch import nn

from methods import register
from methods.base import Optimiser, Player, hyperparameter
from methods.networks import perceptron
from methods.vae import VAE


@register("predvae")
class PredVAE(VAE):
    """Reconstruction + KL - weight * the predictor's error. Reference: Schmidhuber 1992, "Learning factorial codes"."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(1.0, "weight of the predictor's error", grid=(0.1, 1, 3))

    def build(self):
        return super().build() | {"predictor": perceptron([self.latents, 128, self.latents], nn.ReLU)}

    def players(self):
        return super().players() | {
            "predictor": Player(("predictor",), self.predictor_loss, Optimiser("Adam", lr=1e-3))
        }

    def error(self, networks, codes):
        others = codes[:, None] * (1 - torch.eye(self.latents, device=codes.device))  # (B, D, D): each without one
        told = networks["predictor"](others.flatten(0, 1)).view(others.shape).diagonal(dim1=1, dim2=2)
        return (told - codes).square().mean()

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl - hyperparameters.weight * self.error(networks, latents.sample)

    def predictor_loss(self, networks, batch, noise, hyperparameters, step):
        return {"loss": self.error(networks, self.infer(networks, batch, noise).sample.detach())}
