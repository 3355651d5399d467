"""Stored runs -> runs.csv -> leaderboard.csv: pure functions of what is stored."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.store import RunFolder, stored_runs, write_atomically

BLOCK = ["dataset", "source", "preset", "steps"]  # what a comparison holds fixed
CONFIGURATION = [*BLOCK, "method", "method_version", "hyperparameters"]
RESAMPLES = 10_000
CONFIDENCE = 0.95
RUN_COLUMNS = ["run", *CONFIGURATION, "seed", "state", "reason", "train_rows", "test_rows", "train_seconds"]
VALUE_COLUMNS = ["metric", "value", "metric_version", "column", "direction"]
ONE_OF_A_VECTOR = re.compile(r"_\d+$")


def collect_runs(out: Path) -> pd.DataFrame:
    """The tidy table: one row a run and metric, of all runs stored under the output folder.

    Columns beyond `RUN_COLUMNS`: `metric` (a metric's headline is named like the metric, its other
    values `<metric>.<name>`), `value`, `metric_version`, `column` (whether it stands in the
    leaderboard) and `direction` (1: higher is better, -1: lower, 0: neither). A run without
    scores has one row without a metric.
    """
    rows = [row for folder in stored_runs(out) for row in _rows_of_run(folder)]
    table = pd.DataFrame(rows, columns=RUN_COLUMNS + VALUE_COLUMNS)
    whole = ["train_rows", "test_rows", "metric_version", "direction"]
    kinds = {"metric": "string", "value": "float64", "column": "boolean"}
    return table.astype(kinds | dict.fromkeys(whole, "Int64"))


def _rows_of_run(folder: RunFolder) -> Iterator[dict[str, Any]]:
    spec, status = folder.read_json("spec.json"), folder.read_json("status.json")
    scores, environment = folder.read_json("scores.json"), folder.read_json("environment.json")
    if not spec:
        return
    finished = status.get("state") == "finished"
    steps, rate = spec["protocol"]["steps"], environment.get("steps_per_second")
    run = {
        "run": folder.path.name,
        **{key: spec[key] for key in ("dataset", "source", "preset", "method", "method_version", "seed")},
        "steps": steps,
        "hyperparameters": " ".join(f"{name}={value:g}" for name, value in spec["hyperparameters"].items()),
        "state": status.get("state", "unfinished"),
        "reason": status.get("reason", ""),
        "train_rows": scores.get("rows", {}).get("train"),
        "test_rows": scores.get("rows", {}).get("test"),
        "train_seconds": round(steps / rate, 1) if rate else None,
    }
    values = list(_values_of_run(scores)) if finished else []
    yield from ({**run, **value} for value in values or [{}])


def _values_of_run(scores: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for metric, scored in scores.get("metrics", {}).items():
        for name, value in scored["values"].items():
            yield {
                "metric": metric if name == "score" else f"{metric}.{name}",
                "value": value,
                "metric_version": scored["version"],
                "column": name in scored["columns"],
                "direction": (1 if scored["higher_is_better"] else -1) if name == "score" else 0,
            }
    for name, value in scores.get("measures", {}).items():
        yield {"metric": name, "value": value, "column": not ONE_OF_A_VECTOR.search(name), "direction": 0}


def build_leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of configurations from the tidy table of runs.

    One row a configuration (data set and source, preset and steps, method and its version,
    hyperparameters); runs whose metric versions differ stand in different rows. Columns:
    `rank` (1 is best; within a block of equal data and budget, by the mean of the ranks that each
    metric's headline gives; ties share the better rank), `seeds`, `failed`, the rows encoded, and for each metric
    `<metric>_n`, `_mean`, `_std` (sample standard deviation), `_low` and `_high` (bootstrap 95%
    interval of the mean over seeds; with few seeds it is too narrow) and, for headlines, `_rank`.
    """
    runs = runs.assign(versions=_conflicting_versions(runs))
    key = [*CONFIGURATION, "versions"]
    one_each = runs.drop_duplicates("run")
    one_each = one_each.assign(seeds=one_each["state"] == "finished", failed=one_each["state"] == "failed")
    table = one_each.groupby(key).agg({"seeds": "sum", "failed": "sum", "train_rows": "max", "test_rows": "max"})
    shown = runs[runs["column"].fillna(False)]
    names = list(dict.fromkeys(shown["metric"]))
    for name in names:
        values = shown[shown["metric"] == name]
        summary = _summaries(values, key).add_prefix(f"{name}_")
        table = table.join(summary)
        table[f"{name}_n"] = table[f"{name}_n"].fillna(0).astype(int)
        direction = values["direction"].iloc[0]
        if direction:
            ranked = table.groupby(BLOCK)[f"{name}_mean"].rank(ascending=bool(direction < 0), method="min")
            table[f"{name}_rank"] = ranked.astype("Int64")
    ranks = [f"{name}_rank" for name in names if f"{name}_rank" in table]
    # A configuration without a score comes last.
    mean_rank = table[ranks].astype(float).mean(axis=1).fillna(np.inf)
    table.insert(0, "rank", mean_rank.groupby(BLOCK).rank(method="min").astype(int))
    return table.reset_index().sort_values([*BLOCK, "rank", "method", "hyperparameters", "versions"], ignore_index=True)


def _conflicting_versions(runs: pd.DataFrame) -> list[str]:
    """For each row, its run's versions of those metrics that its configuration has in several versions."""
    scored = runs.dropna(subset=["metric_version"])
    versions = scored.groupby([*CONFIGURATION, "metric"])["metric_version"].transform("nunique")
    conflicts = scored[versions > 1]
    headlines = conflicts[~conflicts["metric"].str.contains(".", regex=False)]
    texts: dict[str, str] = {}
    for run, metric, version in headlines[["run", "metric", "metric_version"]].itertuples(index=False):
        texts[run] = f"{texts[run]} {metric}={version}" if run in texts else f"{metric}={version}"
    return [texts.get(run, "") for run in runs["run"]]


def _summaries(values: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Count, mean, sample standard deviation and bootstrap interval of `value` for each key."""
    grouped = values.groupby(key)["value"]
    summary = grouped.agg(n="count", mean="mean", std="std").assign(low=np.nan, high=np.nan)
    # All configurations with the same number of seeds are resampled together.
    for seeds, members in summary[summary["n"] > 1].groupby("n"):
        samples = np.stack([grouped.get_group(member).to_numpy() for member in members.index])
        summary.loc[members.index, ["low", "high"]] = bootstrap_interval(samples)
        assert samples.shape[1] == seeds
    return summary


def bootstrap_interval(samples: np.ndarray) -> np.ndarray:
    """Percentile bootstrap 95% intervals of the mean of each row of (configurations, seeds): (configurations, 2).

    The resampling is seeded: equal samples give equal intervals. Reference: Efron 1979.
    """
    n = samples.shape[1]
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
    tail = (1 - CONFIDENCE) / 2
    return np.quantile(samples @ weights.T, [tail, 1 - tail], axis=1).T


def write_tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write runs.csv and leaderboard.csv of the runs stored under the output folder; returns both."""
    runs = collect_runs(out)
    board = build_leaderboard(runs)
    write_atomically(out / "runs.csv", runs.to_csv(index=False, lineterminator="\n").encode())
    write_atomically(
        out / "leaderboard.csv", board.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    )
    return runs, board
