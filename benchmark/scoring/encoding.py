"""Encodes images once: the codes that every metric is applied to, and what else a model says of the same rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.own import OWN
from benchmark.errors import UsageError, one_line
from benchmark.scoring.applying import chosen_metrics
from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder
from benchmark.training.harness import flatten_terms, stream
from benchmark.training.pack import callable_networks
from methods.base import Method
from metrics import REGISTRY, Table, Values, is_a_columns
from metrics.base import GREATEST_CODE
from metrics.grouping import Groups, reduce_groups

ENCODE_BATCH = 256
FEW = 4  # parts of what an encoder gave that a message names
PROBED_IMAGES = 1_000  # on which the models of one configuration are compared
Encode = Callable[[Tensor], Tensor]  # images (B, C, H, W) -> codes (B, D)


@dataclass(frozen=True)
class Rows:
    """The random images a run is scored on: indices of distinct training and test rows.

    Attributes:
        seed: decides what of the images is drawn, where something is, once for all that looks at them.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int = 0

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.train, self.test])

    def batches(self, dataset: FactorDataset, test: bool = False) -> list[tuple[Tensor, Tensor]]:
        """The indices and places of all rows, or of those for testing, some at a time, where the data set is."""
        indices = torch.from_numpy(self.all).to(dataset.device)
        generator = torch.Generator().manual_seed(stream(self.seed, "drawn parts"))
        places = dataset.draw(indices, generator)
        if test:
            indices, places = indices[len(self.train) :], places[len(self.train) :]
        return [*zip(torch.split(indices, ENCODE_BATCH), torch.split(places, ENCODE_BATCH), strict=True)]


def draw_rows(dataset: FactorDataset, train: int, test: int, seed: int) -> Rows:
    """Random rows of the data set, decided by the seed; of a small one all, two thirds to train on."""
    train, test = share_rows(len(dataset), train, test)
    rng = np.random.default_rng(stream(seed, "rows"))
    drawn = rng.choice(len(dataset), train + test, replace=False)
    return Rows(drawn[:train], drawn[train:], seed)


def share_rows(there: int, train: int, test: int) -> tuple[int, int]:
    """How many rows train and test where so many images are there: as wanted, or all, two thirds to train on."""
    return (train, test) if train + test <= there else (there - there // 3, there // 3)


def rows_of_run(spec: RunSpec, dataset: FactorDataset) -> Rows:
    """The rows that a run is scored on: decided by its seed, as many as its preset says."""
    return draw_rows(dataset, spec.protocol.train_rows, spec.protocol.test_rows, spec.seed)


def encode_rows(encode: Encode, dataset: FactorDataset, rows: Rows) -> Table:
    """Codes and factors of the rows.

    Raises:
        ValueError: `encode` gives anything else than numbers (B, D), finite and of one D throughout.
    """
    with torch.no_grad():
        parts = [_as_codes(encode(dataset.at(places)), len(places)) for _, places in rows.batches(dataset)]
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f"the encoder gives {widths[0]} codes for some images and {widths[-1]} for others.")
    return as_table(np.concatenate(parts), dataset, rows)


def _as_codes(given: Any, images: int) -> np.ndarray:
    """The codes (images, D) that an encoder gave, as float64."""
    if not isinstance(given, Tensor | np.ndarray):
        told, choice = _describe(given)
        raise ValueError(
            f"the encoder gives {one_line(told)}, where codes are one tensor (batch, D); "
            f"say which they are, for example by encode=lambda images: encoder(images){one_line(choice)}."
        )
    if given.is_complex() if isinstance(given, Tensor) else given.dtype.kind not in "biuf":
        raise ValueError(f"the encoder gives {given.dtype}, where codes are real numbers.")
    if tuple(given.shape[:1]) != (images,) or given.ndim != 2:
        shape = tuple(given.shape)
        raise ValueError(f"what the encoder gives as codes has shape {shape}, where ({images}, D) for {images} images.")
    return given.detach().cpu().to_dense().double().numpy() if isinstance(given, Tensor) else given.astype(np.float64)


def _describe(given: Any) -> tuple[str, str]:
    """What an encoder gave, in words, and how codes might be chosen from it."""
    kind = type(given).__name__
    if isinstance(given, Mapping):
        keys = [repr(key) for key in given]
        return f"{kind} with {_few(keys)}", f"[{keys[0]}]" if keys else "..."
    if isinstance(given, tuple | list):
        return f"{kind} of {_few([type(part).__name__ for part in given])}", "[0]"
    return kind, ".mean" if isinstance(given, Distribution) else "..."


def _few(parts: Sequence[str]) -> str:
    return ", ".join([*parts[:FEW], *(["..."] if len(parts) > FEW else [])]) or "nothing"


def as_table(codes: np.ndarray, dataset: FactorDataset, rows: Rows, groups: Groups | None = None) -> Table:
    """Codes (N, D) of all the rows, those of training first, and their factors; codes by groups as `Table` has it."""
    factors = dataset.factors(rows.all).cpu().numpy()
    n = len(rows.train)
    return Table(codes[:n], factors[:n], codes[n:], factors[n:], dataset.factor_names, groups=groups)


def encode_table(method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows) -> Table:
    """Codes and factors of the rows, encoded by a trained method in float32."""
    return as_table(represent(method, networks, dataset, rows), dataset, rows)


def read_table(folder: RunFolder, data_dir: Path | None = None) -> Table:
    """Codes of a run's scored rows as they are stored, rounded, with their factors.

    Raises:
        UsageError: it keeps none, they are damaged, or the data that tell the factors are not there as they were.
    """
    if not folder.keeps_codes:
        raise UsageError("no codes are kept")
    stored, scores = folder.read_arrays("codes.npz"), folder.read_json("scores.json")
    if not stored or not scores.get("rows"):
        raise UsageError(f"{'scores.json' if stored else 'codes.npz'} is damaged")
    dataset = load_again(folder, data_dir)
    first, rows = scores["rows"]["train"], stored["rows"]
    if not first < len(rows) or rows.max() >= len(dataset):
        raise UsageError("codes.npz is of other rows than scores.json")
    return as_table(stored["codes"].astype(np.float32), dataset, Rows(rows[:first], rows[first:]))


def load_again(folder: RunFolder, data_dir: Path | None) -> FactorDataset:
    """A run's data set, in its world, for the factors of its images.

    On a grid they follow from the index, wherever images come from; a table is that of the source.

    Raises:
        UsageError: they cannot be told any more.
    """
    spec = folder.read_json("spec.json")
    if not spec:
        raise UsageError("spec.json is damaged")
    dataset = datasets.load(str(spec.get("dataset")), "cpu", data_dir, spec.get("world", ""))
    if dataset.source != spec["source"] and (dataset.table is not None or spec["source"].startswith(OWN)):
        raise UsageError("the data are not there as they were")
    return dataset


def encode_probe(method: Method, networks: nn.ModuleDict, dataset: FactorDataset) -> np.ndarray:
    """Codes (N, D) by a trained method of images that are the same for every run on the data set."""
    return represent(method, networks, dataset, draw_rows(dataset, PROBED_IMAGES, 0, seed=0))


@torch.inference_mode()
def represent(method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows) -> np.ndarray:
    """Codes (N, D) of all the rows, those of training first, by a trained method in float32; of groups, one each.

    Where there are groups, what brings them to a number is fitted on the training rows.
    """
    called = callable_networks(networks, "fp32")
    parts = [
        method.represent(called, dataset.at(places), dataset.factors(indices)).float()
        for indices, places in rows.batches(dataset)
    ]
    codes = torch.cat(parts).cpu().numpy()
    if groups := method.groups():
        n = len(rows.train)
        codes = np.concatenate(reduce_groups(codes[:n], codes[n:], groups)[:2])
    return codes


def score_encoder(
    encoder: nn.Module | Encode,
    dataset: FactorDataset,
    *,
    encode: Encode | None = None,
    metrics: str | Iterable[str] = "all",
    train_rows: int = 10_000,
    test_rows: int = 5_000,
    seed: int = 0,
) -> dict[str, Values]:
    """Score a module or function of one's own, trained elsewhere, on a data set of ours.

    Args:
        encoder: takes images (B, C, H, W) in [0, 1] and gives codes (B, D), a tensor or a numpy array. A module is
            given them on its own device, in its own precision, while it is in evaluation mode.
        encode: what gives the codes where the encoder by itself does not: a function of the images, such as
            `lambda images: encoder(images)[0]`, `lambda images: encoder(images).mean` or `model.encode`.
        train_rows, test_rows: distinct random images to encode, as many as there are at most.
        seed: decides the rows and the metrics' random streams.

    Raises:
        UsageError: there is no metric of that name.
        ValueError: the codes are no finite (B, D), or a metric cannot score them.
    """
    chosen = chosen_metrics(metrics)
    rows = draw_rows(dataset, train_rows, test_rows, seed)
    chooses = encoder if encode is None else encode
    with _evaluating(encoder):
        table = encode_rows(lambda images: chooses(_fit_to(encoder, images)), dataset, rows)
    return {name: metric.score(table, seed) for name, metric in chosen.items()}


@contextmanager
def _evaluating(encoder: nn.Module | Encode) -> Iterator[None]:
    """Keep a module, with all its parts, in evaluation mode for the block."""
    modules = [*encoder.modules()] if isinstance(encoder, nn.Module) else []
    modes = [(module, module.training) for module in modules]
    try:
        for module in modules[:1]:
            module.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _fit_to(encoder: nn.Module | Encode, images: Tensor) -> Tensor:
    """The images on a module's device, in its precision."""
    weights = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    first = next((weight for weight in weights if weight.is_floating_point()), None)
    return images if first is None else images.to(first.device, first.dtype)


@torch.inference_mode()
def measure(
    method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows, spec: RunSpec
) -> dict[str, float]:
    """What the table says beside the metrics.

    Returns:
        What the method measures on the test rows (such as `reconstruction`, `kl` and `kl_per_latent_<j>`,
        in nats an image, one sample of the posterior each), and reports of itself (such as `beta`).
    """
    called = callable_networks(networks, "fp32")
    noises = torch.Generator(dataset.device).manual_seed(stream(spec.seed, "measured noise"))
    sums: dict[str, Tensor] = {}
    for _, places in rows.batches(dataset, test=True):
        noise = {
            name: torch.randn(shape, generator=noises, device=dataset.device)
            for name, shape in method.noise_shapes(len(places)).items()
        }
        for name, term in method.measure(called, dataset.at(places), noise).items():
            sums[name] = sums.get(name, torch.zeros_like(term)) + term * len(places)
    means = flatten_terms({name: total[None] / len(rows.test) for name, total in sums.items()})
    return with_report(means[0] if means else {}, method, networks, spec.resolve_hyperparameters())


def with_report(
    measured: Mapping[str, float], method: Method, networks: nn.ModuleDict, hyperparameters: Any
) -> dict[str, float]:
    """What was measured, and what the method reports of itself, as plain numbers.

    Raises:
        ValueError: it cannot stand in the tables beside scores.
    """
    given = {**measured, **method.report(dict(networks), hyperparameters)}
    for name, value in given.items():
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"{method.name} measures {name!r}, which is no name; letters, digits and _ make one.")
        if is_a_columns(name) or (name in REGISTRY and REGISTRY[name].is_ours):
            raise ValueError(f"{method.name} measures {name!r}, which is a metric's name or a table's; choose another.")
        if not isinstance(value, float | int) or not abs(value) <= GREATEST_CODE:
            raise ValueError(f"{method.name} measures {value!r} for {name!r}, where a finite number is needed.")
    return {name: float(value) for name, value in given.items()}
