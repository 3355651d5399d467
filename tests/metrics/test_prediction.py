"""sap, explicitness, dci_es and downstream: closed forms, second computations, and the traps of published code."""

import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC

from metrics import REGISTRY, Table, boosting, prediction
from tests.metrics.representations import draw_factors, make


def _score(metric, *arrays, **options):
    return REGISTRY[metric](Table(*arrays), np.random.default_rng(0), **options)


def _few_factors(name="mixed", train=1200, test=600):
    """Rows of a representation with its shape, scale and position in eight values."""
    codes, factors, codes_test, factors_test = make(name, train, test)
    kept, width = [0, 1, 4], [1, 1, 4]
    return codes, factors[:, kept] // width, codes_test, factors_test[:, kept] // width


def _bits(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(2, size=(rows, columns))


# --- shared ----------------------------------------------------------------------------------------


def test_standardised_codes():
    rng = np.random.default_rng(0)
    codes = rng.normal(3, [1e-20, 1, 1e20], size=(500, 3))
    codes = np.hstack([codes, np.full((500, 1), 0.1)])  # whose deviation is not 0 but rounding
    train, test = prediction.standardise(Table(codes[:400], _bits(400, 2), codes[400:], _bits(100, 2)))
    np.testing.assert_allclose(train[:, 1:3].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(train[:, 1:3].std(0), 1)
    np.testing.assert_allclose(test[:, 1], (codes[400:, 1] - codes[:400, 1].mean()) / codes[:400, 1].std())
    assert not train[:, 3].any()
    assert not test[:, 3].any()


# --- sap -------------------------------------------------------------------------------------------


def test_sap_against_a_second_computation():
    codes, factors, codes_test, factors_test = arrays = _few_factors()
    values = _score("sap", *arrays)
    gaps, continuous = [], []
    for k, factor in enumerate(factors.T):
        accuracies = [
            LinearSVC(C=0.01, class_weight="balanced").fit(c[:, None], factor).score(t[:, None], factors_test[:, k])
            for c, t in zip(codes.T, codes_test.T, strict=True)
        ]
        correlations = [pearsonr(code, factor).statistic ** 2 for code in codes.T]
        gaps.append(np.diff(sorted(accuracies))[-1])
        continuous.append(np.diff(sorted(correlations))[-1])
    assert values["score"] == pytest.approx(np.mean(gaps))
    assert values["continuous"] == pytest.approx(np.mean(continuous))
    assert values["gap_factor_2"] == pytest.approx(gaps[2])


def test_sap_of_a_collapsed_latent_is_not_chance():
    """One code knows both bits, one is constant: were its accuracy one half, the gap would be one half too."""
    bits = _bits(900, 1)
    codes = np.hstack([bits, np.full_like(bits, 0.1, dtype=float)])
    values = _score("sap", codes[:600], bits[:600], codes[600:], bits[600:])
    assert values["score"] == pytest.approx(1)
    assert values["continuous"] == pytest.approx(1)
    dead = _score("sap", 0 * codes[:600], bits[:600], codes[600:], bits[600:])
    assert (dead["score"], dead["continuous"]) == (0, 0)


def test_sap_needs_its_continuous_form_for_many_values():
    """A line on one number tells the outer of 32 values apart only; their correlation is whole."""
    factors = draw_factors(3000)[:, 3:4]
    codes = np.hstack([factors, np.random.default_rng(0).normal(size=(3000, 1))])
    values = _score("sap", codes[:2000], factors[:2000], codes[2000:], factors[2000:])
    assert values["score"] < 0.3
    assert values["continuous"] == pytest.approx(1, abs=0.01)


def test_sap_is_judged_on_the_test_rows():
    codes, factors, codes_test, factors_test = _few_factors("aligned")
    honest = _score("sap", codes, factors, codes_test, factors_test)
    scrambled = _score("sap", codes, factors, codes_test, np.random.default_rng(0).permutation(factors_test))
    assert scrambled["score"] < 0.1 < honest["score"]
    assert scrambled["continuous"] == honest["continuous"]


# --- explicitness ----------------------------------------------------------------------------------


def test_explicitness_against_scikit_learn():
    codes, factors, codes_test, factors_test = arrays = _few_factors()
    values = _score("explicitness", *arrays)
    mean, deviation = codes.mean(0), codes.std(0)
    for k, name in enumerate(("factor_0", "factor_1", "factor_2")):
        classifier = LogisticRegression().fit((codes - mean) / deviation, factors[:, k])
        chances = classifier.predict_proba((codes_test - mean) / deviation)
        expected = roc_auc_score(factors_test[:, k], chances, multi_class="ovr", average="macro")
        assert values[f"auc_{name}"] == pytest.approx(expected, abs=1e-4)
    assert values["score"] == pytest.approx(np.mean([values[f"auc_factor_{k}"] for k in range(3)]))


def test_explicitness_of_noise_is_a_half():
    factors = draw_factors(3000)[:, :2]
    noise = np.random.default_rng(0).normal(size=(3000, 10))
    assert _score("explicitness", noise, factors)["score"] == pytest.approx(0.5, abs=0.03)
    assert _score("explicitness", np.zeros((300, 2)), factors[:300])["score"] == pytest.approx(0.5)


def test_explicitness_leaves_out_values_it_cannot_judge():
    factors = np.arange(600)[:, None] % 3
    codes = factors + 0.01 * np.random.default_rng(0).normal(size=(600, 1))
    some = factors[:, 0] < 2
    assert _score("explicitness", codes, factors, codes[some], factors[some])["score"] > 0.9  # one is not in the test
    assert _score("explicitness", codes[some], factors[some], codes, factors)["score"] > 0.7  # nor in the training
    with pytest.raises(ValueError, match=r"two values of factor 'factor_0' that training rows have\.$"):
        _score("explicitness", codes, factors, codes[::3], factors[::3])


# --- dci_es ----------------------------------------------------------------------------------------


def test_linear_codes_are_explicit_and_noise_is_not():
    factors = draw_factors(1500)
    rng = np.random.default_rng(0)
    linear = factors @ rng.normal(size=(5, 6))
    values = _score("dci_es", linear, factors)
    assert values["score"] == pytest.approx(1, abs=0.03)
    assert values["size"] == pytest.approx(5 / 6)
    assert _score("dci_es", rng.normal(size=(1500, 6)), factors)["score"] == 0
    assert _score("dci_es", np.zeros((90, 2)), factors[:90, :2])["score"] == 0


def test_the_more_a_factor_is_bent_the_less_explicit():
    """A sine of ever higher frequency holds a factor that no line, and ever larger probes, can read."""
    factors = np.random.default_rng(1).integers(16, size=(3000, 1))
    unit = factors / 15
    scores = []
    for turns in (0.05, 1, 2):
        codes = np.hstack([np.sin(2 * np.pi * turns * unit), np.cos(2 * np.pi * turns * unit), unit**2])[:, :2]
        scores.append(_score("dci_es", codes, factors)["score"])
    assert scores[0] > 0.95
    assert scores[0] > scores[1]


def test_the_area_is_that_of_the_triangle():
    """By hand: a straight line from baseline to best is 0, a drop at once 1, none before the end nearly -1."""
    import importlib

    area = importlib.import_module("metrics.dci_es")._explicitness
    capacities = np.linspace(0, 4, 5)
    assert area(np.array([1, 0.75, 0.5, 0.25, 0]), capacities) == pytest.approx(0)
    assert area(np.array([0.2, 0.2, 0.2, 0.2, 0.2]), capacities) == pytest.approx(1)
    assert area(np.array([1, 1, 1, 1, 0]), capacities) == pytest.approx(1 - 2 * 3.5 / 4)
    assert area(np.array([0.5, 0, 0.1, 0.3, 0.3]), capacities) == pytest.approx(1 - 2 * 0.25 / 4)  # up to the best
    assert area(np.array([1, 1, 0.995, 1, 1]), capacities) == 0  # nothing to speak of is known


# --- downstream ------------------------------------------------------------------------------------


def test_downstream_logistic_is_scikit_learns_cross_validation():
    """On raw codes as in the study: standardised, the five faint codes of `aligned` would be as loud as the others."""
    codes, factors, codes_test, factors_test = arrays = _few_factors("aligned", 100)
    ours = _score("downstream", *arrays, rows=(100,), estimators=("logistic",))
    accuracies = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for train, test in ((codes, codes_test), prediction.standardise(Table(*arrays))):
            models = [LogisticRegressionCV(Cs=10, cv=KFold(5)).fit(train, factor) for factor in factors.T]
            right = [model.predict(test) == wanted for model, wanted in zip(models, factors_test.T, strict=True)]
            accuracies.append(np.mean(right))
    assert ours["score"] == ours["logistic_100"] == pytest.approx(accuracies[0], abs=0.01)
    assert abs(accuracies[0] - accuracies[1]) > 0.03


def test_downstream_values_and_efficiency(monkeypatch):
    monkeypatch.setattr(boosting, "STEPS", 10)
    arrays = _few_factors("aligned", 1000, 300)
    values = _score("downstream", *arrays, estimators=("trees", "logistic"), rows=(10, 30, 60))
    assert set(values) == {
        "score",
        *(f"{name}_{rows}" for name in ("trees", "logistic") for rows in (10, 30, 60)),
        *(f"{name}_efficiency" for name in ("trees", "logistic")),
    }
    assert values["score"] == values["trees_60"]
    assert values["trees_efficiency"] == pytest.approx(values["trees_30"] / values["trees_60"])
    assert values["logistic_60"] > values["logistic_30"] > values["logistic_10"] > 0.3


def test_downstream_with_few_rows_of_one_value():
    """Two rows, and folds, with one value each leave nothing to learn but that value."""
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 30)
    codes = factors + 0.01
    values = _score("downstream", codes, factors, rows=(1, 2, 3), estimators=("logistic", "trees"))
    assert all(value >= 0 for value in values.values())
    assert "logistic_10000" not in _score("downstream", codes, factors, estimators=("logistic",))


@pytest.mark.parametrize("options", [{"rows": (1000,)}, {"estimators": ("forest",)}, {"estimators": ()}, {"rows": ()}])
def test_downstream_refuses_what_it_cannot_do(options):
    bits = _bits(90, 2)
    with pytest.raises(ValueError, match=r"'logistic' and 'trees' are needed\.$"):
        _score("downstream", bits, bits, **options)


@pytest.mark.parametrize("metric", ["explicitness", "downstream", "infomec", "sap", "dci"])
def test_few_rows_of_many_values_do_not_warn(metric):
    """Warnings are errors here; scikit-learn has one for more values than half the rows."""
    rng = np.random.default_rng(0)
    factors = np.stack([np.arange(90) % 40, rng.integers(2, size=90)], axis=1)
    factors_test = np.stack([np.arange(30) % 40, rng.integers(2, size=30)], axis=1)
    values = _score(metric, rng.normal(size=(90, 3)), factors, rng.normal(size=(30, 3)), factors_test)
    assert np.isfinite(list(values.values())).all()
