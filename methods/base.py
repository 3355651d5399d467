"""What a method is: networks, the losses that players minimise over them, and codes to score.

A method is written for one model and knows no device, precision, optimiser step or random
generator: its losses are pure functions, so that a harness may train many runs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # what a method is can be told before torch is there
    from torch import Tensor, nn

GREATEST = 1e30  # of a hyperparameter: float32, in which losses are computed, goes little further
Networks = Mapping[str, Callable[["Tensor"], "Tensor"]]  # by the names that `build` gives
Noise = Mapping[str, "Tensor"]  # standard normal draws, by the names that `noise_shapes` gives
Terms = dict[str, "Tensor"]  # "loss" is minimised; every other entry is logged
ImageShape = tuple[int, int, int]  # (channels, height, width)


@dataclass(frozen=True)
class Independent:
    """So many batches of independent images, (number * B, C, H, W), one batch after the other."""

    number: int = 1


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that share all but a few factors: (2 * B, C, H, W), the first of each pair, then the second.

    Which factors were drawn anew, and may have fallen on the old value, is `noise["changed"]`: booleans (B, K).

    As the paper of Ada-GVAE says it; its code draws but one factor anew in half of the pairs.

    Attributes:
        differing: how many factors are drawn anew for the second image; 0 draws that number too,
            from 1 to one less than there are factors, for each pair.
    """

    differing: int = 0


@dataclass(frozen=True)
class Groups:
    """Images (B, C, H, W) that share every factor but one; which one, an integer (), is `noise["factor"]`."""


@dataclass(frozen=True)
class Transitions:
    """Pairs of images in time: (2 * B, C, H, W), what is seen first of each, then what is seen next.

    Each factor of n values takes a step that has the probability exp(-rate * |step| / log n), but for a constant; where
    none has moved, one does. Factors whose values have no order, such as a shape, stand still. Which moved is
    `noise["changed"]`: booleans (B, K).

    Reference: Klindt et al. 2021, "Towards nonlinear disentanglement in natural data with temporal sparse coding",
    section 4.1 and appendix, the data sets called LAP.
    """

    rate: float = 1.0


@dataclass(frozen=True)
class Labelled:
    """Independent images and beside them as many whose factors are told: (number * B + B, C, H, W), these last.

    Their factors' values are `noise["labels"]`, integers (B, K).

    Attributes:
        images: how many labelled images there are, drawn once for the run and then, B at a time, from among themselves;
            0: all, drawn anew in each step.
        number: of unlabelled batches, as of `Independent`.
    """

    images: int = 0
    number: int = 1


Batches = Independent | Pairs | Groups | Transitions | Labelled


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


def hyperparameter(
    default: float,
    meaning: str,
    low: float = 0.0,
    grid: tuple[float, ...] = (),
    structural: bool = False,
    later: bool = False,
) -> Any:
    """A numeric field of `Hyperparameters`, at least `low`; `grid` holds the literature's values.

    One that is `structural` decides shapes, batches or which code runs: it is a whole number that a
    method finds in `self.structure`, and runs that differ in it are not trained together. One that came `later` than
    runs that are stored, with a default that changes nothing, is told of a run only where it has another value.
    """
    told = {"meaning": meaning, "low": low, "grid": grid, "structural": structural, "later": later}
    return field(default=default, metadata=told)


def choice(default: str, meaning: str, choices: tuple[str, ...], later: bool = False) -> Any:
    """A field of `Hyperparameters` that is one of several words; always structural (`later`: see `hyperparameter`)."""
    told = {"meaning": meaning, "choices": choices, "grid": choices, "structural": True, "later": later}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class NoHyperparameters:
    """For a method that has none."""


class Method:
    """A method for images of one data set with one network architecture.

    Class attributes:
        name: set by `methods.register`.
        version: raised whenever a change here changes results; part of a run's identity.
        Hyperparameters: a frozen dataclass of `hyperparameter` and `choice` fields with the paper's defaults.
        fitted_images: how many images, drawn with replacement, `fit` gets.
        cost: a step's time beside `vae`'s, in the preset `quick` on one core; None: not told, or fitted in closed form.
            A class tells its own, which none inherits.
        checked_with: class attributes that conformance checks set, where the method's own make them slow.

    Args:
        image_shape: (channels, height, width).
        latents: the number of latents, D.
        architecture: a name in `methods.networks.ARCHITECTURES`.
        factor_sizes: how many values each factor of the data has.
        images: how many there are; 0: one for each combination of factors.
        likelihood: how images are given their codes: "bernoulli", or "gaussian:V" of variance V a pixel and channel.
        steps: how many steps the training takes.
        structure: the values of the structural hyperparameters by name.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    cost: ClassVar[float | None] = None
    Hyperparameters: ClassVar[type] = NoHyperparameters
    fitted_images: ClassVar[int] = 10_000
    checked_with: ClassVar[Mapping[str, Any]] = {"fitted_images": 200}

    def __init__(
        self,
        image_shape: ImageShape,
        latents: int = 10,
        architecture: str = "locatello2019",
        factor_sizes: tuple[int, ...] = (),
        steps: int = 1,
        structure: Mapping[str, Any] | None = None,
        images: int = 0,
        likelihood: str = "bernoulli",
    ) -> None:
        self.image_shape = image_shape
        self.latents = latents
        self.architecture = architecture
        self.factor_sizes = factor_sizes
        self.images = images or (prod(factor_sizes) if factor_sizes else 0)
        self.likelihood = likelihood
        self.steps = steps
        self.structure = structure_of(self.Hyperparameters()) if structure is None else structure

    def build(self) -> dict[str, nn.Module]:
        """Fresh networks by name, initialised from torch's global generator, which the harness seeds.

        One that says `full_precision = True` never multiplies in half precision.
        """
        raise NotImplementedError

    def objection(self) -> str:
        """Why the method cannot learn from such data, in one sentence; empty where it can.

        Pairs need a factor that is shared beside those that differ, other batches that look at factors one.
        """
        batches, count = self.batches(), len(self.factor_sizes)
        shared = max(1, batches.differing) if isinstance(batches, Pairs) else 0
        least = 0 if isinstance(batches, Independent) else shared + 1
        told = f"{self.name} trains on {name_of(batches)}, which here take at least {least} factors"
        return f"{told}; the data have {count}." if count < least else ""

    def players(self) -> dict[str, Player]:
        """The players by name, in the order of their turns; none where the method is fitted in closed form."""
        return {}

    def batches(self) -> Batches:
        """What a step's losses see."""
        return Independent()

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the standard normal draws that the losses take for a batch of that size."""
        return {}

    def fit(self, networks: Mapping[str, nn.Module], images: Tensor, seed: int) -> None:
        """Set the networks from the images (N, C, H, W) in closed form: what a method without players does."""
        raise NotImplementedError

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """Codes (B, D) of the images (B, C, H, W), deterministic: the representation that is scored."""
        raise NotImplementedError

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The columns of codes that make up each vector of a representation of vectors; none where codes are numbers.

        Metrics then see each group's first principal component, and the tables say so.
        """
        return ()

    def represent(self, networks: Networks, images: Tensor, factors: Tensor) -> Tensor:
        """The codes that are scored, from images and factors (B, K), at which none but an oracle looks."""
        return self.encode(networks, images)

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the codes (B, D), where the method can."""
        raise NotImplementedError

    def measure(self, networks: Networks, images: Tensor, noise: Noise) -> Terms:
        """What stands in the tables beside the scores, of independent test images (B, C, H, W): means over them."""
        return {}

    def reconstruction_loss(self, logits: Tensor, images: Tensor) -> Tensor:
        """-log p(x|z) of images (B, C, H, W) by the protocol's likelihood, from a decoder's logits: nats an image."""
        from methods.likelihoods import negative_log_likelihood

        return negative_log_likelihood(self.likelihood)(logits, images)

    def report(self, networks: Mapping[str, nn.Module], hyperparameters: Any) -> dict[str, float]:
        """Numbers about a run that stand in the tables beside its scores."""
        return {}


def name_of(batches: Batches) -> str:
    """The images of such batches in words."""
    kind = type(batches).__name__.lower()
    return f"{kind} images" if isinstance(batches, Independent | Labelled) else f"{kind} of images"


def hyperparameter_fields(method: type[Method]) -> dict[str, Field[Any]]:
    """The fields of the method's hyperparameters by name."""
    return {f.name: f for f in fields(method.Hyperparameters)}


def refuse_no_method(cls: Any, name: str) -> None:
    """Raise ValueError where what is to be called so is no class of a method, or declares what no method can."""
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise ValueError(f"{name} is {cls!r}, where a class that builds on methods.base.Method is needed")
    if not (isinstance(cls.version, int) and cls.version >= 1):
        raise ValueError(f"version of {name} is {cls.version!r}; a whole number from 1 is needed")
    if strange := [each for each in cls.checked_with if not hasattr(cls, each)]:
        raise ValueError(f"checked_with of {name} names {strange[0]!r}, which the class has not")
    if not is_dataclass(cls.Hyperparameters):
        raise ValueError(f"Hyperparameters of {name} is no dataclass; write @dataclass(frozen=True) above it")
    if cls.cost is not None and not (_is_number(cls.cost) and cls.cost > 0):
        raise ValueError(f"cost of {name} is {cls.cost!r}; a step's time beside vae's, such as 1.5, or None is needed")
    for each in fields(cls.Hyperparameters):
        if each.default is MISSING:
            raise ValueError(
                f"{name}.{each.name} has no default; declare it with methods.base.hyperparameter or choice"
            )
        for value in (each.default, *each.metadata.get("grid", ())):
            _checked(name, each, value)
    cls.Hyperparameters()


def told_of(hyperparameters: Any) -> dict[str, Any]:
    """What a run's specification holds of them: all values by name, but usual ones of those that came later."""
    declared = ((f, getattr(hyperparameters, f.name)) for f in fields(hyperparameters))
    return {f.name: value for f, value in declared if value != f.default or not f.metadata.get("later")}


def structure_of(hyperparameters: Any) -> dict[str, Any]:
    """The values of the structural hyperparameters by name."""
    structural = [f.name for f in fields(hyperparameters) if f.metadata.get("structural")]
    return {name: getattr(hyperparameters, name) for name in structural}


def hyperparameters_of(method: type[Method], values: Mapping[str, Any]) -> Any:
    """The method's hyperparameters: `values` over its defaults.

    Raises:
        ValueError: a value is no finite number or below its bound, or none of the words to choose from.
        KeyError: the method has no hyperparameter of that name.
    """
    known = hyperparameter_fields(method)
    for name in values:
        if name not in known:
            raise KeyError(name)
    given = {f.name: _checked(method.name, f, values.get(f.name, f.default)) for f in known.values()}
    return method.Hyperparameters(**given)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(method: str, field: Field[Any], value: Any) -> Any:
    told = field.metadata
    if "choices" in told:
        if value not in told["choices"]:
            raise ValueError(f"{method}.{field.name} is {value!r}; choose from {', '.join(told['choices'])}.")
        return value
    number = _is_number(value)
    low, structural = told.get("low", -float("inf")), told.get("structural", False)
    if not number or not max(low, -GREATEST) <= value <= GREATEST or (structural and value != int(value)):
        kind = "whole number" if structural else "number"
        most = f" and at most {GREATEST:g}" if number and value > GREATEST else ""
        raise ValueError(f"{method}.{field.name} is {value!r}; it takes a {kind} of at least {low:g}{most}.")
    return int(value) if structural else float(value)
