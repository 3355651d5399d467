"""A training step followed on the `meta` device: each kernel that it would launch, its bytes, and what a GPU forbids.

On `meta` a tensor has a shape, a type and strides, and no values: a step takes milliseconds, whatever the number of
runs. What a recorded step on a GPU must not do shows all the same: use a tensor of the host's, or wait for a value.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import optimizer as library
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.datasets.base import FactorDataset
from benchmark.spec import RunSpec
from benchmark.training.harness import _Loop, build

META = torch.device("meta")
ADAGRAD = torch.library.Library("aten", "IMPL")  # torch computes its fused step on devices alone
ADAGRAD.impl("_fused_adagrad_", lambda *arguments, **options: None, "Meta")
WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.is_nonzero", "aten.equal")

OVERWRITING = ("aten.copy_", "aten.fill_", "aten.zero_")  # what they write to is not read


@dataclass
class Trace(TorchDispatchMode):
    """Follows what happens within it.

    Attributes:
        kernels: how often each operation computes something; views are none.
        moved: bytes that it reads and writes, each argument once.
        objections: what a recorded step must not do, by operation.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    objections: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket)
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in WAITS and any(tensor.device.type != "cpu" for tensor in given):
            self.objections.append(f"{name} waits for a value")
        hosts = [tuple(tensor.shape) for tensor in given if tensor.device.type == "cpu" and tensor.ndim]
        if hosts:
            self.objections.append(f"{name} takes a tensor of the host's, {hosts[0]}")
        result = func(*args, **(kwargs or {}))
        made = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if not is_view(func, made):
            read = given[1:] if name in OVERWRITING else given
            self.kernels[name] += 1
            self.moved[name] += sum(map(bytes_of, {id(tensor): tensor for tensor in read}.values()))
            self.moved[name] += sum(map(bytes_of, made))
        return result


def is_view(func: Any, made: Sequence[Tensor]) -> bool:
    """Whether an operation computes nothing: its results alias what it was given, and nothing is written."""
    if any(argument.alias_info and argument.alias_info.is_write for argument in func._schema.arguments):
        return False
    if "aten.empty" in str(func) or "aten.new_empty" in str(func):
        return True  # memory that is not written
    return (
        bool(made)
        and all(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)
    ) or str(func.overloadpacket) in ("aten.detach", "aten._unsafe_view", "aten.lift_fresh")


def bytes_of(tensor: Tensor) -> int:
    """What is read of it, or written: once where it is expanded."""
    return min(tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes())


class Imagined(FactorDataset):
    """Images of a data set's shape on the `meta` device."""

    def __init__(self, like: FactorDataset) -> None:
        factors = dict(zip(like.factor_names, like.factor_sizes, strict=True))
        super().__init__(like.name, "imagined", factors, like.image_shape, "meta")

    def images(self, indices: Any) -> Tensor:
        return torch.empty(len(indices), *self.image_shape, device=META)


@contextmanager
def fused_anywhere() -> Iterator[None]:
    """Fused optimisers do not know `meta`, and would compute there as elsewhere."""
    known = library._get_fused_kernels_supported_devices
    library._get_fused_kernels_supported_devices = lambda: [*known(), "meta"]
    try:
        yield
    finally:
        library._get_fused_kernels_supported_devices = known


def loop_of(specs: Sequence[RunSpec], dataset: FactorDataset, precision: str = "bf16") -> _Loop:
    """A pack's loop on the `meta` device."""
    with META:
        methods, networks = zip(*(build(spec, dataset) for spec in specs), strict=True)
    with fused_anywhere():
        return _Loop(specs, methods, networks, Imagined(dataset), precision, "grouped")


def follow(loop: _Loop, before: Callable[[_Loop], None] = lambda loop: None, steps: int = 3) -> Trace:
    """The last of some steps; what is made at the first ones, such as an optimiser's state, is there by then."""
    with fused_anywhere():
        before(loop)
        for step in range(steps):
            drawn = loop.draws.of_step(step)
            with Trace() as trace:
                loop.advance(*drawn)
    return trace
