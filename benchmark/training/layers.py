"""How layers compute: in which type, and by which products.

Of a model alone, on a CPU, transposed convolutions take a shorter way. Of stacked models all layers take their own:
mapped over models, a convolution whose weights differ from model to model becomes one with as many
groups as models. Unfolding gives the same numbers to rounding; which is faster depends on the device.
They compute in the type of their weights: autocast acts below the map, where a bias is added in float32
and all that follows is computed in it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Products = Literal["alone", "grouped", "unfolded"]


def use_products(network: nn.Module, products: Products | None) -> None:
    """Let the network's layers compute in that way; None puts them back as they were."""
    for layer in network.modules():
        vars(layer).pop("forward", None)
        compute = None if products is None else _computation(layer, products)
        if compute:
            vars(layer)["forward"] = partial(compute, layer)


def multiplied(network: nn.Module) -> set[str]:
    """The names of the parameters of layers that compute in the type of their weights."""
    return {
        f"{name}.{key}".removeprefix(".")
        for name, layer in network.named_modules()
        if _computation(layer, "grouped")
        for key, _ in layer.named_parameters(recurse=False)
    }


def _computation(layer: nn.Module, products: Products) -> Callable[..., Tensor] | None:
    """How such a layer is computed; None where it is left as it is."""
    forward = type(layer).forward
    is_transposed = isinstance(layer, nn.ConvTranspose2d) and forward is nn.ConvTranspose2d.forward and _is_plain(layer)
    if products == "alone":
        return transposed_convolution if is_transposed else None
    if forward is nn.Linear.forward:
        return linear
    if forward is nn.ReLU.forward and layer.inplace:
        return relu
    if isinstance(layer, nn.Conv2d) and forward is nn.Conv2d.forward and _is_plain(layer):
        return unfolded_convolution if products == "unfolded" else convolution
    if is_transposed:
        return folded_convolution if products == "unfolded" else convolution
    return None


def _is_plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (
        layer.groups == 1
        and set(layer.dilation) == {1}
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def transposed_convolution(layer: nn.ConvTranspose2d, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W), under autocast in its type."""
    given: list[Tensor | None] = [images, layer.weight, layer.bias]
    if torch.is_autocast_enabled(images.device.type):
        dtype = torch.get_autocast_dtype(images.device.type)
        given = [value if value is None else value.to(dtype) for value in given]
    geometry = (layer.stride, layer.padding, layer.dilation, layer.output_padding)
    outputs: Tensor = _Transposed.apply(*given, geometry)  # type: ignore[no-untyped-call]
    return outputs


class _Transposed(torch.autograd.Function):
    """A transposed convolution whose weights' gradient is that of the convolution with inputs and outputs exchanged.

    It is the same to the bit, and on a CPU the library takes up to three times as long for its own. To one channel it
    is made of products, as the library computes eight channels at least.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...]) -> Tensor:
        stride, padding, dilation, output_padding = geometry
        if weight.shape[1] == 1:
            return _folded(images, weight, bias, stride, padding, output_padding)
        return torch.convolution(images, weight, bias, stride, padding, dilation, True, output_padding, 1)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, weight, _, context.geometry = inputs
        context.save_for_backward(images, weight)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Any, ...]:
        images, weight = context.saved_tensors
        wanted = context.needs_input_grad
        stride, padding, dilation, output_padding = context.geometry
        strides = (stride, padding, dilation)
        of = torch.ops.aten.convolution_backward
        before = (True, output_padding, 1, [True, False, False])
        exchanged = (False, (0, 0), 1, [False, True, False])
        return (
            of(gradient, images, weight, None, *strides, *before)[0] if wanted[0] else None,
            of(images, gradient, weight, None, *strides, *exchanged)[1] if wanted[1] else None,
            gradient.sum((0, 2, 3)) if wanted[2] else None,
            None,
        )


def linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """The layer's output (..., B, out) for inputs (..., B, in)."""
    outputs: Tensor = _Affine.apply(inputs.to(layer.weight.dtype), layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return outputs


class _Affine(torch.autograd.Function):
    """inputs (..., B, in) times weights (..., out, in) plus biases (..., out): batched products whose gradients lie as
    the weights do, which an optimiser otherwise copies."""

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None and inputs.ndim == 3:
            return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)
        products = inputs @ weight.mT
        return products if bias is None else products.add_(bias.unsqueeze(-2))

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        context.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Any, ...]:
        inputs, weight = context.saved_tensors
        wanted = context.needs_input_grad
        return (
            gradient @ weight if wanted[0] else None,
            gradient.mT @ inputs if wanted[1] else None,
            gradient.sum(-2) if wanted[2] else None,
        )

    @staticmethod
    def vmap(info: Any, dims: tuple[Any, ...], inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
        given = zip((inputs, weight, bias), dims, strict=True)
        stacked = (None if value is None else _models_first(value, at, info.batch_size) for value, at in given)
        return _Affine.apply(*stacked), 0  # type: ignore[no-untyped-call]


def relu(layer: nn.ReLU, inputs: Tensor) -> Tensor:
    """Not in place: mapped, its inputs are views, of which autograd would copy the whole to and fro."""
    return functional.relu(inputs)


def convolution(layer: nn.Conv2d | nn.ConvTranspose2d, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W), transposed or not, by the library."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    geometry = (layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding)
    outputs: Tensor = _Grouped.apply(images.to(layer.weight.dtype), layer.weight, layer.bias, geometry)  # type: ignore[no-untyped-call]
    return outputs


class _Grouped(torch.autograd.Function):
    """A convolution that is mapped over models as one of as many groups, biases included, which torch's own rule adds
    and sums by kernels of their own."""

    @staticmethod
    def forward(
        images: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...], groups: int = 1
    ) -> Tensor:
        return torch.convolution(images, weight, bias, *geometry, groups)  # type: ignore[call-arg]

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, weight, bias, context.geometry, *groups = inputs
        context.groups = groups[0] if groups else 1
        context.biases = None if bias is None else list(bias.shape)
        context.save_for_backward(images, weight)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Any, ...]:
        images, weight = context.saved_tensors
        wanted = list(context.needs_input_grad[:3])
        gradients = torch.ops.aten.convolution_backward(
            gradient, images, weight, context.biases, *context.geometry, context.groups, wanted
        )
        return (*gradients, None, None)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[Any, ...], images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any, *_: Any
    ) -> Any:
        models = info.batch_size
        images = _models_first(images, dims[0], models).transpose(0, 1)
        weight = _models_first(weight, dims[1], models)
        bias = None if bias is None else _models_first(bias, dims[2], models)
        if images.shape[2] == 1 and not geometry[3]:
            return _patched(images, weight, bias, geometry), 1
        biases = None if bias is None else bias.flatten()
        outputs = _Grouped.apply(images.flatten(1, 2), weight.flatten(0, 1), biases, geometry, models)  # type: ignore[no-untyped-call]
        return outputs.unflatten(1, (models, -1)), 1


def _models_first(tensor: Tensor, at: int | None, models: int) -> Tensor:
    """The axis of models in front, also of what is one for all of them."""
    return tensor.expand(models, *tensor.shape) if at is None else tensor.movedim(at, 0)


def _patched(images: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...]) -> Tensor:
    """Each model's convolution of images (B, models, C, H, W) as (B, models, C', H', W'), by products with patches.

    With one channel a model, grouped convolutions would be depthwise, whose kernels are slow. Patches are views, and
    copied once.
    """
    strides, (above, beside), *_ = geometry
    padded = functional.pad(images, (beside, beside, above, above))
    patches = padded.unfold(3, weight.shape[3], strides[0]).unfold(4, weight.shape[4], strides[1])
    shape = patches.shape[3:5]
    columns = patches.permute(0, 1, 2, 5, 6, 3, 4).flatten(5).flatten(2, 4)  # (B, models, C kh kw, H' W')
    products = weight.flatten(2) @ columns
    return (products if bias is None else products + bias[:, :, None]).unflatten(3, (shape[0], shape[1]))  # type: ignore[no-untyped-call]


def unfolded_convolution(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """The layer's output for images (B, C, H, W): each patch multiplied with the weights as a matrix."""
    padding = _numbers(layer.padding)
    patches = functional.unfold(images.to(layer.weight.dtype), layer.kernel_size, 1, padding, layer.stride)
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
    images = images.to(layer.weight.dtype)
    return _folded(images, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding)


def _folded(images: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, extra: Any) -> Tensor:
    around = _numbers(padding)
    patches = weight.flatten(1).mT @ images.flatten(2)
    kernel = weight.shape[2:]
    height, width = (
        (length - 1) * step - 2 * beside + size + more
        for length, step, beside, size, more in zip(images.shape[2:], stride, around, kernel, extra, strict=True)
    )
    outputs = functional.fold(patches, (height, width), kernel, 1, around, stride)
    return outputs if bias is None else outputs + bias[:, None, None]


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
