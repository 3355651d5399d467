"""ControlVAE: a controller sets beta so that the KL follows a set point."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Player, Terms, hyperparameter
from methods.memory import JUMP, Memory, jump
from methods.vae import VAE, Latents

RISING = 0.5  # of the training; the papers' 0.15 nats every 5,000 steps need most of half a million
FIRST_POINT = 0.5  # the set point of the first step, in nats


class Controlled(VAE):
    """A VAE whose KL is to follow a set point, which rises from 0.5 nats to its target over half the training.

    Its memory is a network, which a player sets anew after each step of the networks, by the KL of its batch.
    """

    memories = 1

    def build(self) -> dict[str, nn.Module]:
        return super().build() | {"controller": Memory(self.memories)}

    def players(self) -> dict[str, Player]:
        return super().players() | {"controller": Player(("controller",), self.controller_loss, JUMP)}

    def set_point(self, hyperparameters: Any, step: Tensor) -> Tensor:
        """The KL that is wanted at that step, in nats."""
        risen = (step / (RISING * self.steps)).clamp(max=1)
        return FIRST_POINT + (hyperparameters.target - FIRST_POINT) * risen

    def known(self, networks: Networks, like: Tensor) -> Tensor:
        """What the controller remembers: (memories,)."""
        return networks["controller"](like.new_zeros(self.memories))

    def regulariser(self, networks: Networks, latents: Latents, hyperparameters: Any, step: Tensor) -> Terms:
        known = self.known(networks, latents.kl).detach()
        beta = self.beta(known, latents.kl.detach(), hyperparameters, step)
        return {"loss": beta * latents.kl, "beta": beta}

    def controller_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """Its step sets the memory to what follows from this batch's KL; no gradient reaches the networks."""
        kl = self.infer(networks, batch, noise).kl.detach()
        known = self.known(networks, kl)
        return {"loss": jump(known, self.following(known, kl, hyperparameters, step))}

    def beta(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        """The KL's weight, from the memory and the batch's KL."""
        raise NotImplementedError

    def following(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        """The memory after a step of that KL."""
        raise NotImplementedError


@register("controlvae")
class ControlVAE(Controlled):
    """ControlVAE: minimises reconstruction + beta * KL, where a PI controller sets beta anew each step.

    With the error e = set point - KL, beta is 1 + P + I, from 1 to 100: P = proportional / (1 + exp(e)), and I is
    -integral times the sum of all errors, the present one included. So that I does not wind up while beta is at a
    bound, and beta comes back as soon as the error turns, I is held to the values at which beta is within its bounds.
    The set point rises from 0.5 nats to the target over half the training.

    Reference: Shao et al. 2020, "ControlVAE: Controllable variational autoencoder", eqs. 6-8 and algorithm 1, whose
    I stands still where beta is out of bounds; the bounds and the rise's length are ours.
    """

    version: ClassVar[int] = 2  # 2: the present error is in I
    cost: ClassVar[float] = 1.2

    LEAST, MOST = 1.0, 100.0  # of beta

    @dataclass(frozen=True)
    class Hyperparameters:
        target: float = hyperparameter(18.0, "KL to hold in the end, in nats", low=0.5, grid=(10, 14, 16, 18, 20))
        proportional: float = hyperparameter(0.01, "weight of the error at the time")
        integral: float = hyperparameter(0.001, "weight of all errors so far")

    def beta(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        error = self.set_point(hyperparameters, step) - kl
        at_once = hyperparameters.proportional * torch.sigmoid(-error)
        summed = self.following(known, kl, hyperparameters, step)[0]
        return (self.LEAST + at_once + summed).clamp(self.LEAST, self.MOST)

    def following(self, known: Tensor, kl: Tensor, hyperparameters: Any, step: Tensor) -> Tensor:
        moved = known - hyperparameters.integral * (self.set_point(hyperparameters, step) - kl)
        # At the lower bound the whole of P, and no more, is taken away.
        return torch.maximum(moved, known.new_zeros(1) - hyperparameters.proportional).clamp(max=self.MOST - self.LEAST)

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """The beta that it ends at, but for P, which differs from batch to batch."""
        summed = networks["controller"](torch.zeros(())).item()
        return self.report_beta(min(max(self.LEAST + summed, self.LEAST), self.MOST))
