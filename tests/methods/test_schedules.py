import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.betavae import BetaVAE

SHAPE = (1, 4, 4)


def _weight(schedule, step, steps=80):
    """What the KL weighs at that step where beta is 6."""
    method = BetaVAE(SHAPE, 2, steps=steps, structure={"schedule": schedule})

    class Latents:
        kl = torch.tensor(1.0)

    h = hyperparameters_of(BetaVAE, {"beta": 6, "schedule": schedule})
    return float(method.regulariser({}, Latents, h, torch.tensor(step)))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 6, 5: 6, 79: 6}),
        ("linear", {0: 0, 10: 1.5, 20: 3, 40: 6, 60: 6, 79: 6}),
        ("cyclic", {0: 0, 5: 3, 10: 6, 15: 6, 19: 6, 20: 0, 25: 3, 61: 0.6, 79: 6}),
    ],
)
def test_beta_by_hand(schedule, expected):
    assert {step: _weight(schedule, step) for step in expected} == pytest.approx(expected)


def test_runs_without_a_schedule_keep_their_names():
    """What came later stands in a specification only where it is not as usual."""
    plain = RunSpec("betavae", {"beta": 4})
    assert plain.to_dict()["hyperparameters"] == {"beta": 4}
    assert RunSpec("betavae", {"beta": 4, "schedule": "constant"}).run_id == plain.run_id
    cyclic = RunSpec("betavae", {"beta": 4, "schedule": "cyclic"})
    assert cyclic.to_dict()["hyperparameters"] == {"beta": 4, "schedule": "cyclic"}
    assert cyclic.run_id != plain.run_id
    assert cyclic.resolve_hyperparameters().schedule == "cyclic"
    assert plain.resolve_hyperparameters().schedule == "constant"


@pytest.mark.parametrize("schedule", ["linear", "cyclic"])
def test_a_rising_beta_trains(small, small_networks, schedule):
    history = train(
        RunSpec("betavae", {"beta": 2, "schedule": schedule}, "dsprites_mini", steps=80), small, "fp32"
    ).history
    for row in history:
        weight = 2 * _weight(schedule, row["step"] - 1) / 6
        assert row["loss"] == pytest.approx(row["reconstruction"] + weight * row["kl"], rel=1e-4)
    assert history[-1]["reconstruction"] < history[0]["reconstruction"] / 2
