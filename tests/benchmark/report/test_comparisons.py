"""What few seeds allow to be said, from tables that are made up."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.report.comparisons import (
    COMPARISONS,
    choose_without_labels,
    compare_methods,
    compare_metrics,
    compare_over_datasets,
    tell_reliability,
    write_comparisons,
)
from benchmark.report.leaderboard import build_leaderboard, collect_runs
from benchmark.spec import APART
from tests.benchmark.report.test_summary import _runs

SEEDS = 6


def _scores(means, spread=0.01, seed=0, seeds=SEEDS):
    rng = np.random.default_rng(seed)
    return {(*own, each): mean + spread * rng.normal() for own, mean in means.items() for each in range(seeds)}


def _tables(*scores, metrics=("mig", "sap", "dci_fast"), **block):
    runs = pd.concat(
        [_runs(own, metric, **block) for own, metric in zip(scores, metrics, strict=False)], ignore_index=True
    )
    return runs, build_leaderboard(runs)


def test_the_best_is_told_from_what_is_far_and_not_from_what_is_near():
    means = {("a", ""): 0.9, ("b", ""): 0.899, ("c", ""): 0.5, ("d", ""): 0.1}
    _, board = _tables(_scores(means), _scores(means, seed=1))
    board = board.set_index("method")
    assert board["tied"].to_dict() == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert board["mig_tied"].to_dict() == {"a": 1, "b": 1, "c": 0, "d": 0}
    first, second = board.index[:2]
    assert board["next_tied"].dropna().to_dict() == {first: 1, second: 0, "c": 0}
    assert board[["rank_low", "rank_high"]].loc[["c", "d"]].to_numpy().tolist() == [[3, 3], [4, 4]]
    assert board[["rank_low", "rank_high"]].loc[["a", "b"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_the_true_factors_lead_and_are_no_contender():
    _, board = _tables(_scores({("ground_truth", ""): 1.0, ("a", ""): 0.5, ("b", ""): 0.1}))
    board = board.set_index("method")
    assert board["rank"].to_dict() == {"ground_truth": 1, "a": 2, "b": 3}
    assert board["tied"].dropna().to_dict() == {"a": 1, "b": 0}


def test_one_seed_each_tells_nothing_apart():
    _, board = _tables(_scores({("a", ""): 0.9, ("b", ""): 0.1}, seeds=1))
    assert board["rank"].tolist() == [1, 2]
    assert board["rank_low"].isna().all()
    assert board["tied"].tolist() == [1, 1]


def test_the_interquartile_mean_is_of_scores_between_chance_and_ceiling():
    told = {("a", "", seed): score for seed, score in enumerate((0.2, 0.4, 0.5, 0.9))}
    runs, board = _tables(
        told, dict.fromkeys(told, 0.8), dict.fromkeys(told, 0.25), dict.fromkeys(told, 0.25), dict.fromkeys(told, 0.75),
        metrics=("mig", "mig.ceiling", "beta_vae_score", "beta_vae_score.chance", "explicitness"),
    )  # fmt: skip
    runs.loc[runs["metric"].str.contains(r"\."), "direction"] = 0
    board = build_leaderboard(runs)
    scores = (np.array([0.2, 0.4, 0.5, 0.9]) / 0.8 + 0 + 0.5) / 3
    assert board["iqm"].tolist() == [pytest.approx(np.sort(scores)[1:3].mean())]


def test_a_metric_whose_chance_is_not_known_takes_no_part_in_the_mean():
    told = {("a", "", 0): 0.3, ("a", "", 1): 0.3}
    _, board = _tables(told, dict.fromkeys(told, 0.9), metrics=("mig", "modularity"))
    assert board["iqm"].tolist() == [0.3]


def test_reliability_is_told_of_each_metric():
    means = {("a", f"beta={beta}"): beta / 10 for beta in range(1, 9)}
    runs, board = _tables(_scores(means), _scores(dict.fromkeys(means, 0.5)))
    told = tell_reliability(runs, board).set_index("metric")
    assert told.loc["mig", ["configurations", "seeds", "neighbours", "told_apart"]].tolist() == [8, SEEDS, 7, 7]
    assert told.loc["mig", "seed_agreement"] > 0.99
    assert told.loc["mig", "seeds_needed"] == 1
    assert told.loc["sap", "seeds_needed"] > 10
    assert told.loc["sap", "told_apart"] == 0


def test_metrics_agree_by_kendalls_tau_of_means():
    means = {("a", f"beta={beta}"): value for beta, value in enumerate((0.1, 0.5, 0.3, 0.8))}
    opposed = {own: -value for own, value in means.items()}
    runs, board = _tables(_scores(means), _scores(opposed), _scores(means, seed=3))
    runs.loc[runs["metric"] == "sap", "direction"] = -1  # where less is better, both rank alike
    for table, sign in ((board, -1), (build_leaderboard(runs), 1)):
        tau = compare_metrics(runs, table).set_index(["metric", "other"])["tau"]
        assert tau["mig", "sap"] == tau["sap", "mig"] == sign
        assert tau["mig", "mig"] == tau["mig", "dci_fast"] == 1
    some = {("a", "x"): 0.1, ("a", "y"): 0.2, ("b", "x"): 0.3, ("b", "y"): 0.4}
    other = dict(zip(some, (0.2, 0.1, 0.3, 0.4), strict=True))
    tau = compare_metrics(*_tables(_scores(some, 0), _scores(other, 0))).set_index(["metric", "other"])["tau"]
    assert tau["mig", "sap"] == stats.kendalltau([1, 2, 3, 4], [2, 1, 3, 4]).statistic


def test_methods_are_compared_at_their_best_over_all_pairs_of_runs():
    scores = {("a", "beta=1", seed): 0.0 for seed in range(3)} | {("a", "beta=2", seed): seed / 2 for seed in range(3)}
    scores |= {("b", "", seed): 0.5 for seed in range(2)}
    told = compare_methods(*_tables(scores))
    assert len(told) == 1
    row = told.iloc[0]
    assert {row["method"], row["other"]} == {"a", "b"}
    assert "beta=2" in (row["hyperparameters"], row["other_hyperparameters"])
    assert row["probability"] == 0.5  # worse, equal, better
    assert 0 < row["low"] < 0.5 < row["high"] < 1
    assert {row["runs"], row["other_runs"]} == {2, 3}


def test_the_configuration_of_the_greatest_agreement_is_told_with_its_regret():
    means = {("a", "beta=1"): 0.9, ("a", "beta=2"): 0.4, ("b", ""): 0.5}
    agreement = {("a", "beta=1"): 0.1, ("a", "beta=2"): 0.7, ("b", ""): 0.9}
    runs, _ = _tables(_scores(means, 0), _scores(agreement, 0), metrics=("mig", "udr"))
    runs.loc[runs["metric"] == "udr", "direction"] = 0
    told = choose_without_labels(runs, build_leaderboard(runs))
    assert len(told) == 1
    assert told.iloc[0][["method", "hyperparameters", "best_hyperparameters"]].tolist() == ["a", "beta=2", "beta=1"]
    assert told.iloc[0][["score", "best", "regret"]].tolist() == pytest.approx([0.4, 0.9, 0.5])
    assert choose_without_labels(*_tables(_scores(means))).empty
    # The best may be one whose seeds agree with nothing, as there is one.
    alone = {("a", "beta=8", 0): 0.95}
    runs, _ = _tables(_scores(means, 0) | alone, _scores(agreement, 0), metrics=("mig", "udr"))
    runs.loc[runs["metric"] == "udr", "direction"] = 0
    told = choose_without_labels(runs, build_leaderboard(runs))
    assert told.iloc[0][["best_hyperparameters", "configurations"]].tolist() == ["beta=8", 3]
    assert told.iloc[0]["regret"] == pytest.approx(0.55)


def _over_datasets(count, means):
    tables = [_runs(_scores(means, 0.02, seed), dataset=f"d{seed}") for seed in range(count)]
    runs = pd.concat(tables, ignore_index=True)
    return compare_over_datasets(runs, build_leaderboard(runs))


def test_data_sets_are_averaged_from_two_and_tested_from_six():
    means = {("a", ""): 0.8, ("b", ""): 0.3, ("c", ""): 0.1}
    assert _over_datasets(1, means).empty
    few = _over_datasets(5, means)
    assert few["method"].tolist() == ["a", "b", "c"]
    assert few["datasets"].tolist() == [5, 5, 5]
    assert few["iqm"].tolist() == pytest.approx([0.8, 0.3, 0.1], abs=0.02)
    assert few[["mean_rank", "critical_difference", "behind_the_best"]].isna().all(axis=None)
    many = _over_datasets(6, means)
    assert many["mean_rank"].tolist() == [1, 2, 3]
    assert many["critical_difference"].unique() == pytest.approx([2.343 * np.sqrt(3 * 4 / 36)], rel=1e-3)
    least = stats.wilcoxon(np.arange(1, 7)).pvalue  # the least that six pairs give
    assert many["behind_the_best"].tolist() == [pytest.approx(np.nan, nan_ok=True), 2 * least, 2 * least]


def test_methods_of_other_hyperparameters_are_compared_over_data_sets():
    means = {("a", "beta=1"): 0.8, ("a", "beta=4"): 0.6, ("b", "gamma=10"): 0.3, ("c", ""): 0.1}
    assert _over_datasets(2, means)["iqm"].tolist() == pytest.approx([0.8, 0.6, 0.3, 0.1], abs=0.02)


def test_a_metric_of_a_data_set_that_does_not_count_and_what_is_doubted_decide_nothing():
    means = {("a", ""): 0.8, ("b", ""): 0.3, ("doubted", ""): 0.9}
    tables = [_runs(_scores(means, 0.02, seed), dataset=f"d{seed}") for seed in range(6)]
    alone = _runs(_scores({("a", ""): 0.5}), "sap", dataset="d9")
    runs = pd.concat([*tables, alone], ignore_index=True)
    runs.loc[runs["method"] == "doubted", "remarks"] = APART
    across = compare_over_datasets(runs, build_leaderboard(runs)).set_index("method")
    assert across["datasets"].tolist() == [6, 6, 6]
    assert across["mean_rank"].dropna().to_dict() == {"a": 1, "b": 2}


def test_a_configuration_that_misses_a_data_set_is_not_compared_over_them():
    first = _runs(_scores({("a", ""): 0.8, ("b", ""): 0.3}), dataset="d1")
    second = _runs(_scores({("a", ""): 0.8}), dataset="d2")
    runs = pd.concat([first, second], ignore_index=True)
    assert compare_over_datasets(runs, build_leaderboard(runs))["method"].tolist() == ["a"]


def test_what_has_no_rank_is_compared_with_nothing(tmp_path):
    """An older version of a method, and what other code made, beside what is there at present."""
    scores = _scores({("a", ""): 0.9, ("b", ""): 0.5})
    older = _runs(_scores({("a", ""): 0.1})).assign(method_version=0)
    other = _runs(_scores({("b", ""): 0.1}, seed=1)).assign(stale="method b was of other code 0123456789")
    for number, table in enumerate((older, other)):
        table["run"] = table["run"] + str(number)
    runs = pd.concat([_runs(scores), older, other], ignore_index=True)
    tables = write_comparisons(tmp_path, runs, build_leaderboard(runs))
    beats = tables["beats"].iloc[0]
    assert (beats["method"], beats["probability"], beats["runs"], beats["other_runs"]) == ("a", 1.0, SEEDS, SEEDS)
    assert tables["reliability"]["configurations"].tolist() == [2]
    swept = _scores({("a", f"beta={beta}"): beta / 10 for beta in (1, 2)}, 0.001)
    older = _runs(_scores({("a", "beta=1"): 0.9}, 0)).assign(method_version=0)
    older["run"] = older["run"] + "older"
    runs = pd.concat([_runs(swept), older], ignore_index=True)
    variance = write_comparisons(tmp_path, runs, build_leaderboard(runs))["variance"].iloc[0]
    assert variance["runs"] == 2 * SEEDS
    assert variance["seed_share"] < 0.001


def test_a_metric_of_one_seed_each_takes_no_part_in_the_mean_rank():
    """As one that is added to an archive, of the runs that keep their codes."""
    means = {("a", ""): 0.9, ("b", ""): 0.5, ("c", ""): 0.1}
    other = {("c", "", 0): 0.9, ("b", "", 0): 0.5, ("a", "", 0): 0.1}
    _, board = _tables(_scores(means), other, other)
    board = board.set_index("method")
    assert board["rank"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert board["mig_tied"].to_dict() == board["tied"].to_dict() == {"a": 1, "b": 0, "c": 0}
    assert board[["rank_low", "rank_high"]].loc["b"].tolist() == [2, 2]
    others = [name for name in board if str(name).endswith("_rank") and name != "mig_rank"]
    assert board[others[0]].to_dict() == {"c": 1, "b": 2, "a": 3}


def test_what_has_not_been_scored_takes_no_rank_from_what_has():
    scores = _runs(_scores({("a", ""): 0.9, ("b", ""): 0.5}))
    newer = _runs({("b", "", 0): 0.1}).assign(method_version=2, state="failed", metric="", value=np.nan)
    newer["run"] = newer["run"] + "newer"
    board = build_leaderboard(pd.concat([scores, newer], ignore_index=True))
    ranks = board.set_index(["method", "method_version"])["rank"]
    assert ranks["a", 1] == 1
    assert ranks["b", 1] == 2
    assert pd.isna(ranks["b", 2])


def test_versions_of_a_metric_are_told_apart_whatever_its_options_and_cost_others_no_rank():
    means = {("a", "", 0): 0.2, ("a", "", 1): 0.9}
    runs = _runs(means, "sap[penalty=0.1]")
    runs["metric_version"] = runs["seed"] + 1
    board = build_leaderboard(runs)
    assert sorted(board["versions"]) == ["sap[penalty=0.1]=1", "sap[penalty=0.1]=2"]
    part = _runs(means, "mig@unseen").assign(direction=0)
    part["metric_version"] = part["seed"] + 1
    board = build_leaderboard(pd.concat([_runs(means), part], ignore_index=True))
    assert board["rank"].notna().all()


def test_what_one_alone_was_tried_on_takes_nothing_from_the_others():
    means = {("a", ""): 0.8, ("b", ""): 0.3}
    tables = [_runs(_scores(means, 0.02, seed), dataset=f"d{seed}") for seed in range(3)]
    runs = pd.concat([*tables, _runs(_scores({("c", ""): 0.5}), dataset="d9")], ignore_index=True)
    across = compare_over_datasets(runs, build_leaderboard(runs))
    assert across["method"].tolist() == ["a", "b"]
    assert across["datasets"].tolist() == [3, 3]


def test_worlds_and_sources_are_no_data_sets_and_the_true_factors_no_contender():
    means = {("ground_truth", ""): 1.0, ("a", ""): 0.8, ("b", ""): 0.3}
    worlds = [_runs(_scores(means, 0.02, seed), dataset=f"d correlated={seed}") for seed in range(6)]
    sources = [_runs(_scores(means, 0.02, seed), source=f"s{seed}") for seed in range(6)]
    runs = pd.concat([*worlds, *sources], ignore_index=True)
    assert compare_over_datasets(runs, build_leaderboard(runs)).empty
    runs = pd.concat([*sources, *(_runs(_scores(means, 0.02, seed), dataset=f"d{seed}") for seed in range(4))])
    across = compare_over_datasets(runs.reset_index(drop=True), build_leaderboard(runs.reset_index(drop=True)))
    assert across["datasets"].tolist() == [5, 5, 5]
    assert across["mean_rank"].isna().all()
    many = _over_datasets(6, means).set_index("method")
    assert many["mean_rank"].dropna().to_dict() == {"a": 1, "b": 2}
    assert many["behind_the_best"].dropna().to_dict() == {"b": pytest.approx(0.03125)}


def test_equal_means_share_a_rank_whatever_their_last_digit():
    scores = {("a", "", seed): 0.2 for seed in range(3)} | {("b", "", seed): 0.2 for seed in range(4)}
    _, board = _tables(scores)
    assert board["mig_rank"].tolist() == [1, 1]


def test_nothing_gives_empty_tables_and_files(tmp_path):
    runs = collect_runs(tmp_path)
    tables = write_comparisons(tmp_path, runs, build_leaderboard(runs))
    assert set(tables) == {"chosen", *COMPARISONS}
    for name, table in tables.items():
        assert table.empty
        assert pd.read_csv(tmp_path / f"{name}.csv").columns.tolist() == list(table.columns)
