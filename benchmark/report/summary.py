"""What a table of many configurations says: each method at the one that was chosen, and what makes scores differ."""

import numpy as np
import pandas as pd

from benchmark.report.leaderboard import BLOCK, CONFIGURATION, build_leaderboard

SHARES = ["method_share", "hyperparameters_share", "seed_share"]


def choose_configurations(runs: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard of each method's chosen configuration: chosen by every other seed, scored by the rest.

    The seeds of a block are taken in order: the first, third, ... choose, by the best rank that the leaderboard of
    their runs gives a method's configurations; the second, fourth, ... score what was chosen, so that no score chose
    itself. A method of one configuration is scored by the same seeds. Blocks of one seed have no rows.
    """
    finished = runs[runs["state"] == "finished"]
    finished = finished[finished.groupby(BLOCK, observed=True)["seed"].transform("nunique") > 1]
    if finished.empty:
        return build_leaderboard(finished)
    order = finished.groupby(BLOCK, observed=True)["seed"].rank(method="dense")
    choosing = build_leaderboard(finished[order % 2 == 1])
    own = [*BLOCK, "method"]
    ranked = choosing.dropna(subset=["rank"]).sort_values(["rank", "hyperparameters"]).drop_duplicates(own)
    each = finished[CONFIGURATION].drop_duplicates()
    alone = each[~each.duplicated(own, keep=False)]  # also where it has no rank
    chosen = pd.concat([table[CONFIGURATION].astype("str") for table in (ranked, alone)]).drop_duplicates()
    scoring = finished[order % 2 == 0]
    texts = scoring[CONFIGURATION].astype("str")
    kept = pd.MultiIndex.from_frame(texts).isin(pd.MultiIndex.from_frame(chosen))
    return build_leaderboard(scoring[kept])


def share_variance(runs: pd.DataFrame) -> pd.DataFrame:
    """How much of the variance of each headline over runs is of method, hyperparameters and seed: three shares of 1.

    The sums of squares between methods, between configurations of one method, and between runs of one configuration,
    over that of all runs, as the study of Locatello et al. 2019 (section 5.4) does by the variance explained. Of
    methods with two configurations or more that have two seeds or more.

    Returns:
        A row a block and metric: `method_share`, `hyperparameters_share`, `seed_share`, and the number of `methods`,
        `configurations` and `runs`.
    """
    scored = runs[(runs["direction"] != 0) & (runs["state"] == "finished")]
    scored = scored.astype(dict.fromkeys({*BLOCK, *CONFIGURATION, "metric"}, "str"))
    lines = []
    for keys, block in scored.groupby([*BLOCK, "metric"]):
        several = block[block.groupby(["method", "hyperparameters"])["value"].transform("size") > 1]
        swept = several[several.groupby("method")["hyperparameters"].transform("nunique") > 1]
        if swept.empty or not swept["value"].var():
            continue
        by_method = swept.groupby("method")["value"].transform("mean")
        by_configuration = swept.groupby(["method", "hyperparameters"])["value"].transform("mean")
        parts = (by_method - swept["value"].mean(), by_configuration - by_method, swept["value"] - by_configuration)
        squares = np.array([(part**2).sum() for part in parts])
        lines.append(
            dict(zip([*BLOCK, "metric"], keys, strict=True))
            | dict(zip(SHARES, (squares / squares.sum()).round(6), strict=True))
            | {"methods": swept["method"].nunique()}
            | {"configurations": len(swept[["method", "hyperparameters"]].drop_duplicates()), "runs": len(swept)}
        )
    return pd.DataFrame(lines, columns=[*BLOCK, "metric", *SHARES, "methods", "configurations", "runs"])
