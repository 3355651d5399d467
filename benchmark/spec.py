"""What a run is: its specification, the name that follows from it, and sweeps of them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import methods
from benchmark import datasets
from benchmark.errors import UsageError, blaming, unknown
from benchmark.presets import PRESETS, Preset
from methods.base import Method, hyperparameter_fields, hyperparameters_of, told_of

if TYPE_CHECKING:
    from metrics import Metric  # which brings numpy

# The fields of a preset that decide results, and so a run's name.
PROTOCOL = ("architecture", "latents", "steps", "batch", "optimiser", "train_rows", "test_rows")

USUAL_LIKELIHOOD = "bernoulli"
LEAST_VARIANCE = 1e-6  # of a Gaussian likelihood

UNFIT = re.compile(r"[^A-Za-z0-9._+-]")  # for a file's name, anywhere
DIGEST_LETTERS = 10  # that end a run's name
MOST_LETTERS = 180  # of a file's name, before what tells it from others

# How a run's scores are known: trained and scored here; of codes that somebody sent, scored here; of such codes that
# their weights gave again here; told by somebody. What is weaker stands earlier in the alphabet.
CLAIMED, MEASURED, RECOMPUTED, VERIFIED = "claimed", "measured", "recomputed", "verified"
EVIDENCE = (CLAIMED, MEASURED, RECOMPUTED, VERIFIED)
# What the remarks on codes hold that no encoder gives; a row with such remarks leads nothing.
AS_LABELS = "all but exactly, as made of labels"
APART = "as labels or noise do and no encoder does"
SUBMITTED = "submitted"  # in place of a preset, of runs whose codes somebody sent; of mere claims it is "claimed"

Setting = float | str  # a hyperparameter's value


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's result, and nothing else.

    Hyperparameters that are not given take the method's defaults; 4 and 4.0 are one run.

    Attributes:
        source: where the data set's images come from (`FactorDataset.source`).
        steps: None takes the preset's.
        likelihood: "bernoulli", or "gaussian:V" with the variance V of a pixel and channel; None takes the preset's.
        world: what training images are drawn from, as `datasets.load` takes it; empty: all images alike.
        seed: at least 0; decides the initial weights, the batches, the noise and the scored rows.

    Raises:
        UsageError: a name is unknown or a value out of its range.
    """

    method: str
    hyperparameters: Mapping[str, Setting] = field(default_factory=dict, hash=False)
    dataset: str = "dsprites"
    preset: str = "quick"
    seed: int = 0
    steps: int | None = None
    source: str = "rendered"
    likelihood: str | None = None
    world: str = ""

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise unknown("preset", self.preset, PRESETS)
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative; seeds are 0, 1, 2, ...")
        steps = PRESETS[self.preset].steps if self.steps is None else self.steps
        if steps < 1:
            raise UsageError(f"steps is {steps}; at least 1 is needed.")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "likelihood", read_likelihood(self.likelihood or PRESETS[self.preset].likelihood))
        object.__setattr__(self, "hyperparameters", told_of(self.resolve_hyperparameters()))

    @property
    def method_class(self) -> type[Method]:
        return find_method(self.method)

    @property
    def protocol(self) -> Preset:
        """The preset with this run's number of steps and likelihood."""
        assert self.steps is not None and self.likelihood is not None
        return replace(PRESETS[self.preset], steps=self.steps, likelihood=self.likelihood)

    def resolve_hyperparameters(self) -> Any:
        """The method's hyperparameters as its own frozen dataclass."""
        cls = self.method_class
        try:
            with blaming(f"{cls.name} refuses its hyperparameters", KeyError, ValueError):
                return hyperparameters_of(cls, self.hyperparameters)
        except KeyError as error:
            raise _no_such_hyperparameter(cls, error.args[0]) from error
        except ValueError as error:
            raise UsageError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain values, with the protocol spelt out: what `spec.json` holds.

        What came later to a specification is told where it is not as usual, so that names of runs stay.
        """
        protocol = {name: value for name, value in asdict(self.protocol).items() if name in PROTOCOL}
        if self.likelihood != USUAL_LIKELIHOOD:
            protocol["likelihood"] = self.likelihood
        return {
            "method": self.method,
            "method_version": self.method_class.version,
            "hyperparameters": dict(self.hyperparameters),
            "dataset": self.dataset,
            "dataset_version": datasets.VERSIONS.get(self.dataset, 1),
            "source": self.source,
            "preset": self.preset,
            "protocol": protocol,
            "seed": self.seed,
            **({"world": self.world} if self.world else {}),
        }

    @property
    def run_id(self) -> str:
        """A name to read, ended by the SHA-256 of the canonical JSON: `betavae-beta4-dsprites-quick-s0-3f9c...`."""
        return name_run(self.to_dict())


def is_doubted(remarks: str) -> bool:
    """Whether remarks say that codes are labels, or tell equal images apart, so that they are no contender's."""
    return AS_LABELS in remarks or APART in remarks


def name_run(stored: Mapping[str, Any]) -> str:
    """The name that a stored specification gives a run, as `RunSpec.run_id`."""
    settings = format_settings(stored["hyperparameters"], "")
    label, preset, _ = labels_of(stored)
    name = file_name([stored["method"], *settings, label, preset, f"s{stored['seed']}"])
    return f"{name}-{digest(stored)}"


def read_likelihood(text: str) -> str:
    """A likelihood's one name: "bernoulli", or "gaussian:V" with a variance, 1 where none is given.

    Raises:
        UsageError: it is neither.
    """
    kind, colon, variance = text.partition(":")
    if text == USUAL_LIKELIHOOD:
        return text
    try:
        value = float(variance if variance.isascii() and not set(variance) & set("_ ") else "nan") if colon else 1.0
        if kind == "gaussian" and LEAST_VARIANCE <= value <= 1 / LEAST_VARIANCE:
            return f"gaussian:{canonical_json(value)}"
    except ValueError:
        pass
    raise UsageError(
        f"likelihood is {text!r}; it takes bernoulli, gaussian, or gaussian:V with a variance such as 0.1."
    )


def labels_of(stored: Mapping[str, Any]) -> tuple[str, str, str]:
    """Data set, preset and protocol as tables name them, from a stored specification: with what is not as usual."""
    dataset = " ".join(filter(None, (stored["dataset"], stored.get("world"))))
    preset = " ".join(filter(None, (stored["preset"], stored["protocol"].get("likelihood"))))
    return dataset, preset, protocol_digest(stored)


def find_method(name: str) -> type[Method]:
    """The registered method of that name; UsageError with the nearest one if there is none."""
    refuse_unknown_method(name)
    return methods.REGISTRY[name]


def refuse_unknown_method(name: str) -> None:
    """As `find_method` does, without waiting for any import."""
    known = methods.names()
    if name not in known:
        raise unknown("method", name, known)


def chosen_metrics(names: str | Iterable[str]) -> dict[str, "Metric"]:
    """The metrics of those names, or of one, with options that stand in them, each once; "all" is all that there are.

    Raises:
        UsageError: there is no such metric, or it has no such option.
    """
    import metrics

    chosen: dict[str, Metric] = {}
    for name in [names] if isinstance(names, str) else names:
        chosen |= metrics.REGISTRY if name == "all" else {name: _find_metric(name)}
    return chosen


def _find_metric(name: str) -> "Metric":
    import metrics

    base = name.partition("[")[0]
    if base in metrics.UNASKED:
        raise UsageError(f"{base} cannot be chosen: tables have it where their runs have what it takes; leave it out.")
    if base not in metrics.REGISTRY:
        raise unknown("metric", base, [*metrics.REGISTRY, "all"])
    try:
        return metrics.find(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def format_settings(hyperparameters: Mapping[str, Setting], equals: str = "=") -> list[str]:
    """Each hyperparameter as `name=value`, exactly: different values give different texts."""
    return [f"{name}{equals}{format_value(value)}" for name, value in hyperparameters.items()]


def format_value(value: Setting) -> str:
    """A hyperparameter's value, exactly."""
    return value if isinstance(value, str) else canonical_json(value)


def file_name(parts: Iterable[str]) -> str:
    """The parts as one name that no file system takes for a path, nor for too long a name."""
    name = UNFIT.sub("_", "-".join(parts))[:MOST_LETTERS]
    return f"_{name}" if name.startswith((".", "-")) else name


def protocol_digest(stored: Mapping[str, Any]) -> str:
    """What tells protocols apart whatever their preset's name, from a stored specification."""
    told = digest({"protocol": stored["protocol"], "dataset_version": stored["dataset_version"]})
    return f"p{told}"  # digits alone, or 20e3106086, would be read from a table as a number


def digest(value: Any) -> str:
    """The first characters of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:DIGEST_LETTERS]


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, whole numbers without a fraction."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def expand(
    method_names: Iterable[str],
    grids: Mapping[tuple[str, str], Sequence[Setting]],
    sources: Mapping[str, str],
    seeds: Iterable[int],
    preset: str,
    steps: int | None,
    likelihood: str | None = None,
    worlds: Mapping[str, str] = MappingProxyType({}),
) -> list[RunSpec]:
    """Every run of a sweep: each method over its grids, on each data set, for each seed.

    Args:
        grids: values for each (method, hyperparameter); one that is not named keeps its default.
        sources: each data set's name and source.
        worlds: what training images are drawn from, of each data set of which not all alike.

    Returns:
        The runs without repetition, seeds outermost, so that an unfinished sweep compares all methods.
    """
    specs: dict[str, RunSpec] = {}
    seeds, method_names = list(seeds), list(method_names)
    for method, name in grids:
        if method not in method_names:
            raise UsageError(f"{method}.{name} is set, but {method!r} is not among the methods of this sweep.")
    for seed, (dataset, source), method in product(seeds, sources.items(), method_names):
        own = {name: values for (owner, name), values in grids.items() if owner == method}
        world = worlds.get(dataset, "")
        for values in product(*own.values()):
            settings = dict(zip(own, values, strict=True))
            spec = RunSpec(method, settings, dataset, preset, seed, steps, source, likelihood, world)
            specs[spec.run_id] = spec
    return list(specs.values())


def _no_such_hyperparameter(cls: type[Method], name: str) -> UsageError:
    known = hyperparameter_fields(cls)
    if not known:
        return UsageError(f"{cls.name} has no hyperparameters, so {name!r} cannot be set.")
    return unknown(f"hyperparameter of {cls.name}", name, known)
