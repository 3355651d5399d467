"""Stored runs -> runs.csv -> leaderboard.csv: pure functions of what is stored."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import methods
import metrics
from benchmark import datasets
from benchmark.plugins import Code, scored_by, trained_by
from benchmark.report.statistics import DIGITS, mean_intervals
from benchmark.report.worth import ORACLE, PARTS, interquartile_means, normalise_scores, worth_of_ranks
from benchmark.spec import CLAIMED, MEASURED, format_settings, is_doubted, labels_of
from benchmark.storage.store import RunFolder, find_copies, open_atomically, stored_runs
from metrics.base import WIDE
from metrics.generalisation import DECLARED
from metrics.options import base_of

BLOCK = ["dataset", "source", "preset", "steps", "protocol"]  # what a comparison holds fixed
CONFIGURATION = [*BLOCK, "method", "method_version", "hyperparameters"]
CONFIGURED = ["method", "hyperparameters"]  # what tells configurations of one block apart, whatever the version
COUNTED = ["train_rows", "test_rows", "codes"]
RUN_COLUMNS = ["run", *CONFIGURATION, "seed", "state", "reason", "stale", "evidence", "remarks", *COUNTED]
RUN_COLUMNS += ["train_seconds"]
VALUE_COLUMNS = ["metric", "value", "metric_version", "column", "direction"]
TEXTS = ["run", "dataset", "source", "preset", "protocol", "method", "hyperparameters", "state", "reason", "stale"]
TEXTS += ["evidence", "remarks"]
KINDS = dict.fromkeys([*COUNTED, "steps", "method_version", "seed"], "Int64") | dict.fromkeys(TEXTS, "category")
VALUE_KINDS = {
    "metric": "category",
    "value": "float64",
    "metric_version": "Int64",
    "column": "bool",
    "direction": "int64",
}
SUMMARY = ("n", "mean", "std", "low", "high")  # of a metric's values, as its columns are named
WRITTEN = 50_000  # rows at a time
WRITTEN_TEXTS = {*TEXTS, "metric", "versions"}
NO_TEXT = "none"  # in the files, in place of an empty text, which would be read as a missing number
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would execute
# What pandas reads as a missing number or a truth, and other readers in other letters too.
NO_TEXTS = {NO_TEXT, "null", "na", "n/a", "<na>", "#na", "#n/a", "#n/a n/a", "1.#ind", "1.#qnan", "true", "false"}
DAMAGED, COPY = "damaged", "copy"  # states of folders that do not count: of what cannot be read, or counts elsewhere
READ = ("spec.json", "scores.json", "status.json")  # without which it cannot
CODE = re.compile(r"(?:method|data set) \S+ was of (?:other )?code(?: \w+)?")
OPTIONS = re.compile(r"\[.*\]")  # in a metric's name
ONE_OF_A_VECTOR = re.compile(r"_\d+$")

Value = tuple[str, float | None, int | None, bool, int]  # a row's VALUE_COLUMNS
NOTHING: Value = ("", None, None, False, 0)


class Found(NamedTuple):
    """A stored run: its columns, the cells of each of its values, and the code of what trained and scored it."""

    run: dict[str, Any]
    cells: list[Value]
    codes: Mapping[str, Code]


def collect_runs(out: Path) -> pd.DataFrame:
    """The tidy table: one row a run and metric, of all runs stored under the output folder.

    Columns beyond `RUN_COLUMNS`: `metric` (a metric's headline is named like the metric, its other
    values `<metric>.<name>`), `value`, `metric_version`, `column` (whether it stands in the
    leaderboard) and `direction` (1: higher is better, -1: lower, 0: neither). A run without
    scores has one row whose metric is an empty text, as every text is where there is none.
    `stale` says what of a run was made by an older version of its method, its data set or a
    metric than the present one, or by other code of a plugin (of one that is not loaded: where there are runs of
    several). `evidence` says how its scores are known
    (`spec.EVIDENCE`), and `remarks` what is odd about codes: vectors that were brought to numbers, or what
    `scoring.scrutiny` found.
    """
    runs: list[dict[str, Any]] = []
    counts: list[int] = []
    values: list[list[Any]] = [[] for _ in VALUE_COLUMNS]
    found = [_read_run(folder) for folder in stored_runs(out)]
    found += [_without_configuration(name, COPY, f"of {kept}") for name, kept in find_copies(out).items()]
    _mark_codes(found)
    for run, own, _ in sorted(found, key=lambda each: str(each.run["run"])):
        runs.append(run)
        counts.append(len(own))
        for column, cells in zip(values, zip(*own, strict=True), strict=True):
            column.extend(cells)
    table = pd.DataFrame(runs, columns=RUN_COLUMNS).astype(KINDS)
    table = table.take(np.repeat(np.arange(len(runs)), counts)).reset_index(drop=True)
    told = zip(VALUE_COLUMNS, values, strict=True)
    table = table.assign(**{name: pd.Series(cells, dtype=VALUE_KINDS[name]) for name, cells in told})
    # What a method measures under a name that is, or has become, a metric's is in no column of that metric.
    ranked = table["metric"].isin(table.loc[table["direction"] != 0, "metric"])
    measured = table["metric_version"].isna() & (table["direction"] == 0)
    return table.assign(column=table["column"] & ~(ranked & measured))


def _read_run(folder: RunFolder) -> Found:
    try:
        return _read_sound_run(folder)
    except (KeyError, TypeError, AttributeError):
        unread = [name for name in READ if not folder.read_json(name)]
        told = "cannot be read" if unread else "say too little"
        return _without_configuration(folder.path.name, DAMAGED, f"its {' and '.join(unread or READ)} {told}")


def _without_configuration(name: str, state: str, reason: str) -> Found:
    """What stands in runs.csv, but in no row of the leaderboard."""
    return Found(dict.fromkeys(TEXTS, "") | {"run": name, "state": state, "reason": reason}, [NOTHING], {})


def tell_left_out(runs: pd.DataFrame) -> list[str]:
    """A sentence on each folder of a run that does not count, as it is damaged or a copy."""
    said = {DAMAGED: "{} is damaged and does not count: {}", COPY: "{} is a copy {} and does not count"}
    each = runs.loc[runs["state"].isin([*said]), ["run", "state", "reason"]].astype("str")
    return [said[state].format(run, reason) for run, state, reason in each.itertuples(index=False, name=None)]


def _read_sound_run(folder: RunFolder) -> Found:
    spec, status = folder.read_json("spec.json"), folder.read_json("status.json")
    if not status and (folder.path / "status.json").is_file():
        raise KeyError("state")
    scores, environment = folder.read_json("scores.json"), folder.read_json("environment.json")
    finished = status.get("state") == "finished"
    seconds = environment.get("seconds")
    dataset, preset, protocol = labels_of(spec)
    # Of what was sent and lost what it is, nothing is known.
    sent = folder.read_json("submission.json") if "submission" in spec else {"evidence": MEASURED}
    claimed = spec["preset"] == CLAIMED
    rows = scores["rows"] if finished and not claimed else {}
    run = {
        "run": folder.path.name,
        **{key: spec[key] for key in ("source", "method", "method_version", "seed")},
        "dataset": dataset,
        "preset": preset,
        "steps": spec["protocol"]["steps"],
        "protocol": protocol,
        "hyperparameters": " ".join(format_settings(spec["hyperparameters"])),
        "state": status.get("state", "unfinished"),
        "reason": status.get("reason", ""),
        "stale": "; ".join(_older_versions(spec, scores if finished else {})),
        "evidence": sent.get("evidence", CLAIMED),
        "remarks": "; ".join([*sent.get("remarks", []), *filter(None, [scores.get("grouped")])]),
        "train_rows": rows["train"] if rows else None,
        "test_rows": rows["test"] if rows else None,
        "codes": scores.get("codes") if finished else None,
        # Of a pack, a run's share.
        "train_seconds": None if seconds is None else round(seconds / environment["pack"], 1),
    }
    values = [*_values_of_run(scores, claimed), *_agreement_of_run(folder)] if finished else []
    codes = trained_by(spec, environment) | scored_by(scores if finished else {})
    return Found(run, values or [NOTHING], codes)


def _older_versions(spec: dict[str, Any], scores: dict[str, Any]) -> Iterator[str]:
    """What an older version than the present one made; of a plugin not loaded nothing is known."""
    method, dataset = spec["method"], spec["dataset"]
    made: dict[str, tuple[int, Any]] = {}
    if "submission" not in spec:
        made[f"method {method}"] = spec["method_version"], methods.REGISTRY.get(method)
    for name, scored in scores.get("metrics", {}).items() if spec["preset"] != CLAIMED else ():
        made[name] = scored["version"], (metrics.REGISTRY | {DECLARED.name: DECLARED}).get(base_of(name))
    versions = [(what, version, getattr(present, "version", version)) for what, (version, present) in made.items()]
    versions += [("data set", spec["dataset_version"], datasets.VERSIONS.get(dataset, spec["dataset_version"]))]
    for what, version, present in versions:
        if version < present:
            yield f"{what} was at version {version}, now {present}"


def _mark_codes(found: Sequence[Found]) -> None:
    """Tell what was made by other code of a plugin than its present one, or than another run's where that is not known.

    Such a metric's values take no part in the leaderboard.
    """
    made: dict[str, set[str]] = defaultdict(set)
    for each in found:
        for what, code in each.codes.items():
            made[what] |= {code.made} if code.made and code.present is None else set()
    for each in found:
        marked = {
            what: f"{what} was of {'other code' if code.differs else 'code'} {code.made}".rstrip()
            for what, code in each.codes.items()
            if code.differs or (code.made and len(made[what]) > 1)
        }
        each.run["stale"] = "; ".join(filter(None, [each.run["stale"], *marked.values()]))
        for place, (name, value, version, _, _) in enumerate(each.cells if marked else ()):
            if any(name == what or name.startswith(f"{what}.") for what in marked):
                each.cells[place] = name, value, version, False, 0


def code_of(stale: str) -> str:
    """What `stale` tells of the code of a run's method and data set: runs of which it differs are no seeds of one."""
    return "; ".join(CODE.findall(stale))


def _values_of_run(scores: dict[str, Any], claimed: bool) -> Iterator[Value]:
    for metric, scored in scores["metrics"].items():
        columns, direction = scored["columns"], scored["direction"]
        version = None if claimed else scored["version"]
        for name, value in scored["values"].items():
            headline = name == "score"
            yield _name(metric, name), value, version, name in columns, direction if headline else 0
    for name, value in scores["measures"].items():
        yield intern(name), value, None, not ONE_OF_A_VECTOR.search(name), 0


def _agreement_of_run(folder: RunFolder) -> Iterator[Value]:
    stored = folder.read_json("agreement.json")
    for name, value in stored.get("values", {}).items():
        yield _name("udr", name), value, stored.get("version"), True, 0


@cache
def _name(metric: str, value: str) -> str:
    return metric if value == "score" else f"{metric}.{value}"


def build_leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of configurations from the tidy table of runs.

    One row a configuration (data set and source, protocol, method and its version,
    hyperparameters); runs whose metric versions differ, or that other code of a plugin made, stand in
    different rows. Columns:
    `rank` (1 is best; within a block of equal data and protocol, by the mean of the ranks that the headlines give, but
    for those of one seed each where others have more; ties share the better rank; blank without scores or where they
    are but claimed, where a block mixes versions of a metric, for a method that stands there as it is at present too,
    and for codes so many that most metrics leave them out), `rank_low` and `rank_high` (its 95% interval), `tied` (1
    where the seeds tell no contender of its block to be better, else 0), `next_tied` (1 where they do not tell it from
    the row after it), all of
    `worth_of_ranks`, `iqm` (of `interquartile_means`), `seeds`, `failed`, `stale` (what an older version than the
    present one made), the rows encoded, the number of codes, and for each metric `<metric>_n`, `_mean`, `_std` (sample
    standard deviation), `_low` and `_high` (95% interval of the mean over seeds, see `mean_intervals`) and, for
    headlines, `_rank`, `_rank_low`, `_rank_high`, `_tied` and `_next_tied`.
    """
    one_each = runs.drop_duplicates("run").set_index("run", drop=False)
    one_each = one_each.assign(versions=_conflicting_versions(runs, one_each))
    one_each = one_each.assign(seeds=one_each["state"] == "finished", failed=one_each["state"] == "failed")
    told = ("stale", "evidence", "remarks")
    one_each = one_each.astype(dict.fromkeys(told, "string"))
    one_each["code"] = one_each["stale"].map(code_of).astype("str")
    key = [*CONFIGURATION, "versions"]
    rows = one_each.groupby([*key, "code"], observed=True)
    kept: dict[str, Any] = {
        "seeds": "sum",
        "failed": "sum",
        "stale": "max",
        "evidence": "min",
        "remarks": _join_remarks,
    }
    table = rows.agg(kept | dict.fromkeys(COUNTED, "max"))
    table = table.reset_index().astype(dict.fromkeys({*key} & {*TEXTS}, "str"))
    table["current"] = _are_current(table) & (table["evidence"] != CLAIMED)
    shown = runs[runs["column"]]
    shown = shown.assign(row=shown["run"].map(rows.ngroup()).astype("Int64")).dropna(subset=["row"])
    table = pd.concat([table, _columns_of_metrics(shown, table)], axis=1).copy()  # in one piece
    table.insert(len(key), "rank", _overall_rank(table))
    table = _tell_worth(table.drop(columns=["current", "code"]), runs, shown)
    return table.sort_values([*BLOCK, "rank", "method", "hyperparameters", "versions", "stale"], ignore_index=True)


def _join_remarks(texts: pd.Series) -> str:
    """The remarks of a row's runs, each once."""
    return "; ".join(dict.fromkeys(remark for text in texts.unique() if text for remark in text.split("; ")))


def _are_current(table: pd.DataFrame) -> pd.Series:
    """Whether no other row of the method in its block that is scored is newer: of a newer version or present code.

    Where rows are of several codes of which none is known to be the present one, none is.
    """
    own = [table[level] for level in (*BLOCK, "method")]
    scored = table["seeds"] > 0
    newest = scored & (table["method_version"] == table["method_version"].where(scored).groupby(own).transform("max"))
    fresh = newest & (table["code"] == "")
    alone = table["code"].where(newest).groupby(own).transform("nunique") == 1
    return fresh | (newest & alone)


def _columns_of_metrics(shown: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Each metric's columns, for the configurations in the table."""
    blocks = table.groupby(BLOCK).ngroup()
    shown = shown.astype({"metric": "str", "row": int})
    each = shown.drop_duplicates("metric")[["metric", "direction"]].itertuples(index=False, name=None)
    summaries = _summaries(shown.dropna(subset=["value"]), blocks)
    nothing = pd.DataFrame(np.nan, table.index, SUMMARY)
    columns: dict[str, pd.Series] = {}
    for name, direction in each:
        own = summaries.get(name, nothing).reindex(table.index)
        columns |= {f"{name}_{part}": own[part] for part in SUMMARY}
        columns[f"{name}_n"] = own["n"].fillna(0).astype(int)
        if direction:
            # Rounded, as means of equal scores differ in their last digit.
            means = own["mean"].where(table["current"]).round(DIGITS)
            versions = shown[shown["metric"] == name].groupby("row")["metric_version"].max().reindex(table.index)
            alike = means.groupby([blocks, versions])
            columns[f"{name}_rank"] = alike.rank(ascending=bool(direction < 0), method="min").astype("Int64")
    return pd.DataFrame(columns, index=table.index)


def _overall_rank(table: pd.DataFrame) -> pd.Series:
    """The rank of the mean rank, within a block, over the metrics that rank all of its scored rows at one version.

    One of which no row has two seeds, as one that was added to an archive, is left out where others have more.
    """
    ranks = table.filter(regex="_rank$").astype(float)
    compared = (table["seeds"] > 0) & table["current"] & ~(table["codes"] > WIDE).fillna(False)
    ranks, blocks = ranks[compared], [table.loc[compared, level] for level in BLOCK]
    complete = ranks.isna().groupby(blocks).transform("sum") == 0
    counts = [f"{str(name).removesuffix('_rank')}_n" for name in ranks]
    seeds = table.loc[compared, counts].set_axis(ranks.columns, axis=1)
    sure = complete & (seeds.groupby(blocks).transform("max") > 1)
    complete = sure.where(sure.any(axis=1), complete)
    # Where a block mixes versions, each version has ranks of its own, which do not compare.
    names = {str(name).removesuffix("_rank") for name in ranks}
    mixed = [[each.rpartition("=")[0] for each in text.split()] for text in table.loc[compared, "versions"]]
    alike = np.array([names.isdisjoint(each) for each in mixed], bool)
    mean = ranks.where(complete & alike[:, None]).mean(axis=1)
    return mean.groupby(blocks).rank(method="min").astype("Int64").reindex(table.index)


def _tell_worth(table: pd.DataFrame, runs: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """The table with what its ranks are worth beside them."""
    scored = shown[shown["direction"] != 0].dropna(subset=["value", "metric_version"])  # claims have none
    ranks, blocks = table.filter(regex="(^|_)rank$"), table.groupby(BLOCK).ngroup()
    worth = worth_of_ranks(ranks, scored, blocks, ~contends(table))
    rows = scored.drop_duplicates("run").astype({"run": "str"}).set_index("run")["row"]
    worth["iqm"] = interquartile_means(normalise_scores(runs), rows, ranks, blocks)
    columns = [*table, *worth]
    places = {name: place for place, name in enumerate(table)}
    beside = {name: places[re.sub(f"({'|'.join(PARTS)})$", "rank", name)] for name in worth.columns if name != "iqm"}
    order = sorted(columns, key=lambda name: places.get(name, beside.get(name, places["rank"])))
    return pd.concat([table, worth], axis=1)[order].copy()  # in one piece


def contends(table: pd.DataFrame) -> pd.Series:
    """Which rows are of codes that an encoder gave, as far as is known: not the true factors, nor what is doubted."""
    return (table["method"] != ORACLE) & ~table["remarks"].map(is_doubted).astype(bool)


def _conflicting_versions(runs: pd.DataFrame, one_each: pd.DataFrame) -> pd.Series:
    """For each run, its versions of those metrics that its block has in several versions."""
    metric = runs["metric"].astype("category")
    headlines = [name for name in metric.cat.categories if "." not in OPTIONS.sub("", name)]
    scored = runs.loc[runs["metric_version"].notna() & metric.isin(headlines), ["run", "metric", "metric_version"]]
    scored["block"] = scored["run"].map(one_each.groupby(BLOCK, observed=True).ngroup())
    versions = scored.groupby(["block", "metric"], observed=True)["metric_version"].transform("nunique")
    conflicts = scored[versions > 1]
    texts: dict[str, str] = {}
    for run, name, version in conflicts[["run", "metric", "metric_version"]].itertuples(index=False):
        texts[run] = f"{texts[run]} {name}={version}" if run in texts else f"{name}={version}"
    # A run without scores stands beside the others of its configuration.
    own = dict(zip(one_each["run"], one_each[CONFIGURATION].itertuples(index=False, name=None), strict=True))
    first = {own[run]: texts[run] for run in reversed(texts)}
    unscored = set(runs.loc[runs["metric"] == "", "run"])
    return pd.Series(
        {run: first.get(own[run], "") if run in unscored else texts.get(run, "") for run in own}, dtype=str
    )


def _summaries(present: pd.DataFrame, blocks: pd.Series) -> dict[str, pd.DataFrame]:
    """By metric the `SUMMARY` of each `row`'s values: count, mean, sample deviation, interval of the mean."""
    present = present.sort_values(["metric", "row"], kind="stable")
    summary = present.groupby(["metric", "row"])["value"].agg(n="count", mean="mean", std="std")
    samples = np.split(present["value"].to_numpy(), summary["n"].cumsum()[:-1])
    ends = np.full((len(summary), 2), np.nan)
    names, rows = (summary.index.get_level_values(level) for level in ("metric", "row"))
    for places in summary.groupby([names, blocks[rows].to_numpy()]).indices.values():
        ends[places] = mean_intervals([samples[place] for place in places])
    summary = summary.assign(low=ends[:, 0], high=ends[:, 1])
    return {str(name): own.droplevel("metric") for name, own in summary.groupby(level="metric")}


def short_labels(rows: pd.DataFrame) -> list[str]:
    """Each configuration's method, with those hyperparameters in which the method's configurations differ."""
    told = rows["hyperparameters"].str.split()
    alike = {method: set.intersection(*map(set, own)) for method, own in told.groupby(rows["method"])}
    pairs = zip(rows["method"], told, strict=True)
    return [" ".join([method, *(each for each in own if each not in alike[method])]) for method, own in pairs]


def write_tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write runs.csv and leaderboard.csv of the runs stored under the output folder; returns both.

    In the files, though not in what is returned, an empty text is `none`, and a text that a spreadsheet would take for
    a formula, or pandas for a number, a truth or nothing, begins with an apostrophe: `pandas.read_csv` as it is gives
    texts where there were texts.
    """
    runs = collect_runs(out)
    board = build_leaderboard(runs)
    write_table(runs, out / "runs.csv")
    write_table(board, out / "leaderboard.csv", rounded=True)
    return runs, board


def write_table(table: pd.DataFrame, path: Path, rounded: bool = False) -> None:
    """Write a table as `write_tables` says, its numbers to six digits where they are to be rounded."""
    if rounded:
        table = table.assign(**table.select_dtypes("float64").map("{:.6g}".format, na_action="ignore"))
    with open_atomically(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([_as_text(str(name)) for name in table])
        for start in range(0, len(table), WRITTEN):
            part = table.iloc[start : start + WRITTEN]
            writer.writerows(zip(*(_cells(part[name]) for name in part), strict=True))
        text.detach()  # flushed


def _cells(column: pd.Series) -> list[Any]:
    """The values, None where a number is missing, each text as one that is read as a text."""
    if column.name in WRITTEN_TEXTS:
        column = column.map(_as_text)
    return column.astype(object).where(column.notna(), None).tolist()


def _as_text(text: str) -> str:
    taken = text.startswith(FORMULA) or text.lower() in NO_TEXTS or _is_number(text)
    return f"'{text}" if taken else text or NO_TEXT


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
