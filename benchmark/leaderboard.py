"""Stored runs -> runs.csv -> leaderboard.csv: pure functions of what is stored."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.spec import format_settings, protocol_digest
from benchmark.store import RunFolder, stored_runs, write_atomically
from metrics.base import WIDE

BLOCK = ["dataset", "source", "preset", "steps", "protocol"]  # what a comparison holds fixed
CONFIGURATION = [*BLOCK, "method", "method_version", "hyperparameters"]
RESAMPLES = 10_000
CONFIDENCE = 0.95
RUN_COLUMNS = ["run", *CONFIGURATION, "seed", "state", "reason", "train_rows", "test_rows", "codes", "train_seconds"]
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
    whole = ["train_rows", "test_rows", "codes", "metric_version", "direction"]
    kinds = {"metric": "string", "value": "float64", "column": "boolean"}
    return table.astype(kinds | dict.fromkeys(whole, "Int64"))


def _rows_of_run(folder: RunFolder) -> Iterator[dict[str, Any]]:
    try:
        yield from _rows_of_sound_run(folder)
    except (KeyError, TypeError, AttributeError):
        # Without a configuration it stands in runs.csv, but in no row of the leaderboard.
        yield {"run": folder.path.name, "state": "damaged", "reason": "its spec.json or scores.json cannot be read"}


def _rows_of_sound_run(folder: RunFolder) -> list[dict[str, Any]]:
    spec, status = folder.read_json("spec.json"), folder.read_json("status.json")
    scores, environment = folder.read_json("scores.json"), folder.read_json("environment.json")
    finished = status.get("state") == "finished"
    seconds = environment.get("seconds")
    run = {
        "run": folder.path.name,
        **{key: spec[key] for key in ("dataset", "source", "preset", "method", "method_version", "seed")},
        "steps": spec["protocol"]["steps"],
        "protocol": protocol_digest(spec),
        "hyperparameters": " ".join(format_settings(spec["hyperparameters"])),
        "state": status.get("state", "unfinished"),
        "reason": status.get("reason", ""),
        "train_rows": scores["rows"]["train"] if finished else None,
        "test_rows": scores["rows"]["test"] if finished else None,
        "codes": scores.get("codes") if finished else None,
        # Of a pack, a run's share.
        "train_seconds": None if seconds is None else round(seconds / environment["pack"], 1),
    }
    values = [*_values_of_run(scores), *_agreement_of_run(folder)] if finished else []
    return [{**run, **value} for value in values or [{}]]


def _values_of_run(scores: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for metric, scored in scores["metrics"].items():
        for name, value in scored["values"].items():
            yield {
                "metric": metric if name == "score" else f"{metric}.{name}",
                "value": value,
                "metric_version": scored["version"],
                "column": name in scored["columns"],
                "direction": scored["direction"] if name == "score" else 0,
            }
    for name, value in scores["measures"].items():
        yield {"metric": name, "value": value, "column": not ONE_OF_A_VECTOR.search(name), "direction": 0}


def _agreement_of_run(folder: RunFolder) -> Iterator[dict[str, Any]]:
    stored = folder.read_json("agreement.json")
    for name, value in stored.get("values", {}).items():
        yield {
            "metric": "udr" if name == "score" else f"udr.{name}",
            "value": value,
            "metric_version": stored["version"],
            "column": True,
            "direction": 0,
        }


def build_leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of configurations from the tidy table of runs.

    One row a configuration (data set and source, protocol, method and its version,
    hyperparameters); runs whose metric versions differ stand in different rows. Columns:
    `rank` (1 is best; within a block of equal data and protocol, by the mean of the ranks that the
    headlines give; ties share the better rank; blank without scores, where a block mixes versions
    of a metric, and for codes so many that most metrics leave them out), `seeds`, `failed`, the rows
    encoded, the number of codes, and for each metric `<metric>_n`, `_mean`, `_std` (sample standard
    deviation), `_low` and `_high` (bootstrap 95% interval of the mean over seeds; with few seeds it is
    too narrow) and, for headlines, `_rank`.
    """
    runs = runs.assign(versions=_conflicting_versions(runs))
    key = [*CONFIGURATION, "versions"]
    one_each = runs.drop_duplicates("run")
    one_each = one_each.assign(seeds=one_each["state"] == "finished", failed=one_each["state"] == "failed")
    sums, greatest = (
        dict.fromkeys(("seeds", "failed"), "sum"),
        dict.fromkeys(("train_rows", "test_rows", "codes"), "max"),
    )
    table = one_each.groupby(key).agg(sums | greatest)
    shown = runs[runs["column"].fillna(False)]
    columns = [_columns_of(str(name), values, key, table) for name, values in shown.groupby("metric", sort=False)]
    table = pd.concat([table, *columns], axis=1)
    table = pd.concat([_overall_rank(table).rename("rank"), table], axis=1).copy()  # in one piece
    return table.reset_index().sort_values([*BLOCK, "rank", "method", "hyperparameters", "versions"], ignore_index=True)


def _columns_of(name: str, values: pd.DataFrame, key: list[str], table: pd.DataFrame) -> pd.DataFrame:
    """A metric's columns, for the configurations in the table."""
    index = table.index
    columns = _summaries(values, key).add_prefix(f"{name}_").reindex(index)
    columns[f"{name}_n"] = columns[f"{name}_n"].fillna(0).astype(int)
    direction = values["direction"].iloc[0]
    if direction:
        versions = values.groupby(key)["metric_version"].max().reindex(index)
        means = columns[f"{name}_mean"].groupby([index.get_level_values(level) for level in BLOCK] + [versions])
        columns[f"{name}_rank"] = means.rank(ascending=bool(direction < 0), method="min").astype("Int64")
    return columns


def _overall_rank(table: pd.DataFrame) -> pd.Series:
    """The rank of the mean rank, within a block, over the metrics that rank all of its scored rows at one version."""
    ranks = table.filter(regex="_rank$").astype(float)
    ranks = ranks[(table["seeds"] > 0) & ~(table["codes"] > WIDE).fillna(False)]
    blocks = [ranks.index.get_level_values(level) for level in BLOCK]
    complete = ranks.isna().groupby(blocks).transform("sum") == 0
    # Where a block mixes versions, each version has ranks of its own, which do not compare.
    mixed = ranks.index.get_level_values("versions") != ""
    mean = ranks.where(complete & ~mixed[:, None]).mean(axis=1)
    return mean.groupby(blocks).rank(method="min").astype("Int64").reindex(table.index)


def _conflicting_versions(runs: pd.DataFrame) -> list[str]:
    """For each row, its run's versions of those metrics that its block has in several versions."""
    scored = runs[runs["metric_version"].notna() & ~runs["metric"].str.contains(".", regex=False).fillna(False)]
    conflicts = scored[scored.groupby([*BLOCK, "metric"])["metric_version"].transform("nunique") > 1]
    texts: dict[str, str] = {}
    for run, metric, version in conflicts[["run", "metric", "metric_version"]].itertuples(index=False):
        texts[run] = f"{texts[run]} {metric}={version}" if run in texts else f"{metric}={version}"
    # A run without scores stands beside the others of its configuration.
    configurations = runs[CONFIGURATION].itertuples(index=False, name=None)
    own = dict(zip(runs["run"], configurations, strict=True))
    first = {own[run]: texts[run] for run in reversed(texts)}
    unscored = set(runs.loc[runs["metric"].isna(), "run"])
    return [first.get(own[run], "") if run in unscored else texts.get(run, "") for run in runs["run"]]


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
