"""InfoGAN."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from methods import register
from methods.base import Method, Networks, Noise, Optimiser, Player, Terms, hyperparameter
from methods.networks import ARCHITECTURES

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
FEATURES = 256  # outputs of the trunk that discriminator and Q share


class Normalised(nn.Module):
    """A generator with virtual batch normalisation: by the statistics of inputs (N, inputs) that never change.

    Each hidden layer's channels have mean 0 and variance 1 over the reference inputs, before their
    non-linearity. Unlike with a batch's own statistics, an image is a function of its own input.

    Reference: Salimans et al. 2016, "Improved techniques for training GANs", section 3.4.
    """

    reference: Tensor

    def __init__(self, layers: nn.Module, reference: Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers.children())
        self.hidden = [i for i, layer in enumerate(self.layers) if isinstance(layer, LAYERS)]
        self.register_buffer("reference", reference)

    def forward(self, inputs: Tensor) -> Tensor:
        values = torch.cat([self.reference, inputs])
        for i, layer in enumerate(self.layers):
            values = layer(values)
            if i in self.hidden[:-1]:
                values = self.normalise(values)
        return values[len(self.reference) :]

    def normalise(self, values: Tensor) -> Tensor:
        """Values (N + B, channels, ...) by the first N's means and variances over all but the channels."""
        over = [0, *range(2, values.ndim)]
        known = values[: len(self.reference)].to(self.reference.dtype)
        variance, mean = torch.var_mean(known, over, correction=0, keepdim=True)
        scale = torch.rsqrt(variance + 1e-5)
        return torch.addcmul((-mean * scale).to(values.dtype), values, scale.to(values.dtype))


@register("infogan")
class InfoGAN(Method):
    """InfoGAN: a generator whose images tell the codes that they were made from.

    The generator makes images of noise and codes: one categorical code, the others uniform on [-1, 1].
    The discriminator shares a trunk with Q, which tells the codes from the image: probabilities of the
    category, mean and log variance of each continuous code. Both players also maximise
    information * E log Q(c|x), which but for the codes' entropy is a lower bound on their mutual
    information with the image. The generator's adversarial loss is the non-saturating one. As in the
    paper a continuous code weighs less than the category, which its unbounded likelihood would drown.

    Images are real-valued in [0, 1]. Batch normalisation, without which the generator soon makes one image
    of all its inputs, would let an image depend on those beside it: the generator's is virtual.

    Reference: Chen et al. 2016, "InfoGAN: Interpretable representation learning by information maximizing
    generative adversarial nets", eqs. 5-6, appendix C.
    """

    cost: ClassVar[float] = 2.1
    references: ClassVar[int] = 64  # inputs whose statistics normalise the generator
    checked_with: ClassVar[Mapping[str, Any]] = {"references": 8}

    @dataclass(frozen=True)
    class Hyperparameters:
        information: float = hyperparameter(1.0, "weight of the continuous codes' likelihood", grid=(0.1, 1, 10))
        category_information: float = hyperparameter(5.0, "weight of the category's likelihood", grid=(1, 5, 10))
        continuous: int = hyperparameter(5, "continuous codes", low=1, structural=True)
        categories: int = hyperparameter(3, "values of the categorical code", low=2, structural=True)
        noise: int = hyperparameter(62, "other inputs of the generator", low=1, structural=True)

    def build(self) -> dict[str, nn.Module]:
        architecture = ARCHITECTURES[self.architecture]
        continuous, categories, noise = (self.structure[name] for name in ("continuous", "categories", "noise"))
        normal = {name: torch.randn(shape) for name, shape in self.noise_shapes(self.references).items()}
        reference = self.inputs(*self.codes(normal), normal["noise"])
        return {
            "generator": Normalised(architecture.decoder(continuous + categories + noise, self.image_shape), reference),
            "trunk": nn.Sequential(architecture.encoder(self.image_shape, FEATURES), nn.LeakyReLU(0.1)),
            "discriminator": nn.Linear(FEATURES, 1),
            "q": nn.Sequential(
                nn.Linear(FEATURES, 128), nn.LeakyReLU(0.1), nn.Linear(128, 2 * continuous + categories)
            ),
        }

    def players(self) -> dict[str, Player]:
        def adam(rate: float) -> Optimiser:
            return Optimiser("Adam", lr=rate, options={"betas": (0.5, 0.999)})

        return {
            "generator": Player(("generator", "q"), self.generator_loss, adam(1e-3)),
            "discriminator": Player(("trunk", "discriminator"), self.discriminator_loss, adam(2e-4)),
        }

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {name: (batch, self.structure[name]) for name in ("continuous", "categories", "noise")}

    def generator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """-log D(G(z, c)) and the codes' negative log likelihood under Q, in nats an image."""
        continuous, category = self.codes(noise)
        features = networks["trunk"](self.generate(networks, continuous, category, noise["noise"]))
        adversarial = softplus(-networks["discriminator"](features)).mean()
        surprise = self.surprise(networks["q"](features), continuous, category)
        return {
            "loss": adversarial + self.weigh(surprise, hyperparameters),
            "adversarial": adversarial,
            **surprise,
        }

    def discriminator_loss(
        self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor
    ) -> Terms:
        """Cross-entropy of real and generated images, and the codes' negative log likelihood."""
        continuous, category = self.codes(noise)
        made = self.generate(networks, continuous, category, noise["noise"]).detach()
        features = networks["trunk"](torch.cat([batch, made]))
        real, generated = networks["discriminator"](features).chunk(2)
        surprise = self.surprise(networks["q"](features.chunk(2)[1]), continuous, category)
        adversarial = (softplus(-real) + softplus(generated)).mean()
        return {"loss": adversarial + self.weigh(surprise, hyperparameters)}

    def codes(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Continuous codes (B, continuous), uniform on [-1, 1], and categories (B,), from normal draws."""
        return torch.erf(noise["continuous"] / 2**0.5), noise["categories"].argmax(1)

    def generate(self, networks: Networks, continuous: Tensor, category: Tensor, noise: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1]."""
        return torch.sigmoid(networks["generator"](self.inputs(continuous, category, noise)))

    def inputs(self, continuous: Tensor, category: Tensor, noise: Tensor) -> Tensor:
        """The generator's inputs (B, continuous + categories + noise)."""
        chosen = one_hot(category, self.structure["categories"]).to(continuous.dtype)
        return torch.cat([continuous, chosen, noise], 1)

    def surprise(self, told: Tensor, continuous: Tensor, category: Tensor) -> Terms:
        """-log Q(c|x) in nats an image, of the continuous codes and of the category."""
        mean, log_variance, logits = self.parts(told)
        squared = (continuous - mean) ** 2 * (-log_variance).exp()
        of_continuous = 0.5 * (squared + log_variance + log(2 * pi)).sum(1).mean()
        return {"continuous_surprise": of_continuous, "category_surprise": cross_entropy(logits, category)}

    def weigh(self, surprise: Terms, hyperparameters: Any) -> Tensor:
        """What the codes' negative log likelihoods add to either player's loss."""
        of_category = hyperparameters.category_information * surprise["category_surprise"]
        return hyperparameters.information * surprise["continuous_surprise"] + of_category

    def parts(self, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q's means and log variances (B, continuous) and logits (B, categories)."""
        n = self.structure["continuous"]
        return told[:, :n], told[:, n : 2 * n], told[:, 2 * n :]

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """Q's means of the continuous codes, then the categories' probabilities: (B, continuous + categories)."""
        mean, _, logits = self.parts(networks["q"](networks["trunk"](images)))
        return torch.cat([mean, logits.softmax(1)], 1)

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) generated of the codes, with noise 0."""
        noise = codes.new_zeros(len(codes), self.structure["noise"])
        return torch.sigmoid(networks["generator"](torch.cat([codes, noise], 1)))
