"""Gradient-boosted classification trees, those of several factors grown side by side.

The trees are scikit-learn's, and the loop around them does what its `GradientBoostingClassifier` does, to
rounding (which breaks ties between equally good splits one way or the other). Within a step the
trees of different classes and factors do not depend on each other; its own loop grows them one by one.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

STEPS, RATE, DEPTH = 100, 0.1, 3  # scikit-learn's defaults, which are the study's
NEGLIGIBLE = 1e-150  # a leaf's curvature, below which scikit-learn gives it the value 0


class BoostedTrees:
    """The classifier of one factor, as `GradientBoostingClassifier(random_state=seed)` grows it.

    Args:
        codes, codes_test: (N, D) in float32.
        factor: (N,) values.

    Attributes:
        importances: each code's decrease of squared residuals, summed over all splits (D,).
    """

    def __init__(self, codes: np.ndarray, factor: np.ndarray, codes_test: np.ndarray, seed: int) -> None:
        self.codes, self.codes_test = codes, codes_test
        self.values, labels, counts = np.unique(factor, return_inverse=True, return_counts=True)
        shares = counts / len(factor)
        self.random = np.random.RandomState(seed)
        self.importances = np.zeros(codes.shape[1])
        if len(shares) == 2:  # two classes have one tree a step, for the second
            self.members = (labels == 1)[:, None].astype(np.float64)
            start = np.log(shares[1:] / shares[:1])
        else:
            self.members = (labels[:, None] == np.arange(len(shares))).astype(np.float64)
            start = np.log(shares) - np.log(shares).mean()
        self.scores, self.scores_test = np.tile(start, (len(codes), 1)), np.tile(start, (len(codes_test), 1))

    def plan_step(self) -> list[Callable[[], np.ndarray]]:
        """Tasks that grow this step's trees, in any order and side by side; each gives its tree's importances."""
        residuals = self.members - _chances(self.scores)
        states = [self._next_state() for _ in range(residuals.shape[1])]
        return [partial(self._grow, k, residuals[:, k], state) for k, state in enumerate(states)]

    def _next_state(self) -> np.random.RandomState:
        """The generator as the next tree finds it; a tree draws one number from it."""
        state = np.random.RandomState()
        state.set_state(self.random.get_state())
        self.random.randint(0, np.iinfo(np.int32).max)
        return state

    def _grow(self, k: int, residuals: np.ndarray, state: np.random.RandomState) -> np.ndarray:
        from sklearn.tree import DecisionTreeRegressor

        tree = DecisionTreeRegressor(max_depth=DEPTH, random_state=state)
        tree.fit(self.codes, residuals, check_input=False)
        leaves, leaves_test = (tree.tree_.apply(codes) for codes in (self.codes, self.codes_test))
        number = self.members.shape[1]
        curvatures = np.abs(residuals) * (1 - np.abs(residuals))
        sums, curves = (np.bincount(leaves, each, tree.tree_.node_count) for each in (residuals, curvatures))
        flat = curves < NEGLIGIBLE
        step = np.where(flat, 0, sums / np.where(flat, 1, curves)) * (1 if number == 1 else (number - 1) / number)
        self.scores[:, k] += RATE * step[leaves]
        self.scores_test[:, k] += RATE * step[leaves_test]
        return tree.tree_.compute_feature_importances(normalize=False)

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest values of the training and of the test rows."""
        if len(self.values) == 2:
            return self.values[(self.scores[:, 0] >= 0).astype(int)], self.values[
                (self.scores_test[:, 0] >= 0).astype(int)
            ]
        return self.values[self.scores.argmax(1)], self.values[self.scores_test.argmax(1)]


def _chances(scores: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return 1 / (1 + np.exp(-scores)) if scores.shape[1] == 1 else softmax(scores, axis=1)


def grow_side_by_side(trees: list[BoostedTrees], threads: int) -> None:
    """Take all steps of all the factors' trees, with so many threads; their number changes no value."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(STEPS):
            planned = [(one, task) for one in trees for task in one.plan_step()]
            grown = pool.map(lambda pair: pair[1](), planned)
            for (one, _), importances in zip(planned, grown, strict=True):
                one.importances += importances
