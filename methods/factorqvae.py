"""FactorQVAE: one codebook of numbers for all latents, and FactorVAE's discriminator."""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods import register
from methods.base import Batches, Independent, Networks, Noise, Player, Terms, hyperparameter
from methods.judges import ADAM, permuted, telling_apart
from methods.networks import ARCHITECTURES, discriminator
from methods.qlae import TwoLatentsAFactor

TEMPERATURE = 1.0  # of the weights that are drawn


class GlobalCodebook(nn.Module):
    """The numbers that all latents choose from, of N(0, 1) at first: weights (..., V) -> their mean (...)."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(values))

    def forward(self, weights: Tensor) -> Tensor:
        return (weights * self.values).sum(-1)


@register("factorqvae")
class FactorQVAE(TwoLatentsAFactor):
    """FactorQVAE: each latent chooses one of a codebook's numbers, and the choices are to be independent.

    The encoder gives each latent a number, and its choice among the numbers of the one codebook has the logits
    -(number - theirs)^2. In training a latent takes the mean of the codebook by weights that are drawn, a softmax of
    the logits and Gumbel noise. Minimises reconstruction + beta * KL(choices || uniform) + gamma * total correlation,
    in nats an image, where the total correlation is told by a discriminator that sees the drawn weights of all
    latents, or those of a second batch with each latent permuted across it. There are twice as many latents as factors.
    Scored is the number of the codebook that is nearest. Beside small networks the discriminator, six layers of 1,000
    that see all weights, is most of a step.

    With probabilities in the encoder's place (free logits, of which the codebook has no part) it would be FactordVAE.

    Reference: Baykal et al. 2024, "Disentanglement with factor quantized variational autoencoders", section 3; the
    noise is that of Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax", eqs. 1-2. The paper's
    weights for Shapes3D, 0.001 of a mean over latents and 0.0001 beside a mean over pixels and channels, are
    1.0 and 1.2 of the sums here beside squared errors, as with the likelihood gaussian:0.5; Bernoulli's nats are some
    times those, and the penalties so much weaker beside them. The first numbers are drawn as its code draws them; its
    temperature falls by a hundred-thousandth a step, here it stays at 1.
    """

    # 2: choices by distance in place of free logits, at one temperature; 3: numbers that start as wide as the paper's
    version: ClassVar[int] = 3
    cost: ClassVar[float] = 6.9

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(1.0, "weight of the total correlation", grid=(0.1, 1, 10))
        beta: float = hyperparameter(1.0, "weight of the choices' KL to the uniform", grid=(0.1, 1, 4))
        values: int = hyperparameter(64, "numbers in the codebook", low=2, structural=True)

    def build(self) -> dict[str, nn.Module]:
        architecture, values = ARCHITECTURES[self.architecture], self.structure["values"]
        return {
            "encoder": architecture.encoder(self.image_shape, self.latents),
            "decoder": architecture.decoder(self.latents, self.image_shape),
            "codebook": GlobalCodebook(values),
            "discriminator": discriminator(self.latents * values),
        }

    def players(self) -> dict[str, Player]:
        return {
            "model": Player(("encoder", "decoder", "codebook"), self.loss),
            "discriminator": Player(("discriminator",), self.discriminator_loss, ADAM),
        }

    def batches(self) -> Batches:
        return Independent(2)

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        choices = (batch, self.latents, self.structure["values"])
        return {"choice": choices, "second_choice": choices, "permutation": choices[:2]}

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        images = batch.chunk(2)[0]
        logits = self.logits(networks, images)
        chosen = gumbel_softmax(logits, noise["choice"], TEMPERATURE)
        reconstruction = self.reconstruction_loss(networks["decoder"](networks["codebook"](chosen)), images)
        kl_per_latent = kl_to_uniform(logits)
        correlation = networks["discriminator"](chosen.flatten(1)).mean()
        penalty = hyperparameters.beta * kl_per_latent.sum() + hyperparameters.gamma * correlation
        return {
            "loss": reconstruction + penalty,
            "reconstruction": reconstruction,
            "kl": kl_per_latent.sum(),
            "kl_per_latent": kl_per_latent,
        }

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The discriminator's cross-entropy in nats, half for each kind of choices; no gradient leaves it."""
        logits = self.logits(networks, batch).detach()
        draws = torch.cat([noise["choice"], noise["second_choice"]])
        joint, second = gumbel_softmax(logits, draws, TEMPERATURE).chunk(2)
        shown = torch.cat([joint, permuted(second, noise["permutation"])]).flatten(1)
        return {"loss": telling_apart(*networks["discriminator"](shown).chunk(2))}

    def logits(self, networks: Networks, images: Tensor) -> Tensor:
        """Of each latent's choice among the numbers: (B, D, V)."""
        numbers = networks["encoder"](images)
        codebook = networks["codebook"](torch.eye(self.structure["values"], dtype=numbers.dtype, device=numbers.device))
        return -(numbers[:, :, None] - codebook).square()

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The codebook's number (B, D) that is nearest to each latent's."""
        logits = self.logits(networks, images)
        return networks["codebook"](one_hot(logits.argmax(2), self.structure["values"]).to(logits.dtype))

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The means of p(x|z): (B, C, H, W)."""
        return torch.sigmoid(networks["decoder"](codes))

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        """Reconstruction from the nearest numbers, and the choices' KL, in nats an image."""
        kl_per_latent = kl_to_uniform(self.logits(networks, images))
        logits = networks["decoder"](self.encode(networks, images))
        reconstruction = self.reconstruction_loss(logits, images)
        return {"reconstruction": reconstruction, "kl": kl_per_latent.sum(), "kl_per_latent": kl_per_latent}


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: Tensor | float) -> Tensor:
    """Weights of the choices (..., V), drawn by means of standard normal noise of their shape."""
    return ((logits + gumbel(noise)) / temperature).softmax(-1)


def gumbel(noise: Tensor) -> Tensor:
    """Standard Gumbel draws of standard normal ones: -log(-log u) of u = Phi(noise), exact where u is nearly 0 or 1."""
    beyond = torch.erfc(noise.abs() / 2**0.5) / 2
    return -torch.log(torch.where(noise > 0, -torch.log1p(-beyond), -beyond.log()))


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(choices || uniform) of each latent in nats, averaged over the batch, from logits (B, D, V): (D,)."""
    chances = logits.log_softmax(-1)
    return (chances.exp() * chances).sum(-1).mean(0) + log(logits.shape[-1])
