"""Encoders and decoders of the papers, by architecture, for images of any channels. Decoders end in logits.

The papers' images are of 64 x 64 pixels. Convolutions take others of at least 16 x 16: sides that are no multiple
of 16 are filled up with zeros to the next one, and what is decoded is cut. Fully connected layers take any size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from methods.base import ImageShape

SMALL = (256, 256)  # units of hidden layers
JUDGES = 1000  # units of each of a discriminator's
CELL = 16  # pixels a side of which four layers of stride 2 leave one


@dataclass(frozen=True)
class Architecture:
    """A pair of network makers: encoder(image_shape, outputs), decoder(latents, image_shape).

    Attributes:
        log_variances: the least and greatest log variance of a posterior that a method reads from the
            encoder's outputs; None: as they come.
    """

    encoder: Callable[[ImageShape, int], nn.Module]
    decoder: Callable[[int, ImageShape], nn.Module]
    log_variances: tuple[float, float] | None = None


def conv_encoder(image_shape: ImageShape, outputs: int) -> nn.Module:
    """Images (B, C, H, W) -> (B, outputs): four convolutions of stride 2 and one hidden layer of 256.

    Raises:
        ValueError: a side has less than 16 pixels.

    Reference: Locatello et al. 2019, "Challenging common assumptions ...", Table 1, with 4 x 4 cells of 64 x 64 pixels.
    """
    channels = image_shape[0]
    rows, columns = _cells(image_shape)
    return _initialised(
        nn.Sequential(
            *_filling(image_shape),
            nn.Conv2d(channels, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 2, stride=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 2, stride=2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(64 * rows * columns, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, outputs),
        )
    )


def conv_decoder(latents: int, image_shape: ImageShape) -> nn.Module:
    """Codes (B, latents) -> logits (B, C, H, W): the encoder's mirror (same errors, same reference)."""
    channels = image_shape[0]
    rows, columns = _cells(image_shape)
    return _initialised(
        nn.Sequential(
            nn.Linear(latents, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 64 * rows * columns),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (64, rows, columns)),
            nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(32, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(32, channels, 4, stride=2, padding=1),
            *_cutting(image_shape),
        )
    )


class Cut(nn.Module):
    """The first rows and columns of images."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, images: Tensor) -> Tensor:
        return images[..., : self.height, : self.width]


def _cells(image_shape: ImageShape) -> tuple[int, int]:
    """The rows and columns that are left of an image after four halvings."""
    _, height, width = image_shape
    if min(height, width) < CELL:
        raise ValueError(
            f"images of {height} x {width} pixels are too small: convolutions take {CELL} x {CELL} or more"
        )
    return -(-height // CELL), -(-width // CELL)


def _beyond(image_shape: ImageShape) -> tuple[int, int]:
    """The rows and columns that an image lacks to whole cells."""
    _, height, width = image_shape
    rows, columns = _cells(image_shape)
    return CELL * rows - height, CELL * columns - width


def _filling(image_shape: ImageShape) -> list[nn.Module]:
    """What fills images up with zeros to whole cells; nothing where they are whole."""
    below, beside = _beyond(image_shape)
    return [nn.ZeroPad2d((0, beside, 0, below))] if below or beside else []


def _cutting(image_shape: ImageShape) -> list[nn.Module]:
    """What cuts decoded cells to images; nothing where they are whole."""
    return [Cut(*image_shape[1:])] if any(_beyond(image_shape)) else []


def broadcast_decoder(latents: int, image_shape: ImageShape) -> nn.Module:
    """Codes (B, latents) -> logits (B, C, H, W): each code laid over the whole image beside the places' coordinates.

    Four convolutions of 3 x 3, which are not filled up with zeros: the code is laid over four pixels more on each side.

    Reference: Watters et al. 2019, "Spatial broadcast decoder: A simple architecture for learning disentangled
    representations in VAEs", section 2 and appendix A.
    """
    channels, height, width = image_shape
    layers: list[nn.Module] = [Broadcast(height + 8, width + 8)]
    for inputs in (latents + 2, 64, 64, 64):
        layers += [nn.Conv2d(inputs, 64, 3), nn.ReLU(inplace=True)]
    return _initialised(nn.Sequential(*layers, nn.Conv2d(64, channels, 1)))


class Broadcast(nn.Module):
    """Codes (B, D) -> (B, D + 2, H, W): each code at every place, then the place's row and column, from -1 to 1."""

    coordinates: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(rows, columns, indexing="ij")))

    def forward(self, codes: Tensor) -> Tensor:
        _, height, width = self.coordinates.shape
        places = self.coordinates.expand(len(codes), -1, -1, -1)
        return torch.cat([codes[:, :, None, None].expand(-1, -1, height, width), places], 1)


def residual_encoder(image_shape: ImageShape, outputs: int) -> nn.Module:
    """Images (B, C, H, W) -> (B, outputs): a convolution of stride 2, three residual blocks and one hidden layer.

    Raises:
        ValueError: a side has less than 16 pixels.

    Reference: Hsu et al. 2023, "Disentanglement via latent quantization", which trains residual networks; numbers of
    layers and channels are ours.
    """
    channels = image_shape[0]
    rows, columns = _cells(image_shape)
    blocks = [layer for ends in ((32, 64), (64, 128), (128, 128)) for layer in (Residual(*ends), nn.AvgPool2d(2))]
    return _initialised(
        nn.Sequential(
            *_filling(image_shape),
            nn.Conv2d(channels, 32, 4, stride=2, padding=1),
            *blocks,
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(128 * rows * columns, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, outputs),
        )
    )


def residual_decoder(latents: int, image_shape: ImageShape) -> nn.Module:
    """Codes (B, latents) -> logits (B, C, H, W): the encoder's mirror (same errors, same reference)."""
    channels = image_shape[0]
    rows, columns = _cells(image_shape)
    ends = ((128, 128), (128, 64), (64, 32))
    blocks = [layer for each in ends for layer in (nn.Upsample(scale_factor=2), Residual(*each))]
    return _initialised(
        nn.Sequential(
            nn.Linear(latents, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 128 * rows * columns),
            nn.Unflatten(1, (128, rows, columns)),
            *blocks,
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(32, channels, 4, stride=2, padding=1),
            *_cutting(image_shape),
        )
    )


class Residual(nn.Module):
    """Images, brought to the number of channels, and what two convolutions of 3 x 3 add to them.

    Before each convolution stand instance normalisation and a ReLU.

    Reference: He et al. 2016, "Identity mappings in deep residual networks", figure 1(b).
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.beside = nn.Identity() if channels == outputs else nn.Conv2d(channels, outputs, 1)
        self.added = nn.Sequential(
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, outputs, 3, padding=1),
            InstanceNorm(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.beside(images) + self.added(images)


class InstanceNorm(nn.Module):
    """Each image's channels at mean 0 and variance 1 over its own pixels, then scaled and shifted as learned.

    Written out, so that runs that are computed together have each its own scale, in the type of its state.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        values = images.to(self.scale.dtype)
        variance, mean = torch.var_mean(values, (-2, -1), correction=0, keepdim=True)
        return torch.addcmul(self.shift, values - mean, torch.rsqrt(variance + 1e-5) * self.scale).to(images.dtype)


def fc_encoder(image_shape: ImageShape, outputs: int) -> nn.Module:
    """Images (B, C, H, W) -> (B, outputs): two hidden layers of 1200, ReLU.

    Reference: Higgins et al. 2017, appendix A.1, Table 1 (2D shapes).
    """
    return perceptron([prod(image_shape), 1200, 1200, outputs], nn.ReLU, before=nn.Flatten())


def fc_decoder(latents: int, image_shape: ImageShape) -> nn.Module:
    """Codes (B, latents) -> logits (B, C, H, W): three hidden layers of 1200, tanh (same reference)."""
    widths = [latents, 1200, 1200, 1200, prod(image_shape)]
    return perceptron(widths, nn.Tanh, after=nn.Unflatten(1, image_shape))


def small_fc_encoder(image_shape: ImageShape, outputs: int) -> nn.Module:
    """Images (B, C, H, W) -> (B, outputs): two hidden layers of 256, ReLU. Ours, for processors without a GPU."""
    return perceptron([prod(image_shape), *SMALL, outputs], nn.ReLU, before=nn.Flatten())


def small_fc_decoder(latents: int, image_shape: ImageShape) -> nn.Module:
    """Codes (B, latents) -> logits (B, C, H, W): the encoder's mirror."""
    return perceptron([latents, *SMALL, prod(image_shape)], nn.ReLU, after=nn.Unflatten(1, image_shape))


def perceptron(
    widths: Sequence[int], activation: type[nn.Module], before: nn.Module | None = None, after: nn.Module | None = None
) -> nn.Module:
    """Linear layers of those widths, inputs first and outputs last, with the activation between them."""
    layers: list[nn.Module] = [] if before is None else [before]
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += ([activation()] if number else []) + [nn.Linear(inputs, outputs)]
    return _initialised(nn.Sequential(*layers, *([] if after is None else [after])))


def discriminator(inputs: int) -> nn.Module:
    """Codes (B, inputs) -> logits (B, 1): six layers of 1000, leaky ReLU of slope 0.2.

    Reference: Kim and Mnih 2018, "Disentangling by factorising", appendix B.
    """
    widths = [inputs, *[JUDGES] * 6]
    hidden = [
        layer
        for width, following in pairwise(widths)
        for layer in (nn.Linear(width, following), nn.LeakyReLU(0.2, inplace=True))
    ]
    return _initialised(nn.Sequential(*hidden, nn.Linear(JUDGES, 1)))


def _initialised(network: nn.Module) -> nn.Module:
    """Glorot uniform weights and zero biases, the initial state of the study's code."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


# Adagrad's first step is nearly its rate in every weight at once, and 0.01 over layers of 1,200 is much: where a loss
# has large weights (a capacity's 1,000, squared variances) a log variance leaps to 60, its exponential to infinity, and
# gradients of such size leave Adagrad no step ever after. A trained posterior knows neither bound: below -30 the noise
# is lost in the rounding of the mean in float32, and at 10 it is 148 times as wide as the prior.
HIGGINS_LOG_VARIANCES = (-30.0, 10.0)

ARCHITECTURES = {
    "locatello2019": Architecture(conv_encoder, conv_decoder),
    "higgins2017": Architecture(fc_encoder, fc_decoder, HIGGINS_LOG_VARIANCES),
    "small_fc": Architecture(small_fc_encoder, small_fc_decoder),
    "spatial_broadcast": Architecture(conv_encoder, broadcast_decoder),
    "residual": Architecture(residual_encoder, residual_decoder),
}
