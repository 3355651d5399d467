"""Tripod: a quantised autoencoder whose latents are independent and do not interfere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import register
from methods.base import Networks, Noise, Player, Terms, choice, hyperparameter
from methods.networks import ARCHITECTURES, Residual
from methods.qlae import TwoLatentsAFactor

OBSERVED = (nn.ReLU, nn.LeakyReLU, nn.Tanh, Residual)  # layers whose outputs are a decoder's activations
PERTURBATIONS = 2  # directions of each kind, as many as a variance needs
STEP = 0.1  # of the finite differences
FLOOR = 1e-8  # added to a mean of squares, above what rounding leaves where a layer is flat
STEEP = 2.0  # up to where the hyperbolic tangent has a slope that leads back


class Trunk(nn.Module):
    """A decoder up to its last activations: codes (B, D) -> the activations of all layers, side by side (B, A).

    Second differences of them are taken, of which half precision leaves little but rounding.
    """

    full_precision = True

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # what it would overwrite is looked at too

    def forward(self, codes: Tensor) -> Tensor:
        return torch.cat(self.layer_by_layer(codes), 1)

    def layer_by_layer(self, codes: Tensor) -> list[Tensor]:
        """The activations (B, A) of each layer."""
        values, seen = codes, []
        for layer in self.layers:
            values = layer(values)
            if isinstance(layer, OBSERVED):
                seen.append(values.flatten(1))
        return seen


class Head(nn.Module):
    """A decoder after its last activations, which are of that shape and stand last in (B, A): logits (B, C, H, W)."""

    def __init__(self, layers: Sequence[nn.Module], shape: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.shape = nn.Sequential(*layers), list(shape)

    def forward(self, activations: Tensor) -> Tensor:
        return self.layers(activations[:, -prod(self.shape) :].reshape(-1, *self.shape))


def split(decoder: nn.Module, latents: int) -> tuple[Trunk, Head]:
    """A sequence of layers in two: up to its last activations, and after them."""
    layers = list(decoder.children())
    after = 1 + max(i for i, layer in enumerate(layers) if isinstance(layer, OBSERVED))
    with torch.no_grad():
        last = nn.Sequential(*layers[:after])(torch.zeros(1, latents))
    return Trunk(layers[:after]), Head(layers[after:], last.shape[1:])


@register("tripod")
class Tripod(TwoLatentsAFactor):
    """Tripod: quantised latents, a penalty on their total correlation and one on their interference in the decoder.

    - Each latent is a hyperbolic tangent, brought to the nearest of a few fixed values, evenly from -1 to 1; the
      gradient passes as if it were not. There are twice as many latents as factors.
    - The total correlation is that of kernel estimates over the batch, of bandwidths by Silverman's rule. The
      authors' code has the bare standard deviations for the marginals' (`bandwidth=bare`).
    - Interference is the share of mixed second derivatives of the decoder's hidden activations by the latents, each
      latent in units of its deviation over the batch: sum_{i != j} H_ij^2 / sum_ij H_ij^2, each sum over a layer's
      activations and the batch, summed over layers. v' H v for v of random signs has twice the upper sum as its
      variance and for normal v twice the lower; each is taken of two v, by finite differences. The authors take each
      image's own share, which of two v and of a decoder that bends at few places may be thousands, and let the
      gradient pass by the deviations, which it leads to 0.

    The square of what the tangent's argument has beyond 2 is added to the loss, which is ours: on dark images all
    latents else end at a bound within the first steps, where the tangent is flat, and none comes back.

    The weights are the paper's for Shapes3D. Its reconstruction is a mean over pixels, as QLAE's is; with one that is
    summed, the penalties are multiplied by the number of pixels. A step takes the decoder's hidden layers nine times
    and not once.

    Reference: Hsu et al. 2024, "Tripod: Three complementary inductive biases for disentangled representation
    learning", section 3; the variance of v' H v is that of Peebles et al. 2020, "The Hessian penalty", theorem 1.
    """

    version: ClassVar[int] = 2  # 2: interference in units of latents' deviations, of each layer
    cost: ClassVar[float] = 2.2

    @dataclass(frozen=True)
    class Hyperparameters:
        independence: float = hyperparameter(1e-4, "weight of the total correlation", grid=(1e-10, 1e-8, 1e-4))
        interference: float = hyperparameter(1e-2, "weight of mixed derivatives", grid=(1e-8, 1e-4, 1e-2))
        values: int = hyperparameter(12, "values of each latent", low=2, structural=True)
        bandwidth: str = choice("silverman", "of the marginals' kernels", ("silverman", "bare"))

    def build(self) -> dict[str, nn.Module]:
        architecture = ARCHITECTURES[self.architecture]
        encoder = architecture.encoder(self.image_shape, self.latents)
        trunk, head = split(architecture.decoder(self.latents, self.image_shape), self.latents)
        with torch.no_grad():
            self.sizes = [each.shape[1] for each in trunk.layer_by_layer(torch.zeros(1, self.latents))]
        return {"encoder": encoder, "trunk": trunk, "head": head}

    def players(self) -> dict[str, Player]:
        return {"model": Player(("encoder", "trunk", "head"), self.loss)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"directions": (batch, PERTURBATIONS, self.latents)}

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        outputs = networks["encoder"](batch)
        bounded = outputs.tanh()
        codes = quantised(bounded, self.structure["values"])
        activations = networks["trunk"](codes)
        reconstruction = self.reconstruction_loss(networks["head"](activations), batch)
        correlation = total_correlation(codes, self.structure["bandwidth"] == "silverman")
        deviations = bounded.detach().std(0, correction=0) + 1e-6
        mixed = interference(networks["trunk"], codes, activations, noise["directions"], deviations, self.sizes)
        penalty = hyperparameters.independence * correlation + hyperparameters.interference * mixed
        return {
            "loss": reconstruction + prod(self.image_shape) * penalty + beyond(outputs),
            "reconstruction": reconstruction,
            "total_correlation": correlation,
            "interference": mixed,
        }

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The values (B, D) that the latents take."""
        return quantised(networks["encoder"](images).tanh(), self.structure["values"])

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The means of p(x|z): (B, C, H, W)."""
        return torch.sigmoid(networks["head"](networks["trunk"](codes)))

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        logits = networks["head"](networks["trunk"](self.encode(networks, images)))
        return {"reconstruction": self.reconstruction_loss(logits, images)}


def beyond(outputs: Tensor) -> Tensor:
    """How far outputs (B, D) are where a hyperbolic tangent is flat: squares summed, averaged over the batch."""
    return (outputs.abs() - STEEP).clamp(min=0).square().sum(1).mean()


def quantised(codes: Tensor, values: int) -> Tensor:
    """The nearest to each code of so many values, evenly from -1 to 1, with the code's own gradient."""
    steps = values - 1
    nearest = ((codes + 1) / 2 * steps).round() / steps * 2 - 1
    return codes + (nearest - codes).detach()


def total_correlation(codes: Tensor, silverman: bool = True) -> Tensor:
    """Mean over codes (B, D) of log q(z) - sum_j log q(z_j) in nats, each q a sum of Gaussian kernels over the batch.

    A kernel's deviation is that of the latent times Silverman's factor; for the marginals it may be left out. Scales
    of latents have no part in it.
    """
    batch, latents = codes.shape
    deviation = (codes.var(0) + 1e-12).sqrt()  # above 0, as the gradient of a latent that never moves asks
    apart = ((codes[:, None] - codes) / deviation).square()  # (B, B, D)
    joint = (4 / ((latents + 2) * batch)) ** (1 / (latents + 4))
    marginal = (4 / (3 * batch)) ** (1 / 5) if silverman else 1.0
    of_joint = (-apart.sum(2) / (2 * joint**2)).logsumexp(1)
    of_marginals = (-apart / (2 * marginal**2)).logsumexp(1).sum(1)
    return (of_joint - of_marginals).mean() + (latents - 1) * log(batch) + latents * log(marginal / joint)


def interference(
    activations_of: Callable[[Tensor], Tensor],
    codes: Tensor,
    activations: Tensor,
    directions: Tensor,
    deviations: Tensor,
    sizes: Sequence[int],
) -> Tensor:
    """The share of mixed second derivatives in all of them, of each layer: summed over layers.

    Args:
        codes: (B, D), whose activations (B, A) are known.
        directions: standard normal draws (B, number, D), used as they are and by their signs.
        deviations: (D,), in units of which derivatives are taken.
        sizes: the numbers of activations of each layer, A in all.
    """
    signs = torch.where(directions < 0, -1.0, 1.0).to(directions.dtype)
    moves = STEP * deviations * torch.stack([signs, directions], 1)  # (B, 2, number, D)
    moved = codes[:, None, None] + torch.stack([moves, -moves])
    ahead, behind = activations_of(moved.flatten(0, 3)).reshape(*moved.shape[:4], -1)
    second = (ahead + behind - 2 * activations[:, None, None]) / STEP**2  # (B, 2, number, A)
    squares = second.var(2).mean(0)  # (2, A)
    mixed, all_of_them = torch.stack([layer.mean(1) for layer in squares.split(sizes, 1)], 1)
    return (mixed / (all_of_them + FLOOR)).sum()
