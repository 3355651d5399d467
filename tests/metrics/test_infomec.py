"""InfoMEC: closed forms, scikit-learn's estimator as a second computation, and where the three versions differ."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.preprocessing import StandardScaler

from metrics import REGISTRY, Table
from metrics.infomec import _distance_to_neighbour, _find_quantised, _information_by_neighbours, infomec
from tests.metrics.representations import draw_factors, make

PARTS = ("infom", "infoe", "infoc")


def _infomec(codes, factors, codes_test=None, factors_test=None, seed=0, **options):
    """Without rows to test on those to train serve, as in the published code."""
    test = (codes, factors) if codes_test is None else (codes_test, factors_test)
    return infomec(Table(codes, factors, *test), np.random.default_rng(seed), **options)


def _bits(count, rows=4096):
    return np.stack([np.arange(rows) >> k & 1 for k in range(count)], axis=1)


def _ratio(shares):
    """The sparsity of the rows, as the paper has it."""
    columns = shares.shape[1]
    return np.mean([(row.max() / row.sum() - 1 / columns) / (1 - 1 / columns) for row in shares])


def _shares(codes, factors, neighbours):
    return np.array(
        [
            [
                mutual_info_classif(code[:, None], factor, n_neighbors=neighbours, random_state=0)[0]
                / mutual_info_score(factor, factor)
                for factor in factors.T
            ]
            for code in codes.T
        ]
    )


@pytest.mark.parametrize(("version", "neighbours", "share"), [("latent_quantization", 10, 1 / 20), ("first", 3, 1 / 8)])
@pytest.mark.parametrize("representation", ["aligned", "mixed"])
def test_against_scikit_learns_estimator(representation, version, neighbours, share):
    codes, factors, codes_test, factors_test = make(representation, 600, 50)
    ranges = np.ptp(codes, axis=0)
    shares = _shares(codes[:, ranges > share * ranges.max()], factors, neighbours)
    values = _infomec(codes, factors, codes_test, factors_test, version=version)
    assert values["infom"] == pytest.approx(_ratio(shares), abs=1e-3)
    assert values["infoc"] == pytest.approx(_ratio(shares.T), abs=1e-3)
    assert values["active"] == len(shares)
    assert values["score"] == values["infom"]


def test_tripods_version_goes_by_the_distance_between_quartiles():
    """A code that is far from rest in a few rows alone has range and no such distance."""
    factors = draw_factors(1000)
    rng = np.random.default_rng(0)
    codes = factors + 0.01 * rng.normal(size=factors.shape)
    seldom = np.where(np.arange(1000) < 100, 40, 0.0)[:, None] + 0.01 * rng.normal(size=(1000, 1))
    ours, tripods = (
        _infomec(np.hstack([codes, seldom]), factors, version=version) for version in ("latent_quantization", "tripod")
    )
    assert (ours["active"], tripods["active"]) == (6, 4)  # shape, too, varies by less than a tenth of orientation
    assert tripods["infom"] == pytest.approx(_infomec(codes[:, 1:], factors, version="tripod")["infom"], abs=1e-3)


def test_tripods_version_of_quantised_codes_goes_by_a_distance_of_a_tenth():
    bits = _bits(3).astype(float)
    codes = bits * [2, 0.2, 0.05] - [1, 0.1, 0.025]
    assert _infomec(codes, bits, version="tripod")["active"] == 2
    assert _infomec(codes, bits)["active"] == 3


def test_the_estimator_on_repeated_values():
    """A code of a few values, jittered: rows at the same distance are near or far together, but for the jitter."""
    factors = draw_factors(1500)[:, :3]
    codes = factors[:, [0, 1]] + factors[:, [1, 2]] // 4
    information = _information_by_neighbours(codes.astype(float), factors, 10, np.random.default_rng(0))
    entropies = [mutual_info_score(factor, factor) for factor in factors.T]
    assert information / entropies == pytest.approx(_shares(codes, factors, 10), abs=0.015)


def test_distances_to_a_neighbour():
    ordered = np.sort(np.random.default_rng(0).integers(200, size=40))
    away = np.sort(np.abs(ordered[:, None] - ordered), axis=1)
    for k in (1, 3, 39):
        assert _distance_to_neighbour(ordered, k) == pytest.approx(away[:, k])


@pytest.mark.parametrize(
    ("shift", "expected"), [(1, np.log(2)), (0.5, 0.5 * np.log(2)), (0.1, 0.1 * np.log(2)), (0, 0)]
)
def test_information_of_overlapping_uniforms(shift, expected):
    """Two values move a uniform code by `shift`: so much of its mass tells them apart."""
    rng = np.random.default_rng(0)
    factor = rng.integers(2, size=(10_000, 1))
    code = rng.uniform(size=(10_000, 1)) + shift * factor
    assert _information_by_neighbours(code, factor, 10, rng).item() == pytest.approx(expected, abs=0.02)


def test_the_published_explicitness():
    """Theirs on the rows that it was fitted to; the constant is fitted too, to codes that are 0."""
    codes, factors, *_ = make("mixed", 1000, 10)
    shares = []
    for factor in factors[:, :2].T:
        losses = []
        for inputs in (StandardScaler().fit_transform(codes), np.zeros_like(codes)):
            model = LogisticRegression(C=np.inf, class_weight="balanced").fit(inputs, factor)
            losses.append(log_loss(factor, model.predict_proba(inputs)))
        shares.append(1 - losses[0] / losses[1])
    assert _infomec(codes, factors[:, :2])["infoe"] == pytest.approx(np.mean(shares), abs=1e-3)


def test_a_sum_of_two_bits_by_hand():
    """It knows half of each and nothing of a third: 1/2 of its information lies in one, where 1/3 is the least."""
    factors = _bits(3)
    codes = factors[:, :1] + factors[:, 1:2]
    values = _infomec(codes, factors, estimator="exact")
    assert values["infom"] == pytest.approx((1 / 2 - 1 / 3) / (1 - 1 / 3))
    # The middle value leaves log 2, the outer ones nothing: half the loss, for two factors of three.
    assert values["infoe"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3, abs=1e-3)
    assert values["active"] == 1


def test_compactness_by_hand():
    """One factor in two copies of a bit, one in one code: 1/2 and 1 of it where 1/3 is the least."""
    factors = _bits(2)
    values = _infomec(factors[:, [0, 0, 1]], factors, estimator="exact")
    assert values["infoc"] == pytest.approx(((1 / 2 - 1 / 3) / (2 / 3) + 1) / 2)
    assert values["infom"] == pytest.approx(1)


@pytest.mark.parametrize("version", ["latent_quantization", "first", "tripod"])
@pytest.mark.parametrize("estimator", ["auto", "neighbours", "exact"])
def test_the_true_factors_reach_one(estimator, version):
    factors = draw_factors(2000)[:, :2]
    values = _infomec(factors, factors, estimator=estimator, version=version)
    assert [values[part] for part in PARTS] == pytest.approx([1, 1, 1], abs=0.02)


def test_noise_makes_no_factor_explicit_and_shares_out_the_little_it_knows():
    codes, factors = np.random.default_rng(1).normal(size=(3000, 8)), draw_factors(3000)[:, :2]
    values = _infomec(codes[:2000], factors[:2000], codes[2000:], factors[2000:])
    assert values["infoe"] < 0.01
    assert values["infom"] > 0.2, "declared: chance is not 0"


def test_explicitness_asks_for_a_linear_reading():
    """Of four values in a row a line does not tell the odd from the even, though they are known."""
    codes = np.random.default_rng(0).integers(4, size=(3000, 1))
    factors = {"parity": codes % 2, "half": codes // 2}
    values = {name: _infomec(codes, each, estimator="neighbours") for name, each in factors.items()}
    assert values["half"]["infoe"] > 0.99
    assert values["parity"]["infoe"] < 0.2
    assert _infomec(codes, codes % 2)["infoe"] > 0.99, "one-hot values are all told"


def test_explicitness_is_measured_on_test_rows_and_the_rest_is_not():
    codes, factors, codes_test, factors_test = make("aligned", 1000, 400)
    factors, factors_test = factors[:, :2], factors_test[:, :2]
    honest = _infomec(codes, factors, codes_test, factors_test)
    scrambled = _infomec(codes, factors, codes_test, factors_test[::-1])
    assert scrambled["infoe"] == 0, "worse than the constant is no less than 0"
    assert honest["infoe"] > 0.9
    assert [honest[part] for part in ("infom", "infoc")] == [scrambled[part] for part in ("infom", "infoc")]


def test_a_rare_value_weighs_as_much_as_a_common_one():
    """The constant is uniform: what a code that knows nothing reaches too, though nine of ten rows are alike."""
    rng = np.random.default_rng(0)
    factors = (rng.random((4000, 1)) < 0.1).astype(int)
    noise, telling = rng.normal(size=(4000, 1)), factors + rng.normal(size=(4000, 1)) / 100
    assert _infomec(noise[:2000], factors[:2000], noise[2000:], factors[2000:])["infoe"] < 0.01
    assert _infomec(telling[:2000], factors[:2000], telling[2000:], factors[2000:])["infoe"] > 0.99


@pytest.mark.parametrize(
    ("estimator", "version", "active"),
    [
        ("neighbours", "latent_quantization", 2),
        ("neighbours", "first", 1),
        ("exact", "latent_quantization", 3),
        ("exact", "first", 1),
        ("auto", "latent_quantization", 3),
    ],
)
def test_which_latents_are_active(estimator, version, active):
    """Ranges 1, 1/10 and 1/100: quantised latents are active at any range in the present version."""
    factors = _bits(3)
    values = _infomec(factors * [1, 0.1, 0.01], factors, estimator=estimator, version=version)
    assert values["active"] == active


@pytest.mark.parametrize("estimator", ["auto", "neighbours", "exact"])
def test_dead_codes_change_nothing(estimator):
    factors = draw_factors(900)[:, :3]
    codes = factors // [1, 2, 2] + factors[:, [1, 2, 0]] // 3
    padded = np.hstack([codes, np.full((900, 2), 0.1)])
    alone, with_dead = (_infomec(each, factors, estimator=estimator) for each in (codes, padded))
    assert with_dead == pytest.approx(alone, abs=5e-3)
    assert with_dead["active"] == 3
    dead = _infomec(np.full((900, 2), 0.1), factors, estimator=estimator)
    assert dead == pytest.approx({"score": 0, "infom": 0, "infoe": 0, "infoc": 0, "active": 0}, abs=1e-9)


def test_a_latent_without_information_counts_as_zero():
    """The published quotient is 0 / 0 there."""
    factors = _bits(3)
    values = _infomec(factors, factors[:, :2], estimator="exact")
    assert values["infom"] == pytest.approx(2 / 3)
    assert values["infoc"] == pytest.approx(1)


def test_one_factor_or_one_code_shares_with_none():
    factors = draw_factors(600)[:, :2]
    codes = factors + np.random.default_rng(0).normal(size=(600, 2)) / 50
    assert _infomec(codes, factors[:, :1])["infom"] == 1
    assert _infomec(codes[:, :1], factors)["infoc"] == 1


@pytest.mark.parametrize("estimator", ["auto", "neighbours", "exact"])
def test_values_that_only_test_rows_have(estimator):
    """Nothing is told of rows of a factor's unseen value; a code's unseen value has no indicator."""
    factors = np.arange(600)[:, None] % np.array([4, 3])
    strange, strange_codes = factors.copy(), factors.copy()
    strange[:50, 0], strange_codes[50:60] = 9, 11
    expected = _infomec(factors, factors, factors[50:], factors[50:], estimator=estimator)
    got = _infomec(factors, factors, factors, strange, estimator=estimator)
    assert got["infoe"] == pytest.approx(expected["infoe"] * (550 / 600 + 1) / 2, abs=1e-3)
    one_factor = np.stack([np.full(600, 9), factors[:, 1]], axis=1)
    half = _infomec(factors, factors, factors, one_factor, estimator=estimator)
    assert half["infoe"] == pytest.approx(expected["infoe"] / 2, abs=1e-3), "a factor does not vanish"
    assert np.isfinite(_infomec(factors, factors, strange_codes, strange, estimator=estimator)["infoe"])
    only_strange = _infomec(factors, factors, factors, np.full_like(factors, 9), estimator=estimator)
    assert only_strange["infoe"] == 0


def test_values_of_one_row_have_no_neighbour():
    rng = np.random.default_rng(0)
    factors, codes = rng.integers(90, size=(200, 2)), rng.normal(size=(200, 2))
    assert 1 in np.unique(factors[:, 0], return_counts=True)[1]
    assert all(np.isfinite(list(_infomec(codes, factors).values())))


def _names_in_disorder(rows=3000):
    """Codes that hold the factors whole, under other numbers."""
    factors = draw_factors(rows)[:, :3] % 20
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(20)[column] for column in factors.T], axis=1), factors


def test_quantised_codes_are_counted():
    """One code of twelve values holds two factors whole: on a line the values of neither lie together."""
    factors = draw_factors(3000)[:, :2] % [3, 4]
    codes = np.random.default_rng(0).permutation(12)[factors @ [4, 1]][:, None]
    values = _infomec(codes, factors)
    assert values["infoe"] > 0.99
    assert values == _infomec(codes, factors, estimator="exact")
    assert _infomec(codes, factors, estimator="neighbours")["infoe"] < 0.6
    codes, factors = _names_in_disorder()
    values = _infomec(codes, factors)
    assert [values[part] for part in PARTS] == pytest.approx([1, 1, 1], abs=0.02)


def test_quantised_codes_have_one_answer_whatever_the_seed():
    """Nearly noise in eleven steps: the neighbours of tied codes were their jitter, and `infoc` 0.3 to 0.6 by seed."""
    rng = np.random.default_rng(0)
    factors = draw_factors(2000)[:, :3] % 5
    codes = np.rint(2 * rng.normal(size=(2000, 6))).clip(-5, 5) + (factors[:, :1] > 1)
    assert _infomec(codes, factors, seed=0) == _infomec(codes, factors, seed=1)
    by_neighbours = [_infomec(codes, factors, seed=seed, estimator="neighbours")["infoc"] for seed in (0, 1)]
    assert by_neighbours[0] != by_neighbours[1]


@pytest.mark.parametrize(
    ("rows", "values", "quantised"),
    [(1000, 100, True), (999, 100, False), (2000, 101, False), (60, 6, True), (60, 7, False), (60, 1, True)],
)
def test_which_codes_are_quantised(rows, values, quantised):
    """At most 100 values, with ten rows each or more."""
    codes = np.stack([np.arange(rows) % values, np.arange(rows)], axis=1)
    assert _find_quantised(codes / 7).tolist() == [quantised, False]


def test_each_code_is_judged_by_its_own_kind():
    codes, factors = _names_in_disorder(1500)
    smooth = np.random.default_rng(0).normal(size=(1500, 2)) + factors[:, :2]
    values = _infomec(np.hstack([smooth, codes[:, 2:]]), factors)
    alone = _infomec(smooth, factors, estimator="neighbours")
    assert values["active"] == 3
    assert alone["infoe"] + 0.15 < values["infoe"] < 1
    assert _infomec(smooth, factors) == alone, "continuous codes are measured as ever"


def test_same_stream_same_numbers():
    codes, factors, *_ = make("split", 600, 10)
    first, second, other = (_infomec(codes, factors[:, :2], seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert other == pytest.approx(first, abs=1e-3), "the jitter hardly matters"
    assert set(first) == set(REGISTRY["infomec"].names)
    assert all(type(value) is float for value in first.values())


def test_scale_signs_and_order_change_nothing():
    codes, factors, *_ = make("mixed", 500, 10)
    factors = factors[:, :2]
    expected = _infomec(codes, factors)
    for changed in (codes * 1e-6, codes * np.tile([-1, 1], 5), codes[:, ::-1]):
        assert _infomec(changed, factors) == pytest.approx(expected, abs=5e-3)
    assert _infomec(codes, factors[:, ::-1] * 7 - 3) == pytest.approx(expected, abs=5e-3)


@pytest.mark.filterwarnings("error", category=ConvergenceWarning)
def test_codes_that_separate_the_values_do_not_warn():
    """Without a penalty there is no optimum."""
    factors = draw_factors(300)[:, :1]
    assert _infomec(100.0 * np.eye(3)[factors[:, 0]], factors)["infoe"] > 0.99


def test_options_that_do_not_fit_have_a_sentence():
    codes, factors, *_ = make("mixed", 100, 10)
    with pytest.raises(ValueError, match=r"no version 'second'.*'latent_quantization' and 'first' and 'tripod'"):
        _infomec(codes, factors, version="second")
    with pytest.raises(ValueError, match=r"estimator 'bins'"):
        _infomec(codes, factors, estimator="bins")
    with pytest.raises(ValueError, match=r"100 values in 100 rows.*'neighbours'"):
        _infomec(codes, factors, estimator="exact")
