"""mig_sup, jemmig, dcimig and modularity: closed forms, and a second computation in loops."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from metrics import REGISTRY, Table
from tests.metrics.representations import draw_factors, make

GAPS = ("mig_sup", "jemmig", "dcimig", "modularity")


def _score(metric, codes, factors, **options):
    return REGISTRY[metric](Table(codes, factors, codes[:9], factors[:9]), np.random.default_rng(0), **options)


def _information(codes, factors):
    """Mutual information (D, K), entropies of codes and of factors, with numpy's bins and scikit-learn's counts."""
    binned = []
    for code in codes.T:
        edges = np.histogram_bin_edges(code, 20)
        binned.append(np.clip(np.digitize(code, edges[:-1]), 1, 20))
    information = np.array([[mutual_info_score(code, factor) for factor in factors.T] for code in binned])
    entropies = [[mutual_info_score(column, column) for column in columns] for columns in (binned, factors.T)]
    return information, *map(np.array, entropies)


def _mig_sup(codes, factors):
    information, _, of_factors = _information(codes, factors)
    gaps = []
    for code, row in zip(codes.T, information / of_factors, strict=True):
        best, second, *_ = sorted(row, reverse=True)
        if code.std() >= 0.05:
            gaps.append(best - second)
    return np.mean(gaps)


def _jemmig(codes, factors):
    information, of_codes, of_factors = _information(codes, factors)
    shares = []
    for column, of_factor in zip(information.T, of_factors, strict=True):
        best, second, *_ = np.argsort(-column)
        joint = of_codes[best] + of_factor - column[best]
        shares.append(1 - (joint - column[best] + column[second]) / (of_factor + np.log(20)))
    return np.mean(shares)


def _dcimig(codes, factors):
    information, _, of_factors = _information(codes, factors)
    found = dict.fromkeys(range(factors.shape[1]), 0.0)
    for row in information:
        best, second, *_ = np.argsort(-row)
        found[best] = max(found[best], row[best] - row[second])
    return sum(found.values()) / of_factors.sum()


def _modularity(codes, factors):
    scores = []
    for row in _information(codes, factors)[0]:
        best = row.argmax()
        template = np.where(np.arange(len(row)) == best, row[best], 0)
        scores.append(1 - ((row - template) ** 2).sum() / (row[best] ** 2 * (len(row) - 1)))
    return np.mean(scores)


@pytest.mark.parametrize("representation", ["aligned", "rotated", "split", "mixed"])
@pytest.mark.parametrize("metric", GAPS)
def test_against_a_second_computation(metric, representation):
    codes, factors, *_ = make(representation, 2000, 10)
    assert _score(metric, codes, factors)["score"] == pytest.approx(globals()[f"_{metric}"](codes, factors), abs=1e-9)


@pytest.mark.parametrize("metric", GAPS)
def test_the_true_factors_reach_the_ceiling(metric):
    factors = draw_factors(10_000)
    values = _score(metric, factors, factors)
    ceiling = values.get("ceiling", 1)
    assert values["score"] == pytest.approx(ceiling, abs=1e-3)
    assert ceiling > 0.8
    assert REGISTRY[metric].names[0] == "score"


@pytest.mark.parametrize("metric", ["mig", "mig_sup", "jemmig", "dcimig", "irs", "med", "minimality_sufficiency"])
def test_the_ceiling_counts_which_of_many_values_share_a_bin(metric):
    """Declared: two common values of forty lie side by side, or apart; the scores of codes do not see it."""
    common = np.random.default_rng(0).choice(40, 2000, p=[0.45, 0.45, *[0.1 / 38] * 38])
    factors = np.stack([common, np.arange(2000) % 4], axis=1)
    apart = np.column_stack([np.where(common == 1, 20, np.where(common == 20, 1, common)), factors[:, 1]])
    codes = np.random.default_rng(1).normal(size=(2000, 2)) + apart
    near, far = (_score(metric, codes, each) for each in (factors, apart))
    assert "relabelling factors (ceiling)" in REGISTRY[metric].breaks
    assert abs(far["ceiling"] - near["ceiling"]) > 0.002
    assert (far["score"] == pytest.approx(near["score"])) == ("relabelling factors" not in REGISTRY[metric].breaks)


def test_noise_scores_near_zero_where_it_should():
    factors = draw_factors(10_000)
    noise = np.random.default_rng(1).uniform(size=(10_000, 10))
    assert _score("mig_sup", noise, factors)["score"] < 0.02
    assert _score("dcimig", noise, factors)["score"] < 0.02
    assert _score("jemmig", noise, factors)["score"] < 0.02


def test_modularity_of_pure_noise_is_high():
    """Ten codes that know nothing: 0.67 with dSprites' factors, as the larger ones gather more by chance."""
    noise = np.random.default_rng(0).normal(size=(10_000, 10))
    assert _score("modularity", noise, draw_factors(10_000))["score"] == pytest.approx(0.67, abs=0.05)


def test_modularity_without_the_dead():
    factors = draw_factors(10_000)
    rng = np.random.default_rng(2)
    blurred = factors @ rng.normal(size=(5, 2)) / 10
    faint = 0.01 * rng.normal(size=(10_000, 8))
    alone, padded = (_score("modularity", codes, factors) for codes in (blurred, np.hstack([blurred, faint])))
    assert padded["active"] == alone["active"] == 2
    assert padded["without_dead"] == alone["without_dead"] == alone["score"]
    assert abs(padded["score"] - alone["score"]) > 0.05
    collapsed = _score("modularity", np.zeros((100, 3)), factors[:100])
    assert collapsed == {"score": 0, "without_dead": 0, "active": 0}


def test_modularity_by_hand():
    """A code that is the sum of two bits knows each equally: 1 - 1 / (K - 1) with a third factor unknown."""
    factors = np.stack([np.arange(8000) >> k & 1 for k in range(3)], axis=1)
    codes = factors[:, :1] + factors[:, 1:2]
    assert _score("modularity", codes, factors)["score"] == pytest.approx(0.5)


def test_mig_sup_sees_what_mig_overlooks():
    """One latent holds two factors, the other nothing: MIG's gaps are whole."""
    factors = np.stack([np.arange(8000) % 4, np.arange(8000) // 4 % 4], axis=1)
    codes = np.stack([factors[:, 0] + 4 * factors[:, 1], np.zeros(8000)], axis=1)
    assert _score("mig", codes, factors)["score"] == pytest.approx(1)
    values = _score("mig_sup", codes, factors)
    assert values["score"] == pytest.approx(0)
    assert values["active"] == 1


def test_mig_sup_leaves_the_dead_out():
    factors = draw_factors(5000)
    codes = np.hstack([factors, 0.001 * np.random.default_rng(0).normal(size=(5000, 5))])
    values = _score("mig_sup", codes, factors)
    assert values["score"] == values["ceiling"]
    assert values["with_dead"] == pytest.approx(values["score"] / 2, abs=0.02)


def test_jemmig_counts_what_a_latent_holds_beside():
    """In nats, of a bit held by a code of two bits: H(z, v) - I + 0 = 2 log 2 - log 2."""
    factors = np.stack([np.arange(8000) % 2, np.arange(8000) // 2 % 2], axis=1)
    both = np.stack([factors[:, 0] + 2 * factors[:, 1], np.zeros(8000)], axis=1)
    assert _score("jemmig", both, factors)["unnormalised"] == pytest.approx(np.log(2))
    assert _score("jemmig", factors, factors)["unnormalised"] == pytest.approx(0, abs=1e-9)
    assert _score("mig", both, factors)["score"] == pytest.approx(_score("mig", factors, factors)["score"])


def test_jemmig_of_a_constant():
    factors = np.stack([np.arange(8000) % 20, np.arange(8000) // 20 % 20], axis=1)
    assert _score("jemmig", np.zeros((8000, 2)), factors)["score"] == pytest.approx(0.5)


def test_dcimig_gives_nothing_to_a_factor_without_a_latent():
    factors = np.stack([np.arange(8000) % 4, np.arange(8000) // 4 % 2], axis=1)
    values = _score("dcimig", factors[:, [0, 0]], factors)
    assert values["gap_factor_1"] == 0
    assert values["score"] == pytest.approx(np.log(4) / (np.log(4) + np.log(2)))


def test_units_do_not_matter_to_shares():
    """A gap over an entropy is the same in bits and nats; only `unnormalised` has a unit."""
    factors = np.stack([np.arange(4000) % 2, np.arange(4000) // 2 % 2], axis=1)
    half = np.where(np.arange(4000) % 8 < 4, factors[:, 0], 1 - factors[:, 0] * 0)
    expected = mutual_info_score(half, factors[:, 0]) / np.log(2)
    assert _score("mig_sup", half[:, None], factors[:, :1])["score"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["mig_sup", "jemmig", "dcimig"])
def test_one_factor_has_no_rival(metric):
    codes = np.arange(4000)[:, None] % 20
    assert _score(metric, codes, codes)["score"] == pytest.approx(1)
