import pickle
from dataclasses import replace

import numpy as np
import pytest

import metrics
from metrics import REGISTRY, Table, register
from metrics.matching import matched_groups, matched_pairs

GOOD = np.arange(24).reshape(12, 2) % 5


def _grid(*sizes):
    """Every combination of values once, in order, the last factor fastest."""
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def test_a_random_third_tests():
    numbered = np.arange(300)[:, None]
    table = Table(numbered, numbered % 5, seed=3)
    assert (len(table.codes), len(table.codes_test)) == (200, 100)
    assert sorted([*table.codes[:, 0], *table.codes_test[:, 0]]) == list(range(300))
    assert 120 < table.codes_test.mean() < 180
    for codes, factors in ((table.codes, table.factors), (table.codes_test, table.factors_test)):
        assert np.array_equal(codes % 5, factors), "rows stay together"
    assert table.factor_names == ("factor_0",)


def test_the_seed_decides_which_rows_test():
    first, again, other = (Table(GOOD + np.arange(12)[:, None], GOOD, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.codes_test, again.codes_test)
    assert not np.array_equal(first.codes_test, other.codes_test)


@pytest.mark.parametrize("seed", range(5))
def test_every_value_that_occurs_twice_trains(seed):
    """Forty values, each in two rows of 120 in order: an unstratified third would hold some of them alone."""
    factors = np.stack([np.arange(120) // 2 % 40, np.arange(120) % 2, np.repeat([0, 1, 2], [2, 2, 116])], axis=1)
    assert Table(factors, factors, seed=seed).unseen == {}


def test_values_of_one_row_train_as_far_as_there_is_room():
    """Nine rows of three values thrice; of 9 of 9 values 6 train, and the other three are told."""
    lone = np.stack([np.repeat([0, 1, 2], 3), np.arange(9)], axis=1)
    table = Table(lone, lone)
    assert set(table.factors[:, 0]) == {0, 1, 2}
    assert table.unseen == {"factor_1": 3}


@pytest.mark.parametrize(
    ("metric", "value"),
    [("dci_fast", "informativeness_test"), ("sap", "score"), ("infomec", "infoe"), ("explicitness", "score")],
)
def test_the_order_of_rows_does_not_matter(metric, value):
    """A data set's own order, of perfect codes: with the last third of it to test on values there were new."""
    factors = _grid(6, 7, 10)
    codes = factors + 0.02 * np.random.default_rng(0).normal(size=factors.shape)
    drawn = np.random.default_rng(1).permutation(len(codes))
    in_order, shuffled = (
        metrics.score(codes[order], factors[order], metrics=[metric])[metric][value]
        for order in (np.arange(len(codes)), drawn)
    )
    assert in_order == pytest.approx(shuffled, abs=0.04)
    assert in_order > (0.2 if metric == "sap" else 0.95)


def test_test_rows_of_unseen_values_are_told():
    factors = _grid(4, 3).repeat(30, axis=0)
    later = factors[:90].copy()
    later[:20, 0], later[5:8, 1] = 9, -4
    table = Table(factors, factors, factors[:90], later, ["a", "b"])
    assert table.unseen == {"a": 20, "b": 3}
    with pytest.warns(
        UserWarning, match=r"^of 90 test rows .* \(20 of factor 'a', 3 of factor 'b'\); .* wrong\.$"
    ) as told:
        metrics.score(factors, factors, factors[:90], later, factor_names=["a", "b"], metrics=["mig", "irs"])
    assert len(told) == 1
    assert told[0].filename == __file__
    assert Table(factors, factors).unseen == {}
    assert Table(factors, factors).tell_unseen() == ""


PREDICTED = {
    "sap": "gap_{}",
    "dci": "informativeness_test_{}",
    "dci_fast": "informativeness_test_{}",
    "downstream": "logistic_100",
    "infomec": "infoe",
}


@pytest.mark.parametrize("metric", PREDICTED)
def test_unseen_values_count_as_wrong_for_whatever_predicts(metric, monkeypatch):
    """Of the first of two factors half of the test rows are new: half of what is told else, no factor left out."""
    monkeypatch.setattr("metrics.boosting.STEPS", 5)
    factors = _grid(2, 2).repeat(50, axis=0)
    later = factors.copy()
    later[::2, 0] = 5
    options = {"rows": (100,), "estimators": ["logistic"]} if metric == "downstream" else {}
    whole, half = (
        REGISTRY[metric](Table(factors, factors, factors, test, ["a", "b"]), np.random.default_rng(0), **options)
        for test in (factors, later)
    )
    if "{}" in PREDICTED[metric]:
        a, b = (PREDICTED[metric].format(name) for name in "ab")
        assert half[b] == whole[b]
        # The rival's half of the rows is halved too.
        assert half[a] == pytest.approx(whole[a] / 2)
    else:
        assert half[PREDICTED[metric]] == pytest.approx(whole[PREDICTED[metric]] * 3 / 4, abs=1e-3)


@pytest.mark.parametrize("labels", [[0, 1, 2, 1000], [-7, 3, 2**50, 2**53], [5, 6, 8, 9]])
def test_values_are_names(labels):
    factors = np.random.default_rng(0).integers(4, size=(60, 2))
    named = factors.copy()
    named[:, 0] = np.array(labels)[factors[:, 0]]
    table, same = Table(factors, named), Table(factors, factors)
    assert np.array_equal(table.factors, same.factors)
    assert np.array_equal(table.factors_test, same.factors_test)


def test_values_are_numbered_over_training_and_test_rows():
    table = Table([[0.0]] * 4, [[10], [30], [10], [30]], [[0.0]] * 2, [[20], [30]])
    assert table.factors[:, 0].tolist() == [0, 2, 0, 2]
    assert table.factors_test[:, 0].tolist() == [1, 2]


def _continuous(rows=900):
    rng = np.random.default_rng(0)
    factors = rng.uniform(-1, 1, (rows, 3))
    return factors + 0.01 * rng.normal(size=factors.shape), factors


@pytest.mark.parametrize("number", [lambda column: column, lambda column: np.unique(column, return_inverse=True)[1]])
def test_continuous_factors_in_bins(number):
    """Perfect codes score high and noise does not, whether the values are numbered or not."""
    codes, factors = _continuous()
    noise = np.random.default_rng(1).normal(size=codes.shape)
    factors = np.stack([number(column) for column in factors.T], axis=1)
    chosen = ["mig", "modularity", "dci_es", "explicitness", "infomec"]
    good, bad = (metrics.score(each, factors, metrics=chosen, bin_factors=10) for each in (codes, noise))
    assert good["mig"]["score"] > 0.8
    assert bad["mig"]["score"] < 0.05
    for name in chosen:
        assert good[name]["score"] > bad[name]["score"] + 0.05, name
        assert good[name]["score"] > 0.8, name


def test_bins_are_of_equal_width_over_all_rows():
    """Two bins of 0 to 10 meet at 5, though no training row lies beyond 6."""
    train, test = np.array([[0.0], [4.9], [5.1], [6]]), np.array([[4.95], [10.0]])
    table = Table(train, train, test, test, bin_factors=2)
    assert table.factors[:, 0].tolist() == [0, 0, 1, 1]
    assert table.factors_test[:, 0].tolist() == [0, 1]


def test_few_values_stay_what_they_are():
    """Ten or fewer are no continuum: fractions too keep their values, however near to each other."""
    factors = np.array([0, 0.01, 0.02, 1.5])[np.random.default_rng(0).integers(4, size=(90, 2))]
    table = Table(factors, factors, bin_factors=10)
    assert set(table.factors.ravel()) == {0, 1, 2, 3}


@pytest.mark.parametrize("bins", [1, 0, -3, 1001, 2.5, "10", True])
def test_bad_numbers_of_bins(bins):
    with pytest.raises(ValueError, match=r"^bin_factors is .*; a whole number from 2 to 1,000 is needed\.$"):
        Table(GOOD, GOOD, bin_factors=bins)


def test_a_factor_with_nearly_one_value_a_row_is_refused_before_anything_is_scored(monkeypatch):
    codes, factors = _continuous()
    numbered = np.stack([np.unique(factors[:, 0], return_inverse=True)[1], np.arange(900) % 3], axis=1)
    monkeypatch.setattr(metrics.Metric, "score", lambda *_: pytest.fail("scored"))
    for chosen in (None, ["gaussian_total_correlation", "mig"]):
        with pytest.raises(
            ValueError, match=r"^factor 'factor_0' takes 600 values in 600 .*bin_factors=10 .*--bin-factors 10\)\.$"
        ):
            metrics.score(codes, numbered, metrics=chosen)
    with pytest.raises(ValueError, match=r"holds fractions such as .*bin_factors=10 .*--bin-factors 10\)\.$"):
        metrics.score(codes, factors)


def test_what_does_not_look_at_factors_takes_any():
    codes, factors = _continuous(90)
    numbered = np.argsort(factors, axis=0)
    assert metrics.score(codes, numbered, metrics=["active_latents"])["active_latents"]["score"] == 3


@pytest.mark.parametrize(
    ("rows", "values", "scarce"),
    [(20, 11, True), (20, 10, False), (200, 100, False), (200, 101, True), (200, 40, False)],
)
def test_what_nearly_one_value_a_row_means(rows, values, scarce):
    """More than ten values, of fewer than two training rows on average."""
    factors = np.arange(rows)[:, None] % values
    assert bool(Table(factors, factors, factors, factors).tell_scarce()) == scarce


def test_given_test_rows_leave_all_others_for_training():
    assert len(Table(GOOD, GOOD, GOOD[:3], GOOD[:3]).codes) == 12


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.full((12, 2), np.nan), GOOD, "codes holds nan or infinity"),
        (GOOD, np.full((12, 2), np.inf), "factors holds nan or infinity"),
        (GOOD[:5], GOOD, "codes has 5 rows and factors 12"),
        (GOOD[:, 0], GOOD, "codes has shape"),
        (GOOD[:, :0], GOOD, "codes has shape"),
        (GOOD[:1], GOOD[:1], "too few rows"),
        (GOOD, GOOD + 0.5, r"factors holds fractions such as 0\.5; cut them into bins with bin_factors=10"),
        (GOOD, GOOD * 0, "factor 'factor_0' takes one value only"),
        (GOOD.astype(object), GOOD, "codes holds object"),
        (np.ma.masked_equal(GOOD, 1), GOOD, "codes holds masked values"),
        (GOOD, np.ma.masked_equal(GOOD, 1), "factors holds masked values"),
        ([*np.ma.masked_equal(GOOD, 1)], GOOD, "codes holds masked values"),
        (GOOD, np.full((12, 2), "a"), "factors holds <U1"),
    ],
)
def test_bad_arrays(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        Table(codes, factors)


def test_bad_test_rows_and_names():
    with pytest.raises(ValueError, match="go together"):
        Table(GOOD, GOOD, GOOD)
    with pytest.raises(ValueError, match="different numbers of columns"):
        Table(GOOD, GOOD, GOOD[:, :1], GOOD)
    with pytest.raises(ValueError, match="factor_names"):
        Table(GOOD, GOOD, factor_names=["a", "a"])


def test_whole_floats_are_integers():
    assert Table(GOOD, GOOD.astype(float)).factors.dtype == np.int64


def test_matched_pairs_share_the_value_and_are_different_rows():
    values = np.random.default_rng(0).integers(5, size=300)
    first, second = matched_pairs(values, 10_000, np.random.default_rng(0))
    assert (values[first] == values[second]).all()
    assert (first != second).all()
    assert len(np.unique(first)) == len(np.unique(second)) == 300


def test_partners_are_uniform():
    values = np.array([0, 1, 0, 0, 1, 0])
    first, second = matched_pairs(values, 60_000, np.random.default_rng(0))
    counts = np.bincount(second[first == 0], minlength=6) / (first == 0).sum()
    assert counts == pytest.approx([0, 0, 1 / 3, 1 / 3, 0, 1 / 3], abs=0.02)
    assert np.bincount(first) / 60_000 == pytest.approx(np.full(6, 1 / 6), abs=0.01)


def test_lone_rows_are_left_out():
    first, _ = matched_pairs(np.array([7, 3, 3]), 100, np.random.default_rng(0))
    assert set(first) == {1, 2}


def test_matched_groups_share_the_value_and_are_all_different_rows():
    values = np.random.default_rng(0).integers(5, size=300)
    rows = matched_groups(values, 2000, 30, np.random.default_rng(0))
    assert rows.shape == (2000, 30)
    assert (values[rows] == values[rows[:, :1]]).all()
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()
    assert len(np.unique(rows)) == 300


def test_groups_are_uniform_subsets():
    """All subsets of three of five rows are as likely; a held value is as likely as its rows are many."""
    values = np.array([4, 1, 4, 4, 1, 4, 4, 1])
    rows = matched_groups(values, 60_000, 3, np.random.default_rng(0))
    fours = np.sort(rows[values[rows[:, 0]] == 4], axis=1)
    assert len(fours) / 60_000 == pytest.approx(5 / 8, abs=0.01)
    subsets, counts = np.unique(fours, axis=0, return_counts=True)
    assert len(subsets) == 10
    assert counts / len(fours) == pytest.approx(np.full(10, 0.1), abs=0.006)


def test_a_groups_variance_is_as_under_the_intervention():
    """Rows drawn more than once would widen its spread: 0.25 here, in place of 0.18 (standard error 0.004)."""
    rng = np.random.default_rng(0)
    variances = []
    for _ in range(1000):
        codes = rng.normal(size=100)
        variances.append(codes[matched_groups(np.zeros(100), 1, 64, rng)[0]].var(ddof=1))
    assert np.mean(variances) == pytest.approx(1, abs=0.02)
    assert np.std(variances) == pytest.approx(np.sqrt(2 / 63), abs=0.015)


def test_small_groups_repeat_rows_and_lone_rows_are_left_out():
    rows = matched_groups(np.array([3, 7, 3, 5, 3]), 400, 10, np.random.default_rng(0))
    assert np.bincount(rows.ravel(), minlength=5) / rows.size == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3], abs=0.03)


def test_groups_of_distinct_values_are_refused():
    with pytest.raises(ValueError, match="no two rows share"):
        matched_groups(np.arange(9), 5, 2, np.random.default_rng(0))
    assert matched_groups(np.zeros(9), 0, 2, np.random.default_rng(0)).shape == (0, 2)


def test_a_name_is_registered_once():
    def mig(table, rng):
        return {}

    with pytest.raises(ValueError, match=r"registered already, by metrics\.mig"):
        register(version=1, chance="0", ceiling="1", reference="none")(mig)


@pytest.mark.parametrize("name", ["effective_rank", "what_next"])
def test_a_name_that_only_looks_like_the_tables_is_taken(name, monkeypatch):
    def found(table, rng):
        return {"score": 0.0}

    monkeypatch.setattr(metrics, "REGISTRY", dict(REGISTRY))
    found.__name__ = name
    register(version=1, chance="0", ceiling="1", reference="none")(found)
    assert name in metrics.REGISTRY


@pytest.mark.parametrize("name", ["rank", "mig_rank", "next", "mig_next", "udr", "generalisation"])
def test_a_name_of_the_tables_is_refused(name):
    def found(table, rng):
        return {"score": 0.0}

    found.__name__ = name
    with pytest.raises(ValueError, match=f"{name}' would be called like a column"):
        register(version=1, chance="0", ceiling="1", reference="none")(found)
    assert name not in REGISTRY


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"names": ("total",)}, "columns from 'score' on, names that hold them all"),
        ({"columns": ("score", "spread")}, "columns from 'score' on, names that hold them all"),
        ({"columns": ()}, "columns from 'score' on"),
        ({"breaks": {5: "x"}}, "declares under breaks 5: 'x', where two texts are needed"),
        ({"breaks": {"shifting": None}}, "declares under breaks 'shifting': None"),
        ({"range": (1, 0)}, "a range from low to high"),
        ({"range": (0, 1, 2)}, "a range from low to high"),
        ({"range": ("a", "b")}, "where numbers"),
        ({"version": 0}, "a version from 1"),
        ({"version": "2"}, "declares version '2', where int"),
        ({"chance": 0.5}, "declares chance 0.5, where str"),
        ({"widest": None}, "declares widest None, where int"),
        ({"least_codes": True}, "declares least_codes True, where int"),
        ({"breaks": ("doubling codes",)}, "declares breaks .*, where Mapping"),
        ({"ranked": 1}, "declares ranked 1, where bool"),
    ],
)
def test_a_declaration_goes_together(told, message):
    def found(table, rng):
        return {"score": 0.0}

    with pytest.raises(ValueError, match=message):
        register(**{"version": 1, "chance": "0", "ceiling": "1", "reference": "none"} | told)(found)
    with pytest.raises(ValueError, match="written with def"):
        register(version=1, chance="0", ceiling="1", reference="none")(lambda table, rng: {"score": 0.0})


# What a metric gives


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "gave int, where numbers by their names"),
        ({}, "gave None for 'score'"),
        ({"total": 1.0}, "gave None for 'score'"),
        ({"score": 1.1}, "gave 1.1 for 'score'; it declares 0 to 1"),
        ({"score": 0.5 + 0j}, r"gave \(0.5\+0j\) for 'score', where a finite number"),
        ({"score": "0.5"}, "gave '0.5' for 'score'"),
        ({"score": np.full(2, 0.5)}, "where a finite number"),
        ({"score": 0.5, "more": float("nan")}, "gave nan for 'more'"),
        ({"score": 0.5, "more": 10**400}, "for 'more', where a finite number"),
        ({"score": 0.5, 3: 1.0}, "numbers by their names"),
    ],
)
def test_what_is_no_value_is_told(given, message):
    metric = replace(REGISTRY["mig"], function=lambda table, rng: given)
    with pytest.raises(ValueError, match=message):
        metric.score(Table(GOOD, GOOD), 0)


def test_values_are_plain_numbers():
    given = {"score": np.float32(0.5), "more": np.int64(3), "one": np.array(2.0), "true": np.True_}
    values = replace(REGISTRY["mig"], function=lambda table, rng: given).score(Table(GOOD, GOOD), 0)
    assert values == {"score": 0.5, "more": 3.0, "one": 2.0, "true": 1.0}
    assert {type(value) for value in values.values()} == {float}


def test_a_metric_cannot_change_what_the_next_one_is_given():
    def centred(table, rng):
        table.codes[:] -= table.codes.mean(0)
        return {"score": 0.5}

    table = Table(GOOD, GOOD)
    with pytest.raises(ValueError, match="read-only"):
        replace(REGISTRY["mig"], function=centred).score(table, 0)
    for array in (table.codes, table.codes_test, table.factors, table.factors_test):
        assert not array.flags.writeable
    assert GOOD.flags.writeable
    assert not pickle.loads(pickle.dumps(table)).codes.flags.writeable


# What suits a metric


def test_needs_that_say_no_sentence_are_told():
    with pytest.raises(ValueError, match="mig's needs gave 3, where a sentence or an empty text"):
        replace(REGISTRY["mig"], needs=lambda table: 3).score(Table(GOOD, GOOD), 0)


def test_what_a_metric_needs_is_said_in_one_sentence():
    few = Table(GOOD, GOOD[:, :1])
    assert REGISTRY["modularity"].unsuited(few) == "modularity needs at least 2 factors, and the table has 1."
    assert REGISTRY["downstream"].unsuited(few) == "downstream needs at least 10 training rows, and the table has 8."
    assert REGISTRY["mig"].unsuited(few) == ""
    narrow = replace(REGISTRY["mig"], least_codes=3)
    assert narrow.unsuited(few) == "mig needs at least 3 codes, and the table has 2."
    with pytest.raises(ValueError, match="at least 3 codes"):
        narrow.score(few, 0)


def test_what_does_not_suit_is_left_out_of_all_and_refused_by_name(monkeypatch):
    monkeypatch.setattr("metrics.boosting.STEPS", 2)
    factors = np.arange(60)[:, None] % 3
    codes = factors + np.random.default_rng(0).normal(size=(60, 2))
    for name in ("downstream", "dci"):
        monkeypatch.delitem(REGISTRY, name)
    scored = metrics.score(codes, factors)
    assert set(REGISTRY) - set(scored) == {"beta_vae_score", "factor_vae_score", "fairness", "modularity"}
    with pytest.raises(ValueError, match="beta_vae_score needs at least 2 factors"):
        metrics.score(codes, factors, metrics=["mig", "beta_vae_score"])


# Options


def test_options_are_read_from_the_signature():
    assert REGISTRY["infomec"].options == {"version": "latent_quantization", "estimator": "auto"}
    assert REGISTRY["infomec"].describe_options()["estimator"] == "'auto', 'neighbours', 'exact'"
    assert REGISTRY["mig"].options == {"bins": 20}
    assert REGISTRY["gaussian_total_correlation"].options == {}
    for metric in REGISTRY.values():
        assert set(metric.options) == set(metric.describe_options())


def test_options_of_a_function_without_annotations():
    def probe(table, rng, *, size=3, kind="a", deep=False):
        return {"score": float(size)}

    metric = replace(REGISTRY["mig"], name="probe", base="probe", function=probe)
    assert metric.with_options(size="4", deep="true", kind="b").settings == {"size": 4, "deep": True, "kind": "b"}
    with pytest.raises(ValueError, match=r"probe's deep is 'maybe'; True or False is needed\."):
        metric.with_options(deep="maybe")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("infomec", {"estimator": "exact"}, "infomec[estimator=exact]"),
        ("infomec", {"version": "first", "estimator": "exact"}, "infomec[estimator=exact,version=first]"),
        ("infomec", {"estimator": "auto"}, "infomec"),
        ("mig", {"bins": "30"}, "mig[bins=30]"),
        ("mig", {"bins": 30.0}, "mig[bins=30]"),
        ("mig", {"bins": np.int64(20)}, "mig"),
        ("irs", {"quantile": "0.950"}, "irs[quantile=0.95]"),
        ("sap", {"penalty": 1}, "sap[penalty=1]"),
        ("downstream", {"rows": [10, 100], "estimators": "trees"}, "downstream[estimators=trees,rows=10+100]"),
        ("downstream", {"rows": "10+100"}, "downstream[rows=10+100]"),
    ],
)
def test_a_name_says_what_is_set(name, options, expected):
    metric = REGISTRY[name].with_options(**options)
    assert (metric.name, metric.base) == (expected, name)
    assert metrics.find(expected) == metric
    for option, value in options.items():  # one after the other is the same
        metric = metric.with_options(**{option: REGISTRY[name].options[option]}).with_options(**{option: value})
    assert metric.name == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("infomec", {"estimater": "exact"}, r"infomec has no option 'estimater'; did you mean 'estimator'\?"),
        ("infomec", {"estimator": "exat"}, r"infomec's estimator is 'exat'; did you mean 'exact'\?"),
        ("infomec", {"estimator": 3}, r"infomec's estimator is 3; choose from 'auto', 'neighbours', 'exact'\."),
        ("mig", {"bins": "many"}, r"mig's bins is 'many'; a whole number of at least 1 is needed\."),
        ("mig", {"bins": 2.5}, r"mig's bins is 2\.5; a whole number of at least 1 is needed\."),
        ("mig", {"bins": True}, r"mig's bins is True; a whole number of at least 1 is needed\."),
        ("mig", {"bins": 0}, r"mig's bins is 0; a whole number of at least 1 is needed\."),
        ("irs", {"quantile": "nan"}, r"irs's quantile is 'nan'; a number of at least 0 is needed\."),
        ("downstream", {"estimators": "forest+logistic"}, r"downstream's estimators is 'forest\+logistic'; "),
        ("downstream", {"rows": ""}, r"downstream's rows is ''; a whole number of at least 1 is needed\."),
        ("active_latents", {"bins": 3}, r"active_latents has no option 'bins'; choose from 'threshold'\."),
        ("dci_es", {"bins": 3}, r"dci_es has no option 'bins'; it has none\."),
    ],
)
def test_wrong_options_have_a_sentence(name, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        REGISTRY[name].with_options(**options)


@pytest.mark.parametrize("name", ["irs[quantile=1.5]", "sap[penalty=0]", "factor_vae_score[rows=1]"])
def test_numbers_that_mean_nothing_have_a_sentence(name):
    table = Table(_grid(3, 4).repeat(5, axis=0), _grid(3, 4).repeat(5, axis=0))
    with pytest.raises(
        ValueError, match=r"^(irs's quantile is 1.5|sap's penalty is 0|factor_vae_score's rows are 1); .*\.$"
    ):
        metrics.find(name).score(table, 0)


@pytest.mark.parametrize("name", ["mig[", "mig[]", "mig[bins]", "mig[bins=3", "mig[bins=3,bins=4]", "mig[=3]"])
def test_names_that_cannot_be_read(name):
    with pytest.raises(ValueError, match=r"has no options that can be read"):
        metrics.find(name)


def test_an_unknown_metric():
    with pytest.raises(KeyError, match="unknown metric 'mgi'; did you mean 'mig'"):
        metrics.score(GOOD, GOOD, metrics=["mgi"])


def test_one_name_is_no_list_of_letters():
    factors = np.random.default_rng(0).integers(4, size=(300, 2))
    assert metrics.score(factors, factors, metrics="mig") == metrics.score(factors, factors, metrics=["mig"])


def test_scores_with_options_stand_under_their_own_name():
    factors = np.random.default_rng(0).integers(4, size=(300, 2))
    given = {"infomec": {"estimator": "neighbours"}, "mig": {"bins": "20"}}
    scored = metrics.score(factors, factors, metrics=["infomec", "mig"], options=given)
    assert list(scored) == ["infomec[estimator=neighbours]", "mig"]
    plain = metrics.score(factors, factors, metrics=["infomec[estimator=neighbours]"])
    assert plain["infomec[estimator=neighbours]"] == scored["infomec[estimator=neighbours]"]
    for wrong in ("infomce", "sap"):
        with pytest.raises(ValueError, match=f"options are for '{wrong}'; "):
            metrics.score(factors, factors, metrics=["infomec", "mig"], options={wrong: {"estimator": "exact"}})


def test_options_do_not_change_the_random_numbers():
    def draws(table, rng, *, size=1):
        return {"score": rng.random()}

    plain = replace(REGISTRY["mig"], name="draws", base="draws", function=draws)
    table = Table(GOOD, GOOD)
    assert plain.score(table, 3) == plain.with_options(size=2).score(table, 3) != plain.score(table, 4)
