"""What runs of a world are scored on beside the uniform grid: its parts, with rows and codes of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.populations import population_of
from benchmark.datasets.worlds import CORRELATED_PART, held_out_of, parts_of
from benchmark.scoring.encoding import Rows, load_again, measure, represent, share_rows
from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder, codes_file
from benchmark.training.harness import stream
from methods.base import Method
from metrics import Metric, Table
from metrics.generalisation import DECLARED

ACROSS = "across"  # the table that trains on what was seen and tests on what was not
MEASURED = "reconstruction"  # of each part, beside that of the uniform grid


@dataclass(frozen=True)
class Part:
    """Some images of a data set and their codes (N, D), those of training rows first."""

    rows: Rows
    codes: np.ndarray


def draw_part(part: str, dataset: FactorDataset, train: int, test: int, seed: int) -> Rows:
    """Rows of one part of the data set's world, decided by the seed, as many as of the uniform grid at most.

    "unseen": distinct images of what is held out. "seen" and "correlated": what training draws; where that is some
    images, all alike, distinct ones, and else draws that are independent of one another.
    """
    if part != "unseen" and CORRELATED_PART in dataset.world:
        train, test = share_rows(len(dataset), train, test)
        generator = torch.Generator().manual_seed(stream(seed, f"rows {part}"))
        drawn = population_of(dataset).draw(train + test, generator).numpy()
    else:
        images = held_out_of(dataset)
        assert images is not None
        chosen = np.asarray(images)
        if part == "seen":
            chosen = np.setdiff1d(np.arange(len(dataset)), chosen, assume_unique=True)
        train, test = share_rows(len(chosen), train, test)
        rng = np.random.default_rng(stream(seed, f"rows {part}"))
        drawn = rng.choice(chosen, train + test, replace=False)
    return Rows(drawn[:train], drawn[train:], seed)


def parts_of_run(spec: RunSpec, dataset: FactorDataset) -> dict[str, Rows]:
    """The rows of each part that a run is scored on; none where training images are all alike."""
    protocol = spec.protocol
    numbers = (protocol.train_rows, protocol.test_rows, spec.seed)
    return {part: draw_part(part, dataset, *numbers) for part in parts_of(dataset.world)}


def encode_parts(
    method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Mapping[str, Rows]
) -> dict[str, Part]:
    """Each part's codes by a trained method."""
    return {part: Part(own, represent(method, networks, dataset, own)) for part, own in rows.items()}


def measure_parts(
    method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Mapping[str, Rows], spec: RunSpec
) -> dict[str, float]:
    """The reconstruction of each part's test rows, `reconstruction@unseen` and so on, in nats an image."""
    measured = {part: measure(method, networks, dataset, own, spec) for part, own in rows.items()}
    return {f"{MEASURED}@{part}": own[MEASURED] for part, own in measured.items() if MEASURED in own}


def read_tables(folder: RunFolder, data_dir: Path | None = None) -> dict[str, Table]:
    """The tables of a run's parts, their codes as they are stored, rounded; without those whose codes are not kept."""
    spec, told = folder.read_json("spec.json"), folder.read_json("scores.json").get("parts", {})
    names = parts_of(spec.get("world", ""))
    if not names:
        return {}
    dataset = load_again(folder, data_dir)
    parts = {}
    for part in names:
        stored = folder.read_arrays(codes_file(part))
        if (
            stored
            and part in told
            and told[part]["train"] < len(stored["rows"])
            and stored["rows"].max() < len(dataset)
        ):
            train, test = np.split(stored["rows"], [told[part]["train"]])
            parts[part] = Part(Rows(train, test), stored["codes"].astype(np.float32))
    return tables_of(parts, dataset)


def tables_of(parts: Mapping[str, Part], dataset: FactorDataset) -> dict[str, Table]:
    """A table of each part, and one `ACROSS` that trains on what was seen and tests on what was not.

    A factor that takes one value only in a table's training rows, such as a shape that is held out, is not in it.
    """
    tables = {}
    for part, own in parts.items():
        n = len(own.rows.train)
        tables[part] = _table(own.codes[:n], own.rows.train, own.codes[n:], own.rows.test, dataset)
    if {"seen", "unseen"} <= {*parts}:
        seen, unseen = parts["seen"], parts["unseen"]
        n = len(seen.rows.train)
        tables[ACROSS] = _table(seen.codes[:n], seen.rows.train, unseen.codes, unseen.rows.all, dataset)
    return tables


def _table(
    codes: np.ndarray, rows: np.ndarray, codes_test: np.ndarray, rows_test: np.ndarray, dataset: FactorDataset
) -> Table:
    factors, factors_test = (dataset.factors(own).cpu().numpy() for own in (rows, rows_test))
    varies = np.ptp(factors, axis=0) > 0
    names = [name for name, kept in zip(dataset.factor_names, varies, strict=True) if kept]
    return Table(codes, factors[:, varies], codes_test, factors_test[:, varies], names)


def scored_on_parts(chosen: Mapping[str, Metric], world: str) -> dict[str, tuple[Metric, str]]:
    """Each metric of a run's parts by the name of its scores, `mig@seen` and so on, and the table it is applied to.

    Where combinations are held out, how well factors are told there by what learned elsewhere is among them.
    """
    parts = parts_of(world)
    scored = {f"{name}@{part}": (metric, part) for part in parts for name, metric in chosen.items()}
    if "unseen" in parts:
        scored |= {f"{DECLARED.name}@seen": (DECLARED, "seen"), f"{DECLARED.name}@unseen": (DECLARED, ACROSS)}
    return scored
