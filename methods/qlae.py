"""QLAE: the quantised-latent autoencoder."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Method, Networks, Noise, Optimiser, Player, Terms, hyperparameter
from methods.networks import ARCHITECTURES

ADAMW = Optimiser("AdamW", lr=1e-3, options={"weight_decay": 0.1})


class Codebook(nn.Module):
    """Each latent's own values, evenly from -1/2 to 1/2 at first."""

    def __init__(self, latents: int, values: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.linspace(-0.5, 0.5, values).repeat(latents, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """The nearest value of each latent of the codes (B, D)."""
        nearest = (codes[:, :, None] - self.values).abs().argmin(2)
        return self.values.expand(len(codes), -1, -1).gather(2, nearest[:, :, None])[:, :, 0]


class TwoLatentsAFactor(Method):
    """Twice as many latents as the data have factors, or as many as asked for where nothing is known of these."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.latents = 2 * len(self.factor_sizes) or self.latents


@register("qlae")
class QLAE(TwoLatentsAFactor):
    """Quantised-latent autoencoder: every latent takes one of a few values that are its own, and weights decay.

    The decoder sees the nearest values; the gradient passes through them to the encoder as if they were
    the encoder's outputs. Beside the reconstruction stand the squared distances of codes and values:
    `quantisation` moves the values to the codes, `commitment` the codes to the values. There are twice as
    many latents as factors. The authors' losses are means over pixels and over latents; with a reconstruction
    that is summed over pixels, the distances' mean is multiplied by the number of pixels. Theirs decay no biases; here
    the autoencoder's decay with its weights.

    Reference: Hsu et al. 2023, "Disentanglement via latent quantization", eqs. 2-5.
    """

    cost: ClassVar[float] = 1.2

    @dataclass(frozen=True)
    class Hyperparameters:
        commitment: float = hyperparameter(0.01, "weight that draws codes to values")
        quantisation: float = hyperparameter(
            0.01, "weight that draws values to codes: 0 or more, as Adam does not see its size"
        )
        values: int = hyperparameter(10, "values of each latent", low=2, structural=True)

    def build(self) -> dict[str, nn.Module]:
        architecture = ARCHITECTURES[self.architecture]
        return {
            "encoder": architecture.encoder(self.image_shape, self.latents),
            "decoder": architecture.decoder(self.latents, self.image_shape),
            "codebook": Codebook(self.latents, self.structure["values"]),
        }

    def players(self) -> dict[str, Player]:
        """The autoencoder, whose weights decay, and the codebook, whose values do not."""
        return {
            "model": Player(("encoder", "decoder"), self.loss, ADAMW),
            "codebook": Player(("codebook",), self.codebook_loss, Optimiser("Adam", lr=1e-3)),
        }

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        codes = networks["encoder"](batch)
        values = networks["codebook"](codes).detach()
        reconstruction = self.reconstruction_loss(networks["decoder"](codes + (values - codes).detach()), batch)
        distance = prod(self.image_shape) * (codes - values).square().mean()
        return {"loss": reconstruction + hyperparameters.commitment * distance, "reconstruction": reconstruction}

    def codebook_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """The values' distance from the codes, which it does not move."""
        codes = networks["encoder"](batch).detach()
        distance = prod(self.image_shape) * (networks["codebook"](codes) - codes).square().mean()
        return {"loss": hyperparameters.quantisation * distance}

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The values (B, D) that the latents take."""
        return networks["codebook"](networks["encoder"](images))

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The means of p(x|z): (B, C, H, W)."""
        return torch.sigmoid(networks["decoder"](codes))

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        return {"reconstruction": self.reconstruction_loss(networks["decoder"](self.encode(networks, images)), images)}
