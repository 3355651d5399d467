"""What scores of a few seeds allow to be said: of metrics, of methods, of choosing without labels, over data sets.

Each function is one table, of the leaderboard's rows that have a rank and their runs; `write_comparisons` writes all.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.report.leaderboard import BLOCK, CONFIGURATION, CONFIGURED, code_of, contends, write_table
from benchmark.report.statistics import (
    DIGITS,
    adjust_by_holm,
    agreement_of_seeds,
    critical_difference,
    interquartile_mean,
    seeds_needed,
    share_of_seed,
    share_of_wins,
    wins_interval,
)
from benchmark.report.summary import choose_configurations, share_variance
from benchmark.report.worth import normalise_scores

PICKS = "udr"  # chooses without labels
LEAST_DATASETS = 6  # of which a test over data sets says anything
ACROSS = ["preset", "steps", "protocol"]  # what a comparison over data sets holds fixed


def tell_reliability(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """What each headline's ranks are worth in each block: a row a block and metric.

    Columns: `configurations` and `seeds` that have scores; `seed_agreement` (`agreement_of_seeds`); `seeds_needed` for
    ranks of reliability 0.9 (inf: none would do); `neighbours`, pairs of configurations next to each other in rank, and
    how many are `told_apart`; `same_seed_share` (`share_of_seed`).
    """
    lines = []
    for keys, name, scores in _headlines(runs):
        by_seed = scores.pivot_table(index=CONFIGURED, columns="seed", values="value")
        agreement = agreement_of_seeds(by_seed.to_numpy())
        beside = _in_block(board, keys, f"{name}_next_tied").dropna()
        neighbours = len(beside)
        labels = (scores["method"] + " " + scores["hyperparameters"]).to_numpy()
        of_seed = share_of_seed(scores["value"].to_numpy(), labels, scores["seed"].to_numpy())
        apart = neighbours - int(beside.to_numpy().sum())
        told = [*by_seed.shape, agreement, seeds_needed(agreement), neighbours, apart, of_seed]
        lines.append([*keys, name, *told])
    columns = [*BLOCK, "metric", "configurations", "seeds", "seed_agreement", "seeds_needed", "neighbours"]
    return pd.DataFrame(lines, columns=[*columns, "told_apart", "same_seed_share"])


def compare_metrics(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """How far two headlines rank the configurations of a block alike: Kendall's `tau` (b) of their means.

    A row a block and pair, each pair both ways and each metric with itself. Reference: Kendall 1938.
    """
    lines = []
    for keys, rows in board.groupby(BLOCK):
        names = sorted(str(name).removesuffix("_rank") for name in rows if str(name).endswith("_rank"))
        ranks = {name: rows[f"{name}_rank"].to_numpy(float, na_value=np.nan) for name in names}
        for name, other in product(names, repeat=2):
            both = ~np.isnan(ranks[name] + ranks[other])
            if both.sum() > 1:
                tau = stats.kendalltau(ranks[name][both], ranks[other][both]).statistic
                lines.append([*keys, name, other, tau, both.sum()])
    return pd.DataFrame(lines, columns=[*BLOCK, "metric", "other", "tau", "configurations"])


def compare_methods(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """P(A beats B) of each two methods at their best configurations, for each headline: a row a block, metric and pair.

    Columns: `probability` over all pairs of a run of the one and a run of the other (`share_of_wins`), its 95% interval
    `low` and `high` (`wins_interval`), and how many `runs` and `other_runs` it is of. Runs of equal seeds are no pairs.
    The best configuration is so by the same runs, which favours methods of many configurations: `chosen` does not.
    """
    lines: list[list[Any]] = []
    for keys, name, scores in _headlines(runs):
        ranked = _in_block(board, keys, "rank", *CONFIGURED).dropna(subset=["rank"])
        best = ranked.sort_values(["rank", *CONFIGURED]).drop_duplicates("method")
        samples = {own: group["value"].to_numpy() for own, group in scores.groupby(CONFIGURED)}
        direction = scores["direction"].iloc[0]
        chosen = [own for own in best[CONFIGURED].itertuples(index=False, name=None) if own in samples]
        for one, other in combinations(chosen, 2):
            ours, theirs = direction * samples[one], direction * samples[other]
            lines.append([*keys, name, *one, *other, share_of_wins(ours, theirs), len(ours), len(theirs)])
    told = ["method", "hyperparameters", "other", "other_hyperparameters", "probability", "runs", "other_runs"]
    table = pd.DataFrame(lines, columns=[*BLOCK, "metric", *told])
    counts = [table[name].to_numpy(int) for name in ("runs", "other_runs")]
    low, high = wins_interval(table["probability"].to_numpy(float), *counts).T
    return table.assign(low=low.round(6), high=high.round(6))


def choose_without_labels(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """What each method's configuration of the greatest `udr` scores, and its `regret`: what the best one has more.

    A row a block, method of two configurations or more that have one, and headline; `hyperparameters` are the chosen
    ones. The best is of all that have the score.
    """
    lines = []
    if f"{PICKS}_mean" not in board:
        board = board.assign(**{f"{PICKS}_mean": np.nan})
    for keys, name, scores in _headlines(runs):
        rows = _in_block(board, keys, *CONFIGURED, *{f"{PICKS}_mean", f"{name}_mean", f"{name}_rank"})
        for method, own in rows.dropna(subset=[f"{name}_mean", f"{name}_rank"]).groupby("method"):
            agreeing = own.dropna(subset=[f"{PICKS}_mean"])
            if len(agreeing) > 1:
                picked = agreeing.iloc[int(agreeing[f"{PICKS}_mean"].argmax())]
                best = own.iloc[int((own[f"{name}_mean"] * scores["direction"].iloc[0]).argmax())]
                told = [
                    picked["hyperparameters"],
                    picked[f"{name}_mean"],
                    best["hyperparameters"],
                    best[f"{name}_mean"],
                ]
                lines.append([*keys, method, name, len(own), *told, abs(told[3] - told[1])])
    told = ["configurations", "hyperparameters", "score", "best_hyperparameters", "best", "regret"]
    return pd.DataFrame(lines, columns=[*BLOCK, "method", "metric", *told])


def compare_over_datasets(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """Configurations that were tried on the same data sets, two or more: a row each, under one protocol.

    Over the data sets, whole and as they are, on which half of the configurations or more were tried, each the mean of
    its sources, and over the metrics that all runs there have. Columns: the number of `datasets`; `iqm`, the
    interquartile mean over runs and data sets of the normalised score. From six data sets on, of contenders,
    `mean_rank` over them, the `critical_difference` of two mean ranks, and `behind_the_best`: the p-value of Wilcoxon's
    signed-rank test, over data sets, against the row of the best mean rank, adjusted by Holm for the family of all rows
    of that protocol. Of six data sets it is 0.03 for one comparison at the least, and twice that for two.
    """
    own = runs.drop_duplicates("run")[["run", *BLOCK, *CONFIGURED]]
    own = own.astype(dict.fromkeys(own.select_dtypes("category"), "str")).set_index("run")
    own = own[~own["dataset"].str.contains(" ")]  # not of a world
    normalised = normalise_scores(runs).reindex(own.index)
    doubted = pd.MultiIndex.from_frame(board.loc[~contends(board), CONFIGURED])
    lines = []
    for keys, group in own.groupby(ACROSS):
        tried = pd.crosstab([group[name] for name in CONFIGURED], group["dataset"]) > 0
        group = group[group["dataset"].isin(tried.columns[tried.mean() >= 0.5])]
        scores = normalised.loc[group.index]
        score = scores.loc[:, scores.notna().all()].mean(axis=1)
        by_source = (
            group.assign(score=score).groupby([*CONFIGURED, "dataset", "source"], as_index=False)["score"].mean()
        )
        means = by_source.pivot_table(index=CONFIGURED, columns="dataset", values="score").dropna()
        if means.shape[1] < 2:
            continue
        worth = _rank_over_datasets(means, ~means.index.isin(doubted))
        for configured, told in zip(means.index, worth, strict=True):
            of_runs = score[(group[CONFIGURED] == list(configured)).all(axis=1)]
            iqm = round(interquartile_mean(of_runs.to_numpy()), DIGITS)
            lines.append([*keys, *configured, means.shape[1], iqm, *told])
    told = ["datasets", "iqm", "mean_rank", "critical_difference", "behind_the_best"]
    table = pd.DataFrame(lines, columns=[*ACROSS, *CONFIGURED, *told])
    return table.sort_values(
        [*ACROSS, "iqm", *CONFIGURED], ascending=[True, True, True, False, True, True]
    ).reset_index(drop=True)


def _rank_over_datasets(means: pd.DataFrame, contending: np.ndarray) -> np.ndarray:
    """Mean rank, critical difference and adjusted p-value of each contender (rows) over data sets: (rows, 3)."""
    worth = np.full((len(means), 3), np.nan)
    each = np.flatnonzero(contending)
    if means.shape[1] >= LEAST_DATASETS and len(each) > 1:
        own = means.iloc[each]
        worth[each, 0] = own.rank(ascending=False).mean(axis=1)
        worth[each, 1] = critical_difference(*own.shape)
        best = each[worth[each, 0].argmin()]
        others = each[each != best]
        scores = means.to_numpy()
        chances = [stats.wilcoxon(scores[best], scores[row], zero_method="zsplit").pvalue for row in others]
        worth[others, 2] = adjust_by_holm(np.array(chances))
    return worth


def _headlines(runs: pd.DataFrame) -> Iterator[tuple[tuple[Any, ...], str, pd.DataFrame]]:
    """Each block and headline with the scores of its runs."""
    scored = runs[(runs["direction"] != 0) & runs["column"]].dropna(subset=["value"])
    scored = scored.astype(dict.fromkeys(CONFIGURED, "str"))
    for (*keys, name), own in scored.groupby([*BLOCK, "metric"], observed=True):
        yield tuple(keys), str(name), own


def _in_block(board: pd.DataFrame, keys: tuple[Any, ...], *names: str) -> pd.DataFrame:
    """These columns of the block's rows."""
    return board.loc[(board[BLOCK] == list(keys)).all(axis=1), [*names]]


def _of_ranked_rows(runs: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """The finished runs of the rows that have a rank: of one version each, and of present code where there is any."""

    def rows(table: pd.DataFrame) -> pd.MultiIndex:
        texts = table[[*CONFIGURATION, "stale"]].astype("str")
        return pd.MultiIndex.from_frame(texts.assign(stale=texts["stale"].map(code_of)))

    finished = runs[runs["state"] == "finished"]
    return finished[rows(finished).isin(rows(board[board["rank"].notna()]))]


# All but `chosen`, which ranks for itself, are of the runs of ranked rows.
COMPARISONS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
    "variance": lambda runs, _: share_variance(runs),
    "reliability": tell_reliability,
    "agreement": compare_metrics,
    "beats": compare_methods,
    "unlabelled": choose_without_labels,
    "across": compare_over_datasets,
}


def compare_all(runs: pd.DataFrame, board: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each of these tables, by name."""
    ranked, rows = _of_ranked_rows(runs, board), board[board["rank"].notna()]
    return {"chosen": choose_configurations(runs)} | {
        name: compare(ranked, rows) for name, compare in COMPARISONS.items()
    }


def write_comparisons(out: Path, runs: pd.DataFrame, board: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Write each of these tables as `<out>/<name>.csv`, and return them by name."""
    tables = compare_all(runs, board)
    for name, table in tables.items():
        write_table(table, out / f"{name}.csv", rounded=True)
    return tables
