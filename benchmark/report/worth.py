"""What each rank of a table is worth: columns that stand beside it."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.report.statistics import interquartile_mean, rank_intervals, redraw_means, told_apart
from metrics import REGISTRY

PARTS = ("rank_low", "rank_high", "tied", "next_tied")  # beside a rank
ORACLE = "ground_truth"  # whose codes are the factors: it is the best of a table, and no contender


def worth_of_ranks(ranks: pd.DataFrame, scored: pd.DataFrame, blocks: pd.Series, oracle: pd.Series) -> pd.DataFrame:
    """What the ranks of a leaderboard's rows are worth, were the seeds drawn anew (`redraw_means`).

    Args:
        ranks: a row a row of the leaderboard: `rank`, `<metric>_rank` of each headline, all that count in `rank` where
            they rank all rows that have one.
        scored: the runs' headlines: `row`, `run`, `metric`, `value`, `metric_version`, `direction`.
        blocks: each row's block.
        oracle: whether the row is of a method that is told the factors.

    Returns:
        For each rank, whose name ends in "rank", `rank_low` and `rank_high` in its place, its 95% interval; `tied`, 1
        where no contender of its block is told to be better (none for an oracle), and `next_tied`, 1 where the row is
        not told from the one after it, else 0 (none for the last). Where seeds of one of its metrics tell nothing,
        nothing is told by that rank, and where those of all metrics do nothing is told by `rank`.
    """
    worth = {f"{str(rank)[:-4]}{part}": pd.Series(pd.NA, ranks.index, "Int64") for rank in ranks for part in PARTS}
    directions = scored.drop_duplicates("metric").set_index("metric")["direction"]
    for _, values in scored.groupby(scored["row"].map(blocks)):
        wide = values.pivot_table(index=["row", "run"], columns="metric", values="value", observed=True)
        rows, own = np.unique(wide.index.get_level_values("row"), return_inverse=True)
        means, errors = redraw_means(wide.to_numpy(), own)
        signs = -directions[wide.columns].to_numpy()  # less is better
        versions = values.pivot_table(
            index="row", columns="metric", values="metric_version", aggfunc="max", observed=True
        ).astype(float)
        overall = ranks.loc[rows, "rank"].notna().to_numpy()
        places = []
        for name, sign, mean, error in zip(wide.columns, signs, means.T, errors.transpose(2, 0, 1), strict=True):
            own_ranks = ranks.loc[rows, f"{name}_rank"]
            ranked = own_ranks.notna().to_numpy()
            for version in versions.loc[rows[ranked], name].unique():
                alike = np.flatnonzero(ranked & (versions[name] == version).to_numpy())
                _tell(worth, f"{name}_", rows[alike], sign * mean[alike], sign * error[:, alike], oracle)
            if ranked[overall].all() and overall.any():
                drawn = np.full(error.shape, np.nan)
                if not np.isnan(error[:, ranked]).any():
                    drawn[:, ranked] = stats.rankdata(sign * (mean + error)[:, ranked], method="min", axis=1)
                places.append((own_ranks.to_numpy(float, na_value=np.nan)[overall], drawn[:, overall]))
        if overall.any():
            count = int(overall.sum())
            places = [place for place in places if not np.isnan(place[1]).any()] or places
            observed = np.mean([ranked for ranked, _ in places] or [np.zeros(count)], axis=0)
            drawn = np.mean([each for _, each in places] or [np.full((1, count), np.nan)], axis=0)
            _tell(worth, "", rows[overall], observed, drawn - drawn.mean(axis=0), oracle)
    return pd.DataFrame(worth)


def _tell(
    worth: dict[str, pd.Series], name: str, rows: np.ndarray, values: np.ndarray, errors: np.ndarray, oracle: pd.Series
) -> None:
    """What one rank of rows that compare is worth, by what is ranked, less being better."""
    apart = told_apart(values, errors)
    intervals = rank_intervals(values, apart)
    if not np.isnan(errors).any():
        worth[f"{name}rank_low"][rows], worth[f"{name}rank_high"][rows] = intervals.T
    contends = np.flatnonzero(~oracle[rows].to_numpy())
    lows = rank_intervals(values[contends], apart[np.ix_(contends, contends)])[:, 0]
    worth[f"{name}tied"][rows[contends]] = (lows == 1).astype(int)
    order = np.argsort(values, kind="stable")
    worth[f"{name}next_tied"][rows[order[:-1]]] = [int(not apart[after, row]) for row, after in pairwise(order)]


def normalise_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Each run's headlines between chance, 0, and ceiling, 1: a row a run, a column a metric.

    Of the metrics of this project whose score at chance is known as a number (`Metric.at_chance`). A ceiling is the one
    that the run tells, else the greatest score there is.
    """
    # A table is to be the same whatever plugins are loaded.
    known = {name: metric for name, metric in REGISTRY.items() if metric.at_chance is not None and metric.is_ours}
    needed = {metric.at_chance for metric in known.values()} | {f"{name}.ceiling" for name in known} | {*known}
    scored = runs[runs["metric"].isin(needed)].astype({"run": "str", "metric": "str"})
    wide = scored.pivot_table(index="run", columns="metric", values="value")
    nothing = pd.Series(np.nan, wide.index)
    columns = {}
    for name, metric in known.items():
        if name in wide:
            told = wide.get(metric.at_chance) if isinstance(metric.at_chance, str) else nothing.fillna(metric.at_chance)
            ceiling = wide.get(f"{name}.ceiling", nothing).fillna(metric.range[1])
            columns[name] = nothing if told is None else (wide[name] - told) / (ceiling - told)
    return pd.DataFrame(columns, index=wide.index)


def interquartile_means(normalised: pd.DataFrame, rows: pd.Series, ranks: pd.DataFrame, blocks: pd.Series) -> pd.Series:
    """Each ranked row's interquartile mean over its runs of their mean normalised score.

    Over the metrics that rank all rows of the block that have a rank. Reference: Agarwal et al. 2021, "Deep
    reinforcement learning at the edge of the statistical precipice".

    Args:
        normalised: of `normalise_scores`.
        rows: the leaderboard's row of each run, by its name.
        ranks, blocks: as for `worth_of_ranks`.
    """
    ranked = ranks[ranks["rank"].notna()]
    means = pd.Series(np.nan, ranks.index)
    for _, block in ranked.groupby(blocks):
        names = [name for name in normalised if f"{name}_rank" in block and block[f"{name}_rank"].notna().all()]
        if names:
            own = rows[rows.isin(block.index) & rows.index.isin(normalised.index)]
            of_runs = normalised.loc[own.index, names].mean(axis=1, skipna=False).dropna()
            trimmed = of_runs.groupby(own.astype(int)).agg(lambda scores: interquartile_mean(scores.to_numpy()))
            means[trimmed.index] = trimmed
    return means
