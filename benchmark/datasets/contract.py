"""What every data set must keep to, tried on a few of its images before anything is trained on them."""

from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError, blaming, one_line

IMAGES = 64  # looked at, each from another part of the index's range
PLACES = 4096  # of the grid whose factors are looked at: all of a small data set
ROUNDING = 1e-5  # beyond [0, 1] that resizing may leave
GREY = 1.001 / 255  # one grey level, to which images are the same
GRID = "a data set is a full grid, one image for each combination, its index counting through them"
LEAST_IMAGES = 12  # of a set that is no grid: some to train on, some to score
CHANNELS = 4  # at most, where a shape's last number is taken for them
OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


def check_dataset(dataset: FactorDataset) -> None:
    """Look at some of a data set's images and factors, before time is spent on training.

    It must be a full grid whose index and factors belong together, or have a table of factors, and give float32
    images (B, C, H, W) in [0, 1], on its device, of the shape that it declares, that differ, the same whenever
    asked for without a generator.

    Raises:
        UsageError: it does not; the message is one sentence that says what would be right.
    """
    name = one_line(str(getattr(dataset, "name", type(dataset).__name__)))
    try:
        with blaming(f"data set {name} cannot be read", _Fault, *OUT_OF_MEMORY):
            for look in (_look_at_names, _look_at_sizes, _look_at_grid, _look_at_images):
                look(dataset)
    except _Fault as fault:
        raise UsageError(one_line(f"data set {name}: {fault}.")) from None


class _Fault(Exception):  # noqa: N818 -- becomes a UsageError
    """What a data set does not keep to, and what would be right."""


def _look_at_names(dataset: FactorDataset) -> None:
    texts = {"name": dataset.name, "source": dataset.source} | {
        f"factor_names[{k}]": name for k, name in enumerate(dataset.factor_names)
    }
    for what, text in texts.items():
        if not (isinstance(text, str) and text and text.isprintable() and text == text.strip()):
            raise _Fault(f"its {what} is {text!r}, where a printable text without blanks around it is needed")
    for name in dataset.factor_names:
        if dataset.factor_names.count(name) > 1:
            raise _Fault(f"two factors are called {name!r}, where each needs a name of its own")


def _look_at_sizes(dataset: FactorDataset) -> None:
    names, sizes, shape = dataset.factor_names, dataset.factor_sizes, tuple(dataset.image_shape)
    if (not sizes and dataset.table is None) or len(names) != len(sizes):
        raise _Fault(f"it has {len(names)} factor names and {len(sizes)} sizes, where one factor or more is needed")
    for name, size in zip(names, sizes, strict=True):
        if not _is_whole(size) or size < 1:
            raise _Fault(f"its factor {name!r} has the size {size!r}, where the number of its values is needed")
        if size == 1:
            raise _Fault(f"its factor {name!r} has one value only; leave out what never varies")
    if len(shape) != 3 or not all(_is_whole(size) and size > 0 for size in shape):
        raise _Fault(f"its image_shape is {shape}, where (channels, height, width) is needed")
    if shape[2] <= CHANNELS < shape[0]:
        raise _Fault(f"its image_shape {shape} has the channels last, where (channels, height, width) is needed")


def _look_at_grid(dataset: FactorDataset) -> None:
    """Whether each index stands for one combination of factor values, and each combination for one index."""
    if dataset.table is not None:
        _look_at_table(dataset, dataset.table)
        return
    sizes, images = dataset.factor_sizes, len(dataset)
    if images != prod(sizes):
        told = " x ".join(f"{name} {size}" for name, size in zip(dataset.factor_names, sizes, strict=True))
        raise _Fault(f"it has {images:,} images for {prod(sizes):,} combinations of {told}, but {GRID}")
    places = _spread(images, PLACES)
    factors = dataset.factors(torch.as_tensor(places, device=dataset.device))
    _look_at_values(factors, dataset, len(places))
    indices = dataset.indices(factors)
    if indices.shape != places.shape:
        raise _Fault(f"indices gives the shape {tuple(indices.shape)} for {len(places)} rows of factors")
    wrong = np.flatnonzero(indices.cpu().numpy() != places)
    if len(wrong):
        index, found = places[wrong[0]], int(indices[wrong[0]])
        raise _Fault(f"indices(factors({index})) is {found}, not {index}, but {GRID}, the last factor fastest")
    if not torch.equal(dataset.factors(places), factors):
        raise _Fault("its factors differ when they are asked for again")


def _look_at_table(dataset: FactorDataset, table: Tensor) -> None:
    """Whether each image has a value of each factor, where images are no grid."""
    if len(dataset) < LEAST_IMAGES:
        raise _Fault(f"it has {len(dataset)} images, where {LEAST_IMAGES} or more are needed")
    places = _spread(len(dataset), PLACES)
    factors = dataset.factors(torch.as_tensor(places, device=dataset.device))
    _look_at_values(factors, dataset, len(places))
    for name, values in zip(dataset.factor_names, table.T, strict=True):
        if (values == values[0]).all():
            raise _Fault(f"its factor {name!r} takes one value only; leave out what never varies")


def _look_at_values(factors: Any, dataset: FactorDataset, rows: int) -> None:
    _look_at_kind("factors", factors, dataset, (rows, len(dataset.factor_sizes)), "(batch, factors)")
    if factors.is_floating_point() or factors.is_complex() or factors.dtype == torch.bool:
        raise _Fault(f"its factors are {factors.dtype}, where integers are needed")
    for name, size, values in zip(dataset.factor_names, dataset.factor_sizes, factors.T, strict=True):
        if values.min() < 0 or values.max() >= size:
            raise _Fault(f"its factor {name!r} runs from {values.min()} to {values.max()}, outside 0 .. {size - 1}")


def _look_at_images(dataset: FactorDataset) -> None:
    places = _spread(len(dataset), IMAGES)
    shape, layout = tuple(dataset.image_shape), "(batch, channels, height, width)"
    images = dataset.images(torch.as_tensor(places, device=dataset.device))
    _look_at_kind("images", images, dataset, (len(places), *shape), layout)
    if images.dtype != torch.float32:
        raise _Fault(f"its images are {images.dtype}, where torch.float32 in [0, 1] is needed; divide bytes by 255")
    if not images.isfinite().all():
        raise _Fault("its images hold nan or infinity, where values in [0, 1] are needed")
    least, greatest = images.min().item(), images.max().item()
    if least < -ROUNDING or greatest > 1 + ROUNDING:
        advice = "divide bytes by 255, and move and scale what is centred on 0"
        raise _Fault(f"its images run from {least:g} to {greatest:g}, where values in [0, 1] are needed; {advice}")
    if (images - images[:1]).abs().max() <= GREY:
        raise _Fault(f"the {len(images)} images that were looked at are all the same, where factors are to be seen")
    # In another batch and by numpy's indices, as they are encoded.
    again = dataset.images(places[::-3].copy())
    _look_at_kind("images", again, dataset, (len(places[::-3]), *shape), layout)
    if not (again - images.flip(0)[::3]).abs().max() <= GREY:
        raise _Fault("an image differs when it is asked for again, where an index is to give one image")


def _look_at_kind(what: str, given: Any, dataset: FactorDataset, shape: tuple[int, ...], layout: str) -> None:
    """Whether it is a tensor of that shape on the data set's device."""
    if not isinstance(given, Tensor):
        raise _Fault(f"its {what} are {type(given).__name__}, where a tensor is needed")
    if tuple(given.shape) != shape:
        last = what == "images" and tuple(given.shape) == (shape[0], *shape[2:], shape[1])
        told = f"{tuple(given.shape)}{', the channels last' if last else ''}, for {shape[0]} indices"
        raise _Fault(f"its {what} have the shape {told}, where {shape} = {layout} is needed")
    device = dataset.device
    if given.device.type != device.type or device.index not in (None, given.device.index):
        raise _Fault(f"its {what} are on {given.device}, where {device}, for which it was loaded, is needed")


def _spread(count: int, most: int) -> np.ndarray:
    """So many of the numbers below `count` at most: both ends, and one drawn from each equal part."""
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most + 1)
    drawn = np.random.default_rng(0).uniform(edges[:-1], edges[1:]).astype(np.int64)
    drawn[0], drawn[-1] = 0, count - 1
    return drawn


def _is_whole(size: Any) -> bool:
    return isinstance(size, Integral) and not isinstance(size, bool)
