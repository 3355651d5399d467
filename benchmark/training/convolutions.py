"""Convolutions of stacked models: by the library's grouped ones, or unfolded into batched matrix products.

Mapped over models, a convolution whose weights differ from model to model becomes one with as many
groups as models. Unfolding gives the same numbers to rounding; which is faster depends on the device.
"""

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Products = Literal["grouped", "unfolded"]


def use_products(network: nn.Module, products: Products | None) -> None:
    """Let the network's convolutions compute in that way; None puts them back as they were."""
    for layer in network.modules():
        vars(layer).pop("forward", None)
        if products == "unfolded" and isinstance(layer, nn.Conv2d) and _is_plain(layer):
            vars(layer)["forward"] = partial(unfolded_convolution, layer)
        if products == "unfolded" and isinstance(layer, nn.ConvTranspose2d) and _is_plain(layer):
            vars(layer)["forward"] = partial(folded_convolution, layer)


def _is_plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return layer.groups == 1 and set(layer.dilation) == {1} and not isinstance(layer.padding, str)


def unfolded_convolution(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W): each patch multiplied with the weights as a matrix."""
    padding = _numbers(layer.padding)
    patches = functional.unfold(images, layer.kernel_size, 1, padding, layer.stride)
    height, width = (
        (length + 2 * around - kernel) // stride + 1
        for length, around, kernel, stride in zip(
            images.shape[2:], padding, layer.kernel_size, layer.stride, strict=True
        )
    )
    products = layer.weight.flatten(1) @ patches
    if layer.bias is not None:
        products = products + layer.bias[:, None]
    return products.reshape(*products.shape[:2], height, width)


def folded_convolution(layer: nn.ConvTranspose2d, images: Tensor) -> Tensor:
    """The transposed layer's output for images (B, C, H, W): products with the weights, summed where they overlap."""
    padding = _numbers(layer.padding)
    patches = layer.weight.flatten(1).mT @ images.flatten(2)
    height, width = (
        (length - 1) * stride - 2 * around + kernel + extra
        for length, stride, around, kernel, extra in zip(
            images.shape[2:], layer.stride, padding, layer.kernel_size, _numbers(layer.output_padding), strict=True
        )
    )
    outputs = functional.fold(patches, (height, width), layer.kernel_size, 1, padding, layer.stride)
    return outputs if layer.bias is None else outputs + layer.bias[:, None, None]


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
