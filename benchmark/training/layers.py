"""How the layers of stacked models compute: in which type, and by which products.

Mapped over models, a convolution whose weights differ from model to model becomes one with as many
groups as models. Unfolding gives the same numbers to rounding; which is faster depends on the device.
Layers cast what they multiply themselves: autocast acts below the map, where a bias is added in float32
and all that follows is computed in it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Products = Literal["grouped", "unfolded"]
Cast = Callable[[Tensor], Tensor]


def use_products(network: nn.Module, products: Products | None, dtype: torch.dtype | None = None) -> None:
    """Let the network's layers compute in that way and type; None puts them back as they were.

    Args:
        dtype: of products and of what they give; None: as the weights are.
    """

    def cast(tensor: Tensor) -> Tensor:
        return tensor if dtype is None else tensor.to(dtype)

    for layer in network.modules():
        vars(layer).pop("forward", None)
        compute = None if products is None else _computation(layer, products)
        if compute:
            vars(layer)["forward"] = partial(compute, layer, cast)


def _computation(layer: nn.Module, products: Products) -> Callable[..., Tensor] | None:
    """How such a layer is computed; None where it is left as it is."""
    forward = type(layer).forward
    if forward is nn.Linear.forward:
        return linear
    if forward is nn.ReLU.forward and layer.inplace:
        return relu
    if forward is nn.Conv2d.forward and _is_plain(layer):
        few = layer.in_channels == 1  # grouped, these would be depthwise, whose kernels are slow
        return unfolded_convolution if products == "unfolded" else patched_convolution if few else convolution
    if forward is nn.ConvTranspose2d.forward and _is_plain(layer):
        return folded_convolution if products == "unfolded" else convolution
    return None


def _is_plain(layer: nn.Module) -> bool:
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def linear(layer: nn.Linear, cast: Cast, inputs: Tensor) -> Tensor:
    return functional.linear(cast(inputs), cast(layer.weight), None if layer.bias is None else cast(layer.bias))


def relu(layer: nn.ReLU, cast: Cast, inputs: Tensor) -> Tensor:
    """Not in place: mapped, its inputs are views, of which autograd would copy the whole to and fro."""
    return functional.relu(inputs)


def convolution(layer: nn.Conv2d | nn.ConvTranspose2d, cast: Cast, images: Tensor) -> Tensor:
    bias = None if layer.bias is None else cast(layer.bias)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    geometry = (layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding)
    return _Grouped.apply(cast(images), cast(layer.weight), bias, geometry)  # type: ignore[no-untyped-call]


class _Grouped(torch.autograd.Function):
    """A convolution that is mapped over models as one of as many groups, biases included, which torch's own rule adds
    and sums by kernels of their own."""

    @staticmethod
    def forward(images: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...], groups: int = 1) -> Tensor:
        return torch.convolution(images, weight, bias, *geometry, groups)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, weight, bias, context.geometry, *groups = inputs
        context.groups = groups[0] if groups else 1
        context.biases = None if bias is None else list(bias.shape)
        context.save_for_backward(images, weight)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        images, weight = context.saved_tensors
        wanted = list(context.needs_input_grad[:3])
        gradients = torch.ops.aten.convolution_backward(
            gradient, images, weight, context.biases, *context.geometry, context.groups, wanted
        )
        return (*gradients, None, None)

    @staticmethod
    def vmap(info: Any, dims: tuple[Any, ...], images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any, *_: Any) -> Any:
        models = info.batch_size
        images = _models_first(images, dims[0], models).transpose(0, 1).flatten(1, 2)
        weight = _models_first(weight, dims[1], models).flatten(0, 1)
        bias = None if bias is None else _models_first(bias, dims[2], models).flatten()
        outputs = _Grouped.apply(images, weight, bias, geometry, models)  # type: ignore[no-untyped-call]
        return outputs.unflatten(1, (models, -1)), 1


def _models_first(tensor: Tensor, at: int | None, models: int) -> Tensor:
    """The axis of models in front, also of what is one for all of them."""
    return tensor.expand(models, *tensor.shape) if at is None else tensor.movedim(at, 0)


def patched_convolution(layer: nn.Conv2d, cast: Cast, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W): views of patches, copied once and multiplied with the weights."""
    (above, beside), (height, width) = _numbers(layer.padding), layer.kernel_size
    padded = functional.pad(cast(images), (beside, beside, above, above))
    patches = padded.unfold(2, height, layer.stride[0]).unfold(3, width, layer.stride[1])  # (B, C, H', W', kh, kw)
    shape = patches.shape[2:4]
    products = cast(layer.weight).flatten(1) @ patches.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)
    if layer.bias is not None:
        products = products + cast(layer.bias)[:, None]
    return products.unflatten(2, shape)


def unfolded_convolution(layer: nn.Conv2d, cast: Cast, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W): each patch multiplied with the weights as a matrix."""
    padding = _numbers(layer.padding)
    patches = functional.unfold(cast(images), layer.kernel_size, 1, padding, layer.stride)
    height, width = (
        (length + 2 * around - kernel) // stride + 1
        for length, around, kernel, stride in zip(
            images.shape[2:], padding, layer.kernel_size, layer.stride, strict=True
        )
    )
    products = cast(layer.weight).flatten(1) @ patches
    if layer.bias is not None:
        products = products + cast(layer.bias)[:, None]
    return products.reshape(*products.shape[:2], height, width)


def folded_convolution(layer: nn.ConvTranspose2d, cast: Cast, images: Tensor) -> Tensor:
    """The transposed layer's output for images (B, C, H, W): products with the weights, summed where they overlap."""
    padding = _numbers(layer.padding)
    patches = cast(layer.weight).flatten(1).mT @ cast(images).flatten(2)
    height, width = (
        (length - 1) * stride - 2 * around + kernel + extra
        for length, stride, around, kernel, extra in zip(
            images.shape[2:], layer.stride, padding, layer.kernel_size, _numbers(layer.output_padding), strict=True
        )
    )
    outputs = functional.fold(patches, (height, width), layer.kernel_size, 1, padding, layer.stride)
    return outputs if layer.bias is None else outputs + cast(layer.bias)[:, None, None]


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
