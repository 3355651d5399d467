"""DCI by fast trees: the same story as `dci` in a hundredth of the time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.dci import BREAKS, CEILING, CHANCE, COLUMNS, Fitted, summarise
from metrics.prediction import draw_seed, drop_dead, spare_cores

STEPS, RATE = 100, 0.1
TIE = 1e-9  # by how much of a logit the first of equally likely classes leads
TREES = {"max_depth": 3, "num_leaves": 8, "min_data_in_leaf": 1, "min_data_in_bin": 1}  # as scikit-learn's
MANY_ROWS = 5_000
BINS, BINS_OF_MANY = 255, 63  # of a code; fewer save a third of the time, but blur where rows are few
PLAIN = {
    "learning_rate": RATE,
    "boost_from_average": False,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
# LightGBM counts rows by their share of the curvature, and gives up where a leaf has next to none.
LEAST_CURVATURE = (1e-3, 1e-2, 1e-1)

SUMS = [f"{kind}_{what}" for kind in ("leaf", "internal") for what in ("value", "weight", "count")]
FIELDS = ("num_leaves", "split_feature", "left_child", "right_child", *SUMS)


@register(
    version=2,  # 2: completeness over codes that vary
    chance=CHANCE,
    at_chance=0,
    ceiling=CEILING,
    reference="Eastwood and Williams 2018, section 2; trees of LightGBM (Ke et al. 2017), importances corrected",
    names=(
        "score",
        "disentanglement",
        "completeness",
        "informativeness_test",
        "completeness_<factor>",
        "informativeness_test_<factor>",
    ),
    columns=COLUMNS,
    breaks=BREAKS,
    cost="seconds",
)
def dci_fast(table: Table, rng: np.random.Generator) -> Values:
    """DCI with histogram trees, within 0.05 of `dci` on 10,000 rows but not to be compared with it.

    As `dci`, by 100 steps of LightGBM's trees of depth 3. LightGBM sums gains that weight rows by the
    curvature of the loss; here each split is weighed as scikit-learn does, by its decrease of squared
    residuals, worked out from the trees. `tests/benchmarks/dci_fast_against_dci.py` compares the two.

    Returns:
        score, disentanglement, completeness, informativeness_test and each factor's: see `dci`.

    Raises:
        ValueError: LightGBM cannot grow trees on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(2, size=(300, 2))
        >>> round(dci_fast(Table(factors, factors), rng)["disentanglement"], 3)
        1.0
    """
    seed = draw_seed(rng)
    alive = drop_dead(table.codes, table.codes_test)
    lows, ranges = alive[0].min(0), np.ptp(alive[0], axis=0)
    # Trees do not depend on scales, but LightGBM takes numbers near 0 for 0.
    train, test = ((codes - lows) / np.where(ranges > 0, ranges, 1) for codes in alive)
    columns = list(zip(table.factors.T, table.factors_test.T, strict=True))
    largest_first = np.argsort(-table.factors.max(0), kind="stable")
    first, which = _match_codes(train)
    train, test = train[:, first], test[:, first]
    with ThreadPoolExecutor(spare_cores()) as pool:
        found = {k: pool.submit(_fit, train, columns[k][0], test, columns[k][1], seed) for k in largest_first}
    importances, right = zip(*(found[k].result() for k in range(len(columns))), strict=True)
    importances = np.stack(importances, axis=1)[which] / np.bincount(which)[which, None]
    fitted = Fitted(importances, np.array(right), np.array(right))
    values = summarise(table, fitted)
    del values["informativeness_train"]  # predicting the training rows would take as long as all else
    return values


def _match_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of each kind of codes that order the rows alike, up to direction, and the kind of each code (D,).

    Equally good splits fall to one of such codes at random in `dci`, and always to the first in LightGBM.
    """
    ranks = [np.unique(code, return_inverse=True)[1] for code in codes.T]
    orders = [min(rank.tobytes(), (rank.max() - rank).tobytes()) for rank in ranks]
    first, which = np.unique([orders.index(order) for order in orders], return_inverse=True)
    return first, which


def _fit(
    train: np.ndarray, factor: np.ndarray, test: np.ndarray, factor_test: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """The codes' importances for the factor (D,), and the share of the test rows that is told right."""
    import lightgbm  # takes a third of a second to import

    values, labels, counts = np.unique(factor, return_inverse=True, return_counts=True)
    seen = np.isin(factor_test, values)  # all others are told wrong
    several = len(values) > 2
    objective, metric = ("multiclass", "multi_error") if several else ("binary", "binary_error")
    start = np.log(counts / len(factor))
    # LightGBM counts a tie of classes as wrong; here the first of them is the guess, as in `dci`.
    start = start - TIE * np.arange(len(values)) if several else start[1:] - start[:1]
    parameters = {"objective": objective, "num_class": len(values) if several else 1, "metric": metric, "seed": seed}
    known = np.searchsorted(values, factor_test[seen])
    bins = BINS if len(train) < MANY_ROWS else BINS_OF_MANY
    for least in LEAST_CURVATURE:
        chosen = parameters | TREES | PLAIN | {"max_bin": bins, "min_sum_hessian_in_leaf": least}
        # Scores to start from are given class by class.
        data = lightgbm.Dataset(train, labels, init_score=np.repeat(start, len(train)), params=chosen)
        booster = lightgbm.Booster(chosen, data)
        if seen.any():
            judge = lightgbm.Dataset(test[seen], known, data, init_score=np.repeat(start, seen.sum()), params=chosen)
            booster.add_valid(judge, "test")
        try:
            for _ in range(STEPS):
                booster.update()
            break
        except lightgbm.basic.LightGBMError as error:
            reason = str(error).splitlines()[0]
    else:
        raise ValueError(f"dci_fast cannot grow trees on these rows: {reason}.")
    wrong = booster.eval_valid()[0][2] if seen.any() else 1.0
    return _weigh_splits(booster.model_to_string(), train.shape[1]), (1 - wrong) * float(seen.mean())


def _weigh_splits(model: str, latents: int) -> np.ndarray:
    """The decrease of squared residuals by all splits of each code (D,), from LightGBM's text of its trees.

    A node's value is -RATE * G / H and its weight H: sums over its rows of gradients (the residuals,
    negative) and of curvatures. A split of n rows into two lowers the sum of squares by
    G_left^2 / n_left + G_right^2 / n_right - G^2 / n.
    """
    numbers = _read_trees(model)
    if not numbers["split_feature"].size:
        return np.zeros(latents)
    leaves = numbers["num_leaves"].astype(int)
    first_leaf, first_split = np.cumsum(leaves) - leaves, np.cumsum(leaves - 1) - (leaves - 1)
    of_leaves, of_splits = (
        np.stack([numbers[f"{kind}_value"] * numbers[f"{kind}_weight"], numbers[f"{kind}_count"]])
        for kind in ("leaf", "internal")
    )

    def fall(side: str) -> tuple[np.ndarray, np.ndarray]:
        """Sum of gradients, and that squared over the number of rows, of each split's child on that side."""
        child = numbers[f"{side}_child"].astype(int)
        split = np.repeat(first_split, leaves - 1) + np.maximum(child, 0)
        leaf = np.repeat(first_leaf, leaves - 1) + np.maximum(~child, 0)
        gradient, rows = np.where(child >= 0, of_splits[:, split], of_leaves[:, leaf])
        return gradient, gradient**2 / np.maximum(rows, 1)

    (left, left_share), (right, right_share) = fall("left"), fall("right")
    decrease = left_share + right_share - (left + right) ** 2 / of_splits[1]
    return np.bincount(numbers["split_feature"].astype(int), np.maximum(decrease, 0), latents)


def _read_trees(model: str) -> dict[str, np.ndarray]:
    """All numbers of each of `FIELDS`, tree after tree, without the trees that are a single leaf."""
    lines: dict[str, list[str]] = {name: [] for name in FIELDS}
    for tree in model.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in tree.split("\n") if "=" in line)
        if fields["num_leaves"] != "1":
            for name, found in lines.items():
                found.append(fields[name])
    return {name: np.array(" ".join(found).split(), dtype=float) for name, found in lines.items()}
