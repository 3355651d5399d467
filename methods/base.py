"""What a method is: networks, the losses that players minimise over them, and codes to score.

A method is written for one model and knows no device, precision, optimiser step or random
generator: its losses are pure functions, so that a harness may train many runs at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from math import isfinite
from typing import Any, ClassVar

from torch import Tensor, nn

Networks = Mapping[str, Callable[[Tensor], Tensor]]  # by the names that `build` gives
Noise = Mapping[str, Tensor]  # standard normal draws, by the names that `noise_shapes` gives
Terms = dict[str, Tensor]  # "loss" is minimised; every other entry is logged


@dataclass(frozen=True)
class Optimiser:
    """An optimiser of `torch.optim` by name, its learning rate and its other options."""

    name: str
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """One loss, minimised over some of the networks.

    Attributes:
        networks: names of the networks whose parameters this player moves.
        loss: `(networks, batch, noise, hyperparameters, step) -> Terms`, a pure function. Where runs are
            trained together, hyperparameters are tensors (), as the step always is: it computes with them,
            and decides nothing by their values.
        optimiser: None leaves the choice to the training protocol.
    """

    networks: tuple[str, ...]
    loss: Callable[[Networks, Tensor, Noise, Any, Tensor], Terms]
    optimiser: Optimiser | None = None


def hyperparameter(default: float, meaning: str, low: float = 0.0, grid: tuple[float, ...] = ()) -> Any:
    """A numeric field of `Hyperparameters`, at least `low`; `grid` holds the literature's values."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "grid": grid})


@dataclass(frozen=True)
class NoHyperparameters:
    """For a method that has none."""


class Method:
    """A method for images of one shape with one network architecture.

    Class attributes:
        name: set by `methods.register`.
        version: raised whenever a change here changes results; part of a run's identity.
        Hyperparameters: a frozen dataclass of `hyperparameter` fields with the paper's defaults.
        batches: independent batches that a step takes; a loss gets them in one tensor, one after the other.

    Args:
        image_shape: (channels, height, width).
        latents: the number of latents, D.
        architecture: a name in `methods.networks.ARCHITECTURES`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    Hyperparameters: ClassVar[type] = NoHyperparameters
    batches: ClassVar[int] = 1

    def __init__(self, image_shape: tuple[int, int, int], latents: int, architecture: str) -> None:
        self.image_shape = image_shape
        self.latents = latents
        self.architecture = architecture

    def build(self) -> dict[str, nn.Module]:
        """Fresh networks by name, initialised from torch's global generator, which the harness seeds."""
        raise NotImplementedError

    def players(self) -> dict[str, Player]:
        """The players by name, in the order of their turns."""
        raise NotImplementedError

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the standard normal draws that the losses take for a batch of that size."""
        return {}

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """Codes (B, D) of the images (B, C, H, W), deterministic: the representation that is scored."""
        raise NotImplementedError

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the codes (B, D), where the method can."""
        raise NotImplementedError

    def report(self, hyperparameters: Any) -> dict[str, float]:
        """Numbers about a run that stand in the tables beside its scores."""
        return {}


def hyperparameter_fields(method: type[Method]) -> dict[str, Field[Any]]:
    """The fields of the method's hyperparameters by name."""
    return {f.name: f for f in fields(method.Hyperparameters)}


def hyperparameters_of(method: type[Method], values: Mapping[str, Any]) -> Any:
    """The method's hyperparameters: `values` over its defaults.

    Raises:
        ValueError: a value is no finite number or below its bound.
        KeyError: the method has no hyperparameter of that name.
    """
    known = hyperparameter_fields(method)
    for name, value in values.items():
        if name not in known:
            raise KeyError(name)
        low = known[name].metadata.get("low", -float("inf"))
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < low:
            raise ValueError(f"{method.name}.{name} is {value!r}; it takes a number of at least {low:g}.")
    return method.Hyperparameters(**{name: float(value) for name, value in values.items()})
