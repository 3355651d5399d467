"""Chosen configurations and shares of variance, from tables that are made up."""

import numpy as np
import pandas as pd
import pytest

from benchmark.report.leaderboard import BLOCK, RUN_COLUMNS, VALUE_COLUMNS, write_table
from benchmark.report.summary import SHARES, choose_configurations, share_variance


def _runs(scores, metric="mig", **block):
    """A tidy table of runs from {(method, hyperparameters, seed): score}."""
    fixed = {"dataset": "d", "source": "s", "preset": "p", "steps": 1, "protocol": "x", "method_version": 1} | block
    fixed |= {
        "state": "finished",
        "reason": "",
        "stale": "",
        "evidence": "measured",
        "remarks": "",
        "train_rows": 9,
        "test_rows": 9,
        "codes": 3,
    }
    lines = [
        fixed
        | {"run": f"{method}-{settings}-{seed}-{block}", "method": method, "hyperparameters": settings, "seed": seed}
        | {"train_seconds": 1.0, "metric": metric, "value": score, "metric_version": 1, "column": True, "direction": 1}
        for (method, settings, seed), score in scores.items()
    ]
    return pd.DataFrame(lines, columns=[*RUN_COLUMNS, *VALUE_COLUMNS])


def test_what_chooses_does_not_score():
    scores = {("a", f"beta={beta}", seed): beta / 10 for beta in (1, 2, 3) for seed in range(4)}
    # By the seeds that choose the second is best, by the others the worst.
    scores |= {("a", "beta=2", seed): 0.9 if seed % 2 == 0 else 0.01 for seed in range(4)}
    scores |= {("b", "", seed): 0.5 for seed in range(4)}
    chosen = choose_configurations(_runs(scores))
    assert chosen[["method", "hyperparameters"]].to_numpy().tolist() == [["b", ""], ["a", "beta=2"]]
    assert chosen["mig_mean"].tolist() == [0.5, pytest.approx(0.01)]
    assert chosen["seeds"].tolist() == [2, 2]


def test_a_choice_by_chance_is_worth_nothing():
    """Of twenty configurations of noise the best by its own seeds is far above 0, the chosen one is not."""
    rng = np.random.default_rng(0)
    means, greatest = [], []
    for _ in range(8):
        runs = _runs({("a", f"beta={beta}", seed): rng.normal() for beta in range(20) for seed in range(4)})
        means += choose_configurations(runs)["mig_mean"].tolist()
        greatest.append(runs.groupby("hyperparameters")["value"].mean().max())
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(len(means))
    assert np.mean(greatest) > 0.7


def test_blocks_choose_for_themselves_and_seeds_count_by_order():
    first = _runs({("a", f"beta={beta}", seed): beta for beta in (1, 2) for seed in (10, 20)})
    second = _runs({("a", f"beta={beta}", seed): -beta for beta in (1, 2) for seed in (3, 4)}, preset="q")
    chosen = choose_configurations(pd.concat([first, second], ignore_index=True)).set_index("preset")
    assert chosen["hyperparameters"].to_dict() == {"p": "beta=2", "q": "beta=1"}


def test_one_seed_scores_nothing():
    assert choose_configurations(_runs({("a", "beta=1", 0): 1.0, ("a", "beta=2", 0): 2.0})).empty


def test_shares_are_those_of_the_model_that_made_the_scores():
    rng = np.random.default_rng(0)
    methods, settings, seeds = 40, 20, 4
    of_method, of_setting = rng.normal(0, 3, methods), rng.normal(0, 2, (methods, settings))
    scores = {
        (f"m{m}", f"beta={b}", s): of_method[m] + of_setting[m, b] + rng.normal()
        for m in range(methods)
        for b in range(settings)
        for s in range(seeds)
    }
    (line,) = share_variance(_runs(scores)).to_dict("records")
    shares = np.array([line[name] for name in SHARES])
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, np.array([9, 4, 1]) / 14, atol=0.12)
    assert (line["methods"], line["configurations"], line["runs"]) == (methods, methods * settings, 3_200)


def test_shares_by_hand():
    scores = {("a", "1", 0): 0, ("a", "1", 1): 2, ("a", "2", 0): 4, ("a", "2", 1): 6}
    scores |= {("b", "1", 0): 10, ("b", "1", 1): 12, ("b", "2", 0): 14, ("b", "2", 1): 16}
    # Means: a 3, b 13, together 8; configurations 1, 5, 11, 15.
    (line,) = share_variance(_runs(scores)).to_dict("records")
    squares = np.array([8 * 25, 8 * 4, 8 * 1])
    assert [line[name] for name in SHARES] == pytest.approx((squares / squares.sum()).tolist(), abs=1e-6)


def test_shares_are_written_as_numbers(tmp_path):
    scores = {("a", f"beta={beta}", seed): beta + seed for beta in (1, 2) for seed in (0, 1)}
    write_table(share_variance(_runs(scores)), tmp_path / "variance.csv", rounded=True)
    read = pd.read_csv(tmp_path / "variance.csv")
    assert all(pd.api.types.is_numeric_dtype(read[name]) for name in SHARES)


def test_what_has_no_choice_or_no_second_seed_has_no_part():
    scores = {("a", f"beta={beta}", seed): beta + seed for beta in (1, 2) for seed in (0, 1)}
    expected = share_variance(_runs(scores))
    more = scores | {("alone", "", seed): 100 * seed for seed in (0, 1)} | {("a", "beta=3", 0): 50}
    pd.testing.assert_frame_equal(share_variance(_runs(more)), expected)
    assert share_variance(_runs({("a", "beta=1", 0): 1.0})).empty
    assert [*share_variance(_runs({})).columns][: len(BLOCK)] == BLOCK
