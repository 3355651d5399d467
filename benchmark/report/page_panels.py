"""All that the page shows of one configuration, and the command that makes it again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import methods
from benchmark.datasets.worlds import CORRELATED_PART, HELD_OUT_PART
from benchmark.presets import PRESETS
from benchmark.report.display import first_line
from benchmark.report.leaderboard import CONFIGURATION
from benchmark.report.page_pictures import Factors, Look, look_at
from benchmark.report.page_tables import MISSING, marks_of, number_of, rank_of, rows_of, show
from benchmark.report.story import rows_by_beta
from benchmark.spec import USUAL_LIKELIHOOD, format_settings
from benchmark.storage.store import run_folder
from methods.base import hyperparameter_fields

MOST_PICTURED = 60  # configurations of the page whose pictures are shown


@dataclass(frozen=True)
class Run:
    """A run of a configuration, for the list of them."""

    name: str
    seed: str
    state: str
    reason: str
    stale: str
    seconds: str


@dataclass(frozen=True)
class Panel:
    """All that is known of a configuration.

    Attributes:
        by: who sent it, and the paper.
        settings: each hyperparameter's name, value and meaning.
        protocol: names and values of what it was trained by.
    """

    id: str
    method: str
    label: str
    about: str
    told: str
    by: str
    settings: Sequence[tuple[str, str, str]]
    protocol: Sequence[tuple[str, str]]
    specification: str
    command: str
    runs: Sequence[Run]
    seed: str
    look: Look


@dataclass
class Shared:
    """What is shared by all blocks while the page is made."""

    out: Path
    factors: Factors = field(default_factory=dict)
    pictured: int = 0

    def may_picture(self) -> bool:
        """Whether one more configuration has its pictures on the page."""
        self.pictured += 1
        return self.pictured <= MOST_PICTURED


# --- panels ------------------------------------------------------------------------------------------


def panels_of(shared: Shared, one_each: pd.DataFrame, rows: pd.DataFrame) -> list[Panel]:
    """A panel a row of the leaderboard; the best and those of the beta sweep have their pictures first."""
    texts = dict.fromkeys({*CONFIGURATION, "run", "state", "reason", "stale"}, "str")
    grouped = one_each.astype(texts).sort_values(["seed", "run"]).groupby(CONFIGURATION, observed=True)
    of_configuration = {tuple(map(str, keys)): own for keys, own in grouped}
    swept = {*rows_by_beta(rows)["target"]} if len(rows) else set()
    records = rows_of(rows)
    first = sorted(records, key=lambda row: row["target"] not in swept)
    pictured = {row["target"] for row in first if shared.may_picture()}
    nothing = one_each.iloc[:0]
    return [
        _panel(shared, row, of_configuration.get(tuple(str(row[name]) for name in CONFIGURATION), nothing), pictured)
        for row in records
    ]


def _panel(shared: Shared, row: Mapping[str, Any], runs: pd.DataFrame, pictured: set[str]) -> Panel:
    finished = runs[runs["state"] == "finished"]
    shown = _most_telling(shared.out, finished if len(finished) else runs)
    folder, seed = run_folder(shared.out, shown[0]), shown[1]
    specification = folder.read_json("spec.json")
    seeds = sorted({int(each) for each in runs["seed"]})
    method = str(row["method"])
    rank, between = rank_of(row)
    told = [f"rank {rank}{f' ({between})' if between else ''}", f"{len(finished)} of {len(runs)} runs finished"]
    protocol, sent = (specification.get(name, {}) for name in ("protocol", "submission"))
    return Panel(
        id=row["target"],
        method=method,
        label=" ".join(filter(None, [method, row["hyperparameters"], row["versions"]])),
        about=first_line(methods.REGISTRY[method].__doc__) if method in methods.REGISTRY else "",
        told=", ".join(filter(None, [*told, marks_of(row)])),
        by=": ".join(str(sent[key]) for key in ("who", "paper") if sent.get(key)),
        settings=_settings(method, specification.get("hyperparameters", {})),
        protocol=[(name, _flat(value)) for name, value in protocol.items()],
        specification=json.dumps({k: v for k, v in specification.items() if k != "seed"}, indent=1),
        command=command_of(specification, seeds),
        runs=[_run(each) for each in rows_of(runs)],
        seed=str(seed),
        look=look_at(folder, seed, shared.factors, row["target"] in pictured),
    )


def _most_telling(out: Path, runs: pd.DataFrame) -> tuple[str, int]:
    """Name and seed of the first run that keeps pictures, else codes, else of the first."""
    each = [(str(run), int(seed)) for run, seed in zip(runs["run"], runs["seed"], strict=True)]
    for file in ("pictures.npz", "codes.npz"):
        for run, seed in each:
            if (run_folder(out, run).path / file).is_file():
                return run, seed
    return each[0] if each else ("", 0)


def _settings(method: str, given: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    fields = hyperparameter_fields(methods.REGISTRY[method]) if method in methods.REGISTRY else {}
    values = zip(given, format_settings(given, ""), strict=True)
    meanings = {name: str(own.metadata.get("meaning", "")) for name, own in fields.items()}
    return [(name, text.removeprefix(name), meanings.get(name, "")) for name, text in values]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        named = {name: _flat(each) for name, each in value.items() if each not in ({}, "")}
        return ", ".join(each if name == "name" else f"{name} {each}" for name, each in named.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _run(row: Mapping[str, Any]) -> Run:
    seconds = show(number_of(row["train_seconds"])).replace(MISSING, "")
    return Run(row["run"], str(row["seed"]), row["state"], row["reason"], row["stale"], seconds)


def command_of(specification: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """The command that makes runs of a stored specification again, with those seeds; none where somebody sent it."""
    if "submission" in specification or not {"dataset", "method", "preset", "source", "protocol"} <= {*specification}:
        return ""
    method, preset = str(specification["method"]), str(specification["preset"])
    words = ["python", "run_benchmark.py", "--datasets", str(specification["dataset"]), "--methods", method]
    for setting in format_settings(specification.get("hyperparameters", {})):
        words += ["--set", f"{method}.{setting}"]
    words += ["--seeds", write_seeds(seeds), "--preset", preset]
    steps = specification["protocol"].get("steps")
    if preset not in PRESETS or PRESETS[preset].steps != steps:
        words += ["--steps", str(steps)]
    usual = PRESETS[preset].likelihood if preset in PRESETS else USUAL_LIKELIHOOD
    if (likelihood := specification["protocol"].get("likelihood", USUAL_LIKELIHOOD)) != usual:
        words += ["--likelihood", str(likelihood)]
    for part in str(specification.get("world", "")).split():
        for prefix, option in ((CORRELATED_PART, "--correlated"), (HELD_OUT_PART, "--hold-out")):
            words += [option, part.removeprefix(prefix)] if part.startswith(prefix) else []
    words += ["--data-dir", "DIR"] if specification["source"] != "rendered" else []
    words += ["--plugin", "FILE.py"] if method not in methods.REGISTRY else []
    return shlex.join(words)


def write_seeds(seeds: Sequence[int]) -> str:
    """Seeds as the command line takes them: `0-4,7`."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and parts[-1][1] == seed - 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
