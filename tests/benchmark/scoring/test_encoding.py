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
    draw_rows,
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
    values = score_encoder(encoder, mini, metrics="mig", seed=2)
    assert encoder.training
    assert values["mig"]["gap_position_x"] > 0.9
    assert values["mig"]["gap_position_y"] > 0.9
    assert values["mig"]["gap_shape"] < 0.1
    assert values == score_encoder(encoder, mini, metrics=["mig"], seed=2)


class _Moments(nn.Module):
    """Means (B, 3) and their logarithms, in the form that `shape` gives them."""

    def __init__(self, shape, dtype=torch.float32):
        super().__init__()
        self.shape = shape
        self.weights = nn.Linear(4096, 3, bias=False, dtype=dtype)
        with torch.no_grad():
            self.weights.weight.copy_(torch.sin(torch.arange(3 * 4096.0)).view(3, -1))

    def forward(self, images):
        means = self.weights(images.flatten(1))
        return self.shape(means, -means)


def _score(mini, encoder, **options):
    return score_encoder(encoder, mini, metrics=["mig"], **options)


class _Output(dict):
    pass


SHAPES = {  # what an encoder may give, what is said of it, how codes are chosen from it
    "tuple": (lambda m, v: (m, v), "tuple of Tensor, Tensor,", lambda given: given[0]),
    "list": (lambda m, v: [m] * 6, "list of Tensor, Tensor, Tensor, Tensor, ...,", lambda given: given[0]),
    "empty": (lambda m, v: (), "tuple of nothing,", None),
    "dict": (lambda m, v: {"mean": m, "log": v}, "dict with 'mean', 'log',", lambda given: given["mean"]),
    "output": (lambda m, v: _Output({"a\nb": m}), r"_Output with 'a\\nb',", lambda given: given["a\nb"]),
    "distribution": (lambda m, v: torch.distributions.Normal(m, v.exp()), "Normal,", lambda given: given.mean),
    "nothing": (lambda m, v: None, "NoneType,", None),
    "complex": (lambda m, v: torch.complex(m, v), r"torch\.complex64, where codes are real", lambda given: given.real),
    "texts": (lambda m, v: np.full((len(m), 3), "a"), "<U1, where codes are real", None),
    "objects": (lambda m, v: np.full((len(m), 3), None), "object, where codes are real", None),
    "one code": (lambda m, v: m[:, 0], r"has shape \(256,\), where \(256, D\)", None),
    "images": (lambda m, v: m.view(-1, 3, 1, 1), r"has shape \(256, 3, 1, 1\)", lambda given: given.flatten(1)),
    "transposed": (lambda m, v: m.T, r"has shape \(3, 256\)", lambda given: given.T),
    "too few": (lambda m, v: m[1:], r"has shape \(255, 3\)", None),
    "a number": (lambda m, v: m.sum(), r"has shape \(\)", None),
    "widths": (lambda m, v: m[:, : 1 + len(m) // 128], "2 codes for some images and 3 for others", None),
    "nan": (lambda m, v: m * torch.nan, "holds nan", None),
    "none": (lambda m, v: m[:, :0], r"has shape \(256, 0\)", None),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_an_encoder_that_gives_no_codes(mini, kind):
    shape, message, choose = SHAPES[kind]
    encoder = _Moments(shape)
    with pytest.raises(ValueError, match=message) as caught:
        _score(mini, encoder)
    assert str(caught.value).isprintable()
    if choose:
        chosen = _score(mini, encoder, encode=lambda images: choose(encoder(images)))
        assert chosen == _score(mini, _Moments(lambda m, v: m))


def test_encoders_of_any_kind(mini):
    plain = _Moments(lambda m, v: m)
    expected = _score(mini, plain)
    assert _score(mini, _Moments(lambda m, v: m.numpy())) == expected
    assert _score(mini, _Moments(lambda m, v: m.double())) == expected
    assert _score(mini, plain.forward) == expected  # a function
    assert _score(mini, lambda images: plain(images).detach().numpy()) == expected
    assert _score(mini, _Moments(lambda m, v: m.to_sparse())) == expected
    with torch.no_grad():
        known = plain(mini.images(range(384))).requires_grad_()
    rows = iter(known[draw_rows(mini, 10_000, 5_000, 0).all].split(256))
    assert _score(mini, lambda images: next(rows)) == expected  # codes with a gradient


def test_codes_that_are_whole_numbers_are_codes(mini):
    expected = _score(mini, _Moments(lambda m, v: (4 * m).round()))
    assert _score(mini, _Moments(lambda m, v: (4 * m).round().int())) == expected
    assert _score(mini, _Moments(lambda m, v: (4 * m).round().numpy().astype(np.int16))) == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_an_encoder_has_images_in_its_own_precision(mini, dtype):
    encoder, seen = _Moments(lambda m, v: m, dtype), set()
    _score(mini, encoder, encode=lambda images: seen.add(images.dtype) or encoder(images))
    assert seen == {dtype}
    assert "score" in _score(mini, encoder)["mig"]


def test_an_encoder_elsewhere_has_images_there(mini):
    encoder, seen = _Moments(lambda m, v: m).to("meta"), set()
    _score(mini, encoder, encode=lambda images: seen.add(images.device.type) or np.eye(256, 3)[: len(images)])
    assert seen == {"meta"}


def test_an_encoders_parts_are_left_in_the_mode_they_were_in(mini):
    encoder = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(4096, 2)).train()
    encoder[1].eval()
    _score(mini, encoder)
    assert [part.training for part in encoder.modules()] == [True, True, False, True]
    with pytest.raises(ValueError, match="tuple"):
        _score(mini, encoder, encode=lambda images: (encoder(images),))
    assert [part.training for part in encoder.modules()] == [True, True, False, True]
