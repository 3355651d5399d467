import importlib
import warnings
from contextlib import contextmanager

import lightgbm
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from metrics import REGISTRY, Table
from tests.metrics.representations import make

# The package's attributes of these names are the metrics themselves.
boosting, dci_module, fast_module = (
    importlib.import_module(f"metrics.{name}") for name in ("boosting", "dci", "dci_fast")
)
dci, dci_fast = REGISTRY["dci"], REGISTRY["dci_fast"]
SIZES = (2, 3, 4)
both = pytest.mark.parametrize("metric", [dci, dci_fast], ids=["dci", "dci_fast"])


@pytest.mark.parametrize("estimator", ["boosted_trees", "random_forest"])
@pytest.mark.parametrize("unit", [2.0**180, 2.0**-180])
def test_a_unit_beyond_float32_changes_nothing(estimator, unit):
    factors = _factors()
    codes = factors + np.random.default_rng(1).normal(size=factors.shape)
    found = [
        dci.with_options(estimator=estimator).score(
            Table(size * codes[:400], factors[:400], size * codes[400:], factors[400:]), 0
        )
        for size in (1, unit)
    ]
    assert found[0] == found[1]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    """A quarter of the trees, for the tests' speed; tests that compare with the study's number set it back."""
    for module in (boosting, fast_module):
        monkeypatch.setattr(module, "STEPS", 25)
    monkeypatch.setattr(dci_module, "TREES", 20)


@pytest.fixture
def all_steps(monkeypatch, _few_steps):
    for module in (boosting, fast_module):
        monkeypatch.setattr(module, "STEPS", 100)


def _factors(rows=600, sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(size, size=rows) for size in sizes], axis=1)


def _table(codes, factors):
    return Table(codes, factors, factor_names=[f"f{k}" for k in range(factors.shape[1])])


def _split_in_order(codes, factors):
    """The last third tests: as many rows of each value as there are before."""
    first = len(codes) - len(codes) // 3
    names = [f"f{k}" for k in range(factors.shape[1])]
    return Table(codes[:first], factors[:first], codes[first:], factors[first:], names)


def _mixed(factors, latents=5, noise=0.3):
    rng = np.random.default_rng(1)
    unit = (factors - factors.mean(0)) / factors.std(0)
    return unit @ rng.normal(size=(factors.shape[1], latents)) + noise * rng.normal(size=(len(factors), latents))


def _numbers(metric, table, seed=0, **options):
    return metric(table, np.random.default_rng(seed), **options)


# What the numbers are


def _summary(importances):
    """DCI of given importances (D, K)."""
    factors = importances.shape[1]
    fitted = dci_module.Fitted(np.asarray(importances, float), np.full(factors, 0.9), np.full(factors, 0.8))
    return dci_module.summarise(_table(np.zeros((9, len(importances))), np.tile([[0], [1], [2]], (3, factors))), fitted)


@pytest.mark.parametrize(
    ("importances", "disentanglement", "completeness"),
    [
        (np.eye(4), 1, 1),
        (np.full((3, 5), 2.0), 0, 0),
        (np.vstack([np.eye(2), np.zeros((2, 2))]), 1, 1),  # dead codes
        ([[1, 1, 0, 0], [0, 0, 1, 1]], 0.5, 1),  # two factors a code: ln 2 of ln 4
        ([[1, 0], [1, 0], [0, 1], [0, 1]], 1, 0.5),  # two codes a factor
        ([[7, 0], [0, 0.1]], 1, 1),  # each factor counts as much, whatever its scale
        ([[1], [1], [0]], 1, 1 - np.log(2) / np.log(3)),  # one factor has no other
        ([[1, 1, 3]], 0, 1),  # one code has no other, and holds all
        (np.zeros((3, 2)), 0, 0),  # nothing is told
    ],
)
def test_closed_forms(importances, disentanglement, completeness):
    values = _summary(np.array(importances))
    assert values["score"] == values["disentanglement"] == pytest.approx(disentanglement, abs=1e-8)
    assert values["completeness"] == pytest.approx(completeness, abs=1e-8)
    assert values["informativeness_train"] == pytest.approx(0.9)
    assert values["informativeness_test"] == pytest.approx(0.8)
    assert values["informativeness_test_f0"] == pytest.approx(0.8)


def test_a_code_weighs_by_its_share_of_the_importances():
    """By hand: the first code has 1.5 of the mass 2 and shares 2/3, 1/3."""
    own = 1 - (np.log(3) - 2 / 3 * np.log(2)) / np.log(2)
    values = _summary(np.array([[1, 0.5], [0, 0.5]]))
    assert values["disentanglement"] == pytest.approx(0.75 * own + 0.25, abs=1e-8)
    assert (values["completeness_f0"], values["completeness_f1"]) == pytest.approx((1, 0), abs=1e-8)


@pytest.mark.parametrize("shape", [(3, 5), (10, 2)])
def test_against_a_second_computation(shape):
    importances = np.random.default_rng(0).exponential(size=shape)
    shares = importances / importances.sum(0)
    codes = [1 - entropy(row, base=shape[1]) for row in shares]
    factors = [1 - entropy(column, base=shape[0]) for column in shares.T]
    values = _summary(importances)
    assert values["disentanglement"] == pytest.approx(np.average(codes, weights=shares.sum(1)), abs=1e-8)
    assert values["completeness"] == pytest.approx(np.mean(factors), abs=1e-8)


@both
def test_two_factors_in_each_code_are_half_disentangled(metric):
    """A true 0.50 of unequal numbers of codes and factors, which a scrambled matrix of importances misses."""
    factors = _factors(sizes=(2, 2, 2, 2))
    noise = np.random.default_rng(3).normal(size=(600, 3))
    codes = np.column_stack(
        [noise[:, 0], 2 * factors[:, 3] + factors[:, 1], noise[:, 1:], 2 * factors[:, 0] + factors[:, 2]]
    )
    values = _numbers(metric, _table(codes, factors))
    assert values["disentanglement"] == pytest.approx(0.5, abs=0.01)
    assert values["completeness"] == pytest.approx(1, abs=0.01)
    assert values["informativeness_test"] == 1


@both
def test_a_factor_split_over_two_codes_is_not_complete(metric):
    factors = _factors(sizes=(2, 4, 4))
    codes = np.column_stack([factors[:, 0], factors[:, 1] // 2, factors[:, 1] % 2, factors[:, 2]]).astype(float)
    values = _numbers(metric, _table(codes, factors))
    assert values["disentanglement"] == pytest.approx(1, abs=0.01)
    parts = [values[f"completeness_f{k}"] for k in range(3)]
    assert parts == pytest.approx([1, 0.5, 1], abs=0.02)  # ln 2 of ln 4
    assert values["completeness"] == pytest.approx(np.mean(parts))


@both
def test_the_factors_themselves_reach_one(metric):
    factors = _factors()
    values = _numbers(metric, _table(factors[:, ::-1], factors))
    assert [values[name] for name in metric.columns] == pytest.approx([1, 1, 1], abs=0.01)


@both
def test_noise_tells_nothing(metric):
    factors = _factors(1500, (2, 3, 3))
    values = _numbers(metric, _table(np.random.default_rng(1).normal(size=(1500, 6)), factors))
    assert values["disentanglement"] < 0.05
    assert values["completeness"] < 0.05
    assert values["informativeness_test"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 3) / 3, abs=0.05)


# Predictors


@pytest.mark.parametrize(("column", "width"), [(0, 2), (0, 1), (4, 4)], ids=["2 values", "3 values", "8 values"])
def test_trees_are_scikit_learns(column, width, monkeypatch):
    """The same numbers, as long as rounding does not part two equally good splits: for some steps at least."""
    codes, factors, codes_test, _ = make("rotated", 1000, 200)
    factor = factors[:, column] // width
    monkeypatch.setattr(boosting, "STEPS", 4)
    trees = boosting.BoostedTrees(codes.astype(np.float32), factor, codes_test.astype(np.float32), 7)
    boosting.grow_side_by_side([trees], 2)
    theirs = GradientBoostingClassifier(n_estimators=4, random_state=7).fit(codes, factor)
    np.testing.assert_allclose(trees.scores_test.squeeze(), theirs.decision_function(codes_test), atol=1e-9)
    np.testing.assert_allclose(trees.importances / trees.importances.sum(), theirs.feature_importances_, atol=1e-9)
    for guesses, rows in zip(trees.predict(), (codes, codes_test), strict=True):
        np.testing.assert_array_equal(guesses, theirs.predict(rows))


def test_all_of_it_is_scikit_learns(all_steps):
    factors = _factors(300)
    table = _table(_mixed(factors), factors)
    fitted = [GradientBoostingClassifier(random_state=1).fit(table.codes, factor) for factor in table.factors.T]
    importances = np.stack([one.feature_importances_ for one in fitted], axis=1)
    expected = _summary(importances)
    values = _numbers(dci, table)
    for name in ("disentanglement", "completeness", "completeness_f1"):
        assert values[name] == pytest.approx(expected[name], abs=5e-3)
    for name, codes, truths in (("train", table.codes, table.factors), ("test", table.codes_test, table.factors_test)):
        right = [one.score(codes, truth) for one, truth in zip(fitted, truths.T, strict=True)]
        assert values[f"informativeness_{name}"] == pytest.approx(np.mean(right), abs=0.01)


def test_lasso_sees_lines():
    factors = _factors(1500, (2, 2))
    a, b = (factors - 0.5).T
    straight = _numbers(dci, _table(np.stack([b, a, 0 * a], axis=1), factors), estimator="lasso")
    turned = _numbers(dci, _table(np.stack([a + b, 100 * (a - b)], axis=1), factors), estimator="lasso")
    assert [straight[name] for name in dci.columns] == pytest.approx([1, 1, 1], abs=0.01)
    # Weights of standardised codes are equal however the codes are scaled.
    assert [turned[name] for name in dci.columns] == pytest.approx([0, 0, 1], abs=0.01)


def test_lasso_does_not_mind_rows_in_order():
    """Folds of rows that stand together would each lack the values that they are tried on."""
    factors = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2).repeat(8, axis=0)
    codes = factors @ np.array([[1, 0.5], [0.5, 1]]) + np.random.default_rng(0).normal(size=(512, 2))
    drawn = np.random.default_rng(1).permutation(512)
    tables = [Table(codes[order], factors[order], codes, factors) for order in (np.arange(512), drawn)]
    in_order, shuffled = (_numbers(dci, table, estimator="lasso") for table in tables)
    assert in_order == pytest.approx(shuffled, abs=0.01)


def test_lasso_is_right_where_the_nearest_value_is():
    factors = np.stack([np.tile([0, 5, 7], 300), np.random.default_rng(0).integers(2, size=900)], axis=1)
    values = _numbers(dci, _table(factors.astype(float), factors), estimator="lasso")
    assert values["informativeness_train"] == values["informativeness_test"] == 1


@pytest.mark.parametrize("estimator", ["random_forest", "lasso"])
def test_other_estimators_order_representations(estimator):
    factors = _factors(300)
    noise = np.random.default_rng(2).normal(size=(300, 5))
    tables = [_table(codes, factors) for codes in (factors + 0.1 * noise[:, :3], _mixed(factors), noise)]
    values = [_numbers(dci, table, estimator=estimator) for table in tables]
    for name in ("disentanglement", "completeness", "informativeness_test"):
        scores = [each[name] for each in values]
        assert scores[0] > scores[1], name
    assert values[0]["informativeness_test"] > 0.95
    assert values[1]["informativeness_test"] > values[2]["informativeness_test"]


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match=r"'forest'.*'random_forest'"):
        _numbers(dci, _table(_factors(), _factors()), estimator="forest")


def test_splits_of_lightgbm_are_weighed_by_squared_residuals():
    """From each row's leaf, tree after tree, instead of from LightGBM's own sums."""
    factors = _factors(400, (3, 4))
    codes, labels = _mixed(factors, 4, noise=1), factors[:, 0]
    start = np.log(np.bincount(labels) / len(labels))
    data = lightgbm.Dataset(codes, labels, init_score=np.repeat(start, len(labels)))
    options = {"objective": "multiclass", "num_class": 3} | fast_module.TREES | fast_module.PLAIN
    booster = lightgbm.train(options | {"min_sum_hessian_in_leaf": 1e-3}, data, 20)
    trees = booster.dump_model()["tree_info"]
    expected = np.zeros(4)
    leaves = booster.predict(codes, pred_leaf=True).reshape(-1, 20, 3)
    for step in range(20):
        raw = start + (booster.predict(codes, raw_score=True, num_iteration=step) if step else 0)
        residuals = (labels[:, None] == np.arange(3)) - softmax(np.broadcast_to(raw, (len(labels), 3)), axis=1)
        for k in range(3):
            root = trees[3 * step + k]["tree_structure"]
            _add_decreases(root, leaves[:, step, k], residuals[:, k], expected)
    found = fast_module._weigh_splits(booster.model_to_string(), 4)
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), atol=1e-4)
    gains = booster.feature_importance("gain")
    assert np.abs(gains / gains.sum() - expected / expected.sum()).max() > 5e-3


def _add_decreases(node, leaves, residuals, importances):
    """Add each split's decrease of the squared residuals' sum to its code's; gives the node's leaves."""
    if "leaf_index" in node:
        return [node["leaf_index"]]
    sides = [_add_decreases(node[side], leaves, residuals, importances) for side in ("left_child", "right_child")]

    def squares(among):
        rows = residuals[np.isin(leaves, among)]
        return ((rows - rows.mean()) ** 2).sum()

    importances[node["split_feature"]] += squares(sides[0] + sides[1]) - squares(sides[0]) - squares(sides[1])
    return sides[0] + sides[1]


@pytest.mark.parametrize("name", ["rotated", "split"])
def test_dci_fast_tells_the_story_of_dci(name, all_steps):
    codes, factors, codes_test, factors_test = make(name, 700, 500)
    kept, width = [0, 1], [1, 2]
    table = Table(codes, factors[:, kept] // width, codes_test, factors_test[:, kept] // width)
    exact, fast = (_numbers(metric, table) for metric in (dci, dci_fast))
    assert [fast[value] for value in dci.columns] == pytest.approx([exact[value] for value in dci.columns], abs=0.05)


# Traps


@both
def test_informativeness_is_accuracy_on_the_test_rows(metric):
    """Told apart from that on the training rows by test rows that say something else."""
    factors = _factors(900, (2, 2))
    wrong = np.stack([1 - factors[:, 0], factors[:, 1]], axis=1)
    codes = factors.astype(float)
    values = _numbers(metric, Table(codes, factors, codes[:300], wrong[:300]))
    assert (values["informativeness_test_factor_0"], values["informativeness_test_factor_1"]) == (0, 1)
    assert values["informativeness_test"] == 0.5
    assert values.get("informativeness_train", 1) == 1


@both
def test_values_unseen_in_training_are_told_wrong(metric):
    factors = _factors(900, (2, 3))
    codes = factors.astype(float)
    later = factors[:300] + [0, 50] * (np.arange(300) % 2)[:, None]
    values = _numbers(metric, Table(codes, factors, codes[:300], later))
    assert values["informativeness_test_factor_0"] == 1
    assert values["informativeness_test_factor_1"] == pytest.approx(0.5)
    assert _numbers(metric, Table(codes, factors, codes[:300], factors[:300] + 99))["informativeness_test"] == 0


@both
def test_equal_generators_give_equal_values_and_nothing_else_is_drawn_from(metric):
    factors = _factors(300)
    table = _table(np.round(_mixed(factors)), factors)  # many ties
    np.random.seed(0)  # noqa: NPY002 -- the global state, which must not matter
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = _numbers(metric, table)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert _numbers(metric, table) == first


@both
def test_the_number_of_threads_changes_nothing(metric, monkeypatch):
    factors = _factors(300)
    table, values = _table(np.round(_mixed(factors), 1), factors), []
    for threads in (1, 2, 5):
        for module in (dci_module, fast_module):
            monkeypatch.setattr(module, "spare_cores", lambda threads=threads: threads)
        values.append(_numbers(metric, table))
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("estimator", ["random_forest", "lasso"])
def test_other_estimators_are_seeded_and_leave_warnings_alone(estimator):
    table, filters = _table(_mixed(_factors(120)), _factors(120)), list(warnings.filters)
    assert _numbers(dci, table, estimator=estimator) == _numbers(dci, table, estimator=estimator)
    assert list(warnings.filters) == filters


@both
def test_another_seed_is_another_draw_of_little_weight(metric):
    factors = _factors(300)
    table = _table(np.round(_mixed(factors)), factors)
    scores = [_numbers(metric, table, seed)["score"] for seed in range(3)]
    assert np.ptp(scores) < 0.02


def test_a_sweeps_processes_take_one_thread_each(monkeypatch):
    prediction = importlib.import_module("metrics.prediction")
    assert prediction.spare_cores() >= 1
    monkeypatch.setattr(prediction.multiprocessing, "parent_process", object)
    assert prediction.spare_cores() == 1


@both
def test_dead_codes_count_for_nothing(metric):
    factors = _factors(500)
    codes = _mixed(factors)
    alive = _numbers(metric, _table(codes, factors))
    for dead in (np.zeros((500, 46)), np.tile([0.1, 0, -3], (500, 2))):
        assert _numbers(metric, _table(np.hstack([codes, dead]), factors)) == alive
    between = np.insert(codes, [0, 2, 5], 7, axis=1)
    assert _numbers(metric, _table(between, factors)) == alive


@pytest.mark.parametrize("estimator", ["random_forest", "lasso"])
def test_dead_codes_count_for_nothing_to_other_estimators(estimator):
    factors = _factors(200)
    codes = _mixed(factors)
    alive, padded = (
        _numbers(dci, _table(each, factors), estimator=estimator) for each in (codes, np.hstack([codes, 0 * codes]))
    )
    assert padded == alive


@both
def test_constant_codes_tell_the_commonest_value(metric):
    factors = np.stack([np.arange(900) % 10 > 2, np.arange(900) % 3], axis=1).astype(int)
    values = _numbers(metric, _split_in_order(np.full((900, 3), 0.1), factors))
    assert (values["disentanglement"], values["completeness"]) == pytest.approx((0, 0), abs=1e-6)
    assert values["informativeness_test_f0"] == pytest.approx(0.7)
    alone = _numbers(metric, _split_in_order(np.full((900, 1), 0.1), factors))
    assert alone == values, "no code tells anything, however many there are"


@both
def test_one_code_and_one_factor(metric):
    factors = _factors(600)
    one_code = _numbers(metric, _table(factors[:, :1].astype(float), factors))
    assert one_code["completeness"] == pytest.approx(1)
    one_factor = _numbers(metric, _table(_mixed(factors), factors[:, :1]))
    assert one_factor["disentanglement"] == pytest.approx(1)
    assert 0 < one_factor["completeness"] < 1


@both
def test_doubled_codes_are_as_disentangled_but_not_complete(metric):
    factors = _factors(600)
    codes = factors + 0.05 * np.random.default_rng(1).normal(size=factors.shape)
    once, twice = (_numbers(metric, _table(each, factors)) for each in (codes, np.hstack([codes, codes])))
    assert twice["disentanglement"] == pytest.approx(once["disentanglement"], abs=0.01)
    # Each factor has two codes of six: ln 2 of ln 6.
    assert twice["completeness"] < once["completeness"] - 0.3
    assert twice["informativeness_test"] == pytest.approx(once["informativeness_test"], abs=0.01)


@both
def test_a_tie_of_values_is_one_guess(metric):
    """A code that tells only which half of four values: one of the two is right half of the time."""
    fourth, half = np.arange(900) % 4, np.arange(900) // 4 % 2
    values = _numbers(metric, _split_in_order(np.stack([fourth // 2, half], axis=1), np.stack([fourth, half], axis=1)))
    assert values["informativeness_test_f0"] == pytest.approx(0.5, abs=0.01)
    assert values["informativeness_test_f1"] == 1


# LightGBM


TINY = {
    "few rows": lambda: (_mixed(_factors(256, (3, 6, 40))), _factors(256, (3, 6, 40))),
    "six rows": lambda: (_mixed(_factors(6, (2, 2))), np.tile([[0, 1], [1, 0]], (3, 1))),
    "two rows a value": lambda: (_mixed(_factors(30)), np.stack([np.arange(30) % 10, np.arange(30) % 2], axis=1)),
    "one row of a value": lambda: (_mixed(_factors(300)), np.stack([np.arange(300) == 5, np.arange(300) % 2], axis=1)),
    "constant codes": lambda: (np.zeros((60, 2)), _factors(60)),
    "perfect codes": lambda: (_factors(256).astype(float), _factors(256)),
    "far-off labels": lambda: (_mixed(_factors(60)), _factors(60) * 10**12 - 7),
}


@pytest.mark.parametrize("case", TINY)
def test_small_tables_are_scored_in_silence(case, capfd):
    codes, factors = TINY[case]()
    values = _numbers(dci_fast, _table(codes, factors.astype(int)))
    assert all(0 <= value <= 1 + 1e-9 for value in values.values()), values
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1e-40, 1e-6, 1e6, 1e40])
def test_dci_fast_does_not_depend_on_scale(scale):
    factors = _factors(300)
    codes = _mixed(factors)
    expected = _numbers(dci_fast, _table(codes, factors))
    assert _numbers(dci_fast, _table(codes * scale, factors)) == pytest.approx(expected, abs=0.02)


@contextmanager
def _refuse_below(monkeypatch, least):
    class Refusing(lightgbm.Booster):
        def update(self, *given, **named):
            if self.params["min_sum_hessian_in_leaf"] < least:
                raise lightgbm.basic.LightGBMError("Check failed: (left_count) > (0)\nat some line\n")
            return super().update(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(lightgbm, "Booster", Refusing)
        yield


def test_where_lightgbm_gives_up_leaves_grow_larger(monkeypatch):
    factors = _factors(300)
    table = _table(_mixed(factors), factors)
    expected = _numbers(dci_fast, table)
    with _refuse_below(monkeypatch, 0.01):
        assert _numbers(dci_fast, table) == pytest.approx(expected, abs=0.05)
    with _refuse_below(monkeypatch, np.inf), pytest.raises(ValueError, match=r"^dci_fast cannot .*\.$"):
        _numbers(dci_fast, table)
