import numpy as np
import pytest
import torch
from torch import nn

import metrics
from benchmark.errors import UsageError
from benchmark.scoring import (
    apply_metric,
    chosen_metrics,
    draw_pictures,
    encode_table,
    measure,
    rows_of_run,
    score_encoder,
)
from benchmark.spec import RunSpec
from benchmark.training.harness import build
from metrics import Metric, Table

SPEC = RunSpec("betavae", {"beta": 4}, "dsprites_mini", steps=1)


@pytest.fixture(scope="module")
def model(mini):
    return build(SPEC, mini)


def test_rows_are_distinct_and_decided_by_the_seed(mini, dsprites):
    rows = rows_of_run(RunSpec("vae"), dsprites)
    assert (len(rows.train), len(rows.test)) == (10_000, 5_000)
    assert len(np.unique(rows.all)) == 15_000
    assert np.array_equal(rows.all, rows_of_run(RunSpec("betavae", {"beta": 16}), dsprites).all)
    assert not np.array_equal(rows.all, rows_of_run(RunSpec("vae", seed=1), dsprites).all)


def test_a_small_data_set_gives_all_its_rows(mini):
    rows = rows_of_run(SPEC, mini)
    assert (len(rows.train), len(rows.test)) == (256, 128)
    assert sorted(rows.all) == list(range(384))


def test_table_holds_posterior_means_and_factors(mini, model):
    method, networks = model
    rows = rows_of_run(SPEC, mini)
    table = encode_table(method, networks, mini, rows)
    with torch.inference_mode():
        means = networks["encoder"](mini.images(rows.test[-3:]))[:, :10]
    np.testing.assert_allclose(table.codes_test[-3:], means.numpy(), atol=1e-5)
    assert np.array_equal(table.factors, mini.factors(rows.train).numpy())
    assert table.factor_names == mini.factor_names


def test_measures(mini, model):
    method, networks = model
    rows = rows_of_run(SPEC, mini)
    measures = measure(method, networks, mini, rows, SPEC)
    assert measures["beta"] == 4
    assert measures["normalised_beta"] == pytest.approx(4 * 10 / 4096)
    assert measures["kl"] == pytest.approx(sum(measures[f"kl_per_latent_{j}"] for j in range(10)), rel=1e-5)
    # An untrained decoder gives logits near 0: log 2 a pixel.
    assert measures["reconstruction"] == pytest.approx(4096 * np.log(2), rel=0.05)
    assert "loss" not in measures
    assert measures == measure(method, networks, mini, rows, SPEC)


def test_pictures(mini, model):
    pictures = draw_pictures(*model, mini, rows_of_run(SPEC, mini))
    assert pictures["originals"].shape == pictures["reconstructions"].shape == (8, 1, 64, 64)
    assert pictures["traversals"].shape == (10, 9, 1, 64, 64)
    assert set(np.unique(pictures["originals"])) == {0, 255}


def test_traversals_move_one_latent(mini, model):
    method, networks = model
    decoded = []
    method.decode = lambda _, codes: decoded.append(codes) or torch.zeros(len(codes), 1, 64, 64)
    draw_pictures(method, networks, mini, rows_of_run(SPEC, mini))
    del method.decode
    codes = decoded[1].reshape(10, 9, 10)
    for j in range(10):
        assert torch.equal(codes[j, :, j], torch.linspace(-3, 3, 9))
        others = [i for i in range(10) if i != j]
        assert (codes[j][:, others] == codes[(j + 1) % 10, 0, others]).sum() >= 9 * 8


def test_metrics_are_chosen_by_name():
    assert list(chosen_metrics(["mig", "mig"])) == ["mig"]
    assert chosen_metrics(["all"]) == metrics.REGISTRY
    with pytest.raises(UsageError, match="did you mean 'mig'"):
        chosen_metrics(["migg"])


def _metric(function):
    return Metric("probe", function, 3, (0, 1), False, "0", "1", "none", ("score",))


def test_each_metric_has_its_own_stream(mini):
    table = Table(np.eye(12), np.arange(12)[:, None] % 3)
    draw = _metric(lambda table, rng: {"score": rng.random()})
    once = apply_metric(draw, table, seed=0)
    assert once == apply_metric(draw, table, seed=0)
    assert once["version"] == 3
    assert once["direction"] == -1
    assert once["values"] != apply_metric(draw, table, seed=1)["values"]


def test_a_metric_that_gives_nan_is_an_error():
    table = Table(np.eye(12), np.arange(12)[:, None] % 3)
    with pytest.raises(ValueError, match="probe gave nan for 'score'"):
        apply_metric(_metric(lambda table, rng: {"score": float("nan")}), table, 0)


class _Positions(nn.Module):
    """A made encoder: the centre of mass, and a code that never varies."""

    def forward(self, images):
        assert not self.training
        ramp = torch.arange(64.0)
        mass = images.sum((1, 2, 3))
        x, y = ((images.sum(dims) * ramp).sum(1) / mass for dims in ((1, 2), (1, 3)))
        return torch.stack([x, y, 0 * x], dim=1)


def test_anyones_encoder(mini):
    encoder = _Positions().train()
    values = score_encoder(encoder, mini, metrics=["mig"], seed=2)
    assert encoder.training
    assert values["mig"]["gap_position_x"] > 0.9
    assert values["mig"]["gap_position_y"] > 0.9
    assert values["mig"]["gap_shape"] < 0.1
    assert values == score_encoder(encoder, mini, metrics=["mig"], seed=2)


def test_an_encoder_that_gives_no_codes(mini):
    with pytest.raises(ValueError, match="codes has shape"):
        score_encoder(nn.Identity(), mini, metrics=["mig"])
