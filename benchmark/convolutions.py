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
        layer.__dict__.pop("forward", None)
        if products == "unfolded" and type(layer) in UNFOLDED and layer.groups == 1 and set(layer.dilation) == {1}:
            layer.forward = partial(UNFOLDED[type(layer)], layer)  # type: ignore[method-assign]


def unfolded_convolution(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W), each of its patches multiplied with the weights as a matrix."""
    patches = functional.unfold(images, layer.kernel_size, 1, layer.padding, layer.stride)
    products = layer.weight.flatten(1) @ patches
    if layer.bias is not None:
        products = products + layer.bias[:, None]
    return products.unflatten(2, _output_size(layer, images))


def folded_convolution(layer: nn.ConvTranspose2d, images: Tensor) -> Tensor:
    """The transposed layer's output for images (B, C, H, W): products with the weights, summed where patches overlap."""
    patches = layer.weight.flatten(1).mT @ images.flatten(2)
    size = [
        (length - 1) * stride - 2 * padding + kernel + extra
        for length, stride, padding, kernel, extra in zip(
            images.shape[2:], layer.stride, layer.padding, layer.kernel_size, layer.output_padding, strict=True
        )
    ]
    outputs = functional.fold(patches, size, layer.kernel_size, 1, layer.padding, layer.stride)
    return outputs if layer.bias is None else outputs + layer.bias[:, None, None]


def _output_size(layer: nn.Conv2d, images: Tensor) -> list[int]:
    return [
        (length + 2 * padding - kernel) // stride + 1
        for length, kernel, padding, stride in zip(
            images.shape[2:], layer.kernel_size, layer.padding, layer.stride, strict=True
        )
    ]


UNFOLDED = {nn.Conv2d: unfolded_convolution, nn.ConvTranspose2d: folded_convolution}
