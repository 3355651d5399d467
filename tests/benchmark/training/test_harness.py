import csv
import math
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmark import presets
from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError
from benchmark.scoring import encode_table
from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder
from benchmark.training import harness
from benchmark.training.draws import CHUNK
from benchmark.training.harness import DivergenceError, build, find_objection, flatten_terms, stream, train
from benchmark.training.pack import callable_networks
from methods.base import Method, Player
from methods.vae import VAE


def _spec(seed=0):
    return RunSpec("betavae", {"beta": 4}, "dsprites_mini", "small", seed, steps=4)


def _objection(spec, dataset):
    try:
        return find_objection(spec, dataset)
    except UsageError as error:
        return str(error)


def _weights(training):
    return torch.cat([weights.flatten() for weights in training.networks.state_dict().values()])


def _denormals_are_numbers():
    return bool(torch.full((1,), 1e-40).mul(1.0).any())


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_flushed_while_a_run_trains_and_not_after(mini, before):
    seen = []
    spec = replace(_spec(), steps=harness.REPORT_STEPS)
    torch.set_flush_denormal(before)
    try:
        train(spec, mini, report=lambda step, loss: seen.append(_denormals_are_numbers()))
        after = _denormals_are_numbers()
    finally:
        torch.set_flush_denormal(False)
    assert seen and not any(seen)
    assert after != before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_same_weights_to_the_bit(mini, precision):
    first, second = (train(_spec(), mini, precision) for _ in range(2))
    assert torch.equal(_weights(first), _weights(second))
    assert first.history == second.history


def test_another_seed_is_another_run(mini):
    other = train(_spec(seed=1), mini)
    assert not torch.equal(_weights(train(_spec(), mini)), _weights(other))


def test_global_random_state_is_left_alone(mini):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    train(_spec(), mini)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_global_random_state_does_not_matter(mini):
    torch.manual_seed(1)
    first = train(_spec(), mini)
    torch.manual_seed(2)
    assert torch.equal(_weights(first), _weights(train(_spec(), mini)))


def test_methods_of_one_seed_start_alike(mini):
    (_, one), (_, other) = (build(RunSpec(name, dataset="dsprites_mini"), mini) for name in ("vae", "betavae"))
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name])


def test_vae_is_betavae_at_one(mini):
    vae = train(RunSpec("vae", dataset="dsprites_mini", preset="small", steps=4), mini, "fp32")
    beta = train(RunSpec("betavae", {"beta": 1}, "dsprites_mini", "small", steps=4), mini, "fp32")
    assert torch.equal(_weights(vae), _weights(beta))


def test_steps_are_those_of_torch_adam(mini):
    """The whole loop against one written out here, with torch's own plain optimiser."""
    spec = RunSpec("betavae", {"beta": 4}, "dsprites_mini", "small", steps=3)
    method, networks = build(spec, mini)
    networks.double()
    optimiser = torch.optim.Adam(networks.parameters(), lr=1e-3, foreach=False)
    batches = torch.Generator().manual_seed(stream(0, "batches"))
    noises = torch.randn((CHUNK, 4, 10), generator=torch.Generator().manual_seed(stream(0, "noise"))).double()
    for step in range(3):
        images = mini.images(torch.randint(len(mini), (4,), generator=batches)).double()
        noise = {"posterior": noises[step]}
        optimiser.zero_grad()
        method.loss(dict(networks), images, noise, spec.resolve_hyperparameters(), 0)["loss"].backward()
        optimiser.step()
    expected = torch.cat([weights.flatten() for weights in networks.state_dict().values()])
    torch.testing.assert_close(_weights(train(spec, mini, "fp64")), expected, rtol=1e-9, atol=1e-11)


def test_history(mini):
    training = train(RunSpec("vae", dataset="dsprites_mini", preset="small", steps=200), mini)
    steps = [row["step"] for row in training.history]
    assert steps == [*range(2, 201, 2)]
    row = training.history[-1]
    assert list(row) == ["step", "loss", "reconstruction", "kl", *(f"kl_per_latent_{j}" for j in range(10))]
    assert row["kl"] == pytest.approx(sum(row[f"kl_per_latent_{j}"] for j in range(10)), rel=1e-5)
    assert row["loss"] == pytest.approx(row["reconstruction"] + row["kl"], rel=1e-5)
    assert row["loss"] < training.history[0]["loss"] / 2


def test_reports_steps_and_losses(mini):
    seen = []
    train(
        RunSpec("vae", dataset="dsprites_mini", preset="small", steps=45), mini, report=lambda *told: seen.append(told)
    )
    assert [step for step, _ in seen] == [20, 40, 45]
    assert all(math.isfinite(loss) for _, loss in seen)


def test_divergence_is_told(mini, monkeypatch):
    monkeypatch.setattr(VAE, "regulariser", lambda self, networks, latents, hyperparameters, step: latents.kl / 0)
    with pytest.raises(DivergenceError, match="from step 1 on"):
        train(RunSpec("vae", dataset="dsprites_mini", steps=3), mini)


class _TwoPlayers(Method):
    """One network each; the second player's loss passes through the first's network."""

    def build(self):
        return {"first": nn.Linear(4096, 2), "second": nn.Linear(2, 1)}

    def players(self):
        return {
            "one": Player(("first",), lambda networks, batch, *_: {"loss": networks["first"](batch.flatten(1)).mean()}),
            "two": Player(
                ("second",),
                lambda networks, batch, *_: {"loss": networks["second"](networks["first"](batch.flatten(1))).mean()},
                harness.Optimiser("SGD", lr=0.5),
            ),
        }


def test_a_player_moves_its_own_networks_alone(mini, monkeypatch):
    monkeypatch.setitem(__import__("methods").REGISTRY, "two_players", _TwoPlayers)
    monkeypatch.setattr(_TwoPlayers, "name", "two_players", raising=False)
    spec = RunSpec("two_players", dataset="dsprites_mini", steps=1)
    before = build(spec, mini)[1]["first"].weight.detach().clone()
    training = train(spec, mini, "fp32")
    # One step of Adam moves each weight by the learning rate at most: the second player's
    # loss, at rate 0.5, has not reached the first player's network.
    assert (training.networks["first"].weight - before).abs().max() <= 1.01e-3
    assert list(training.history[0]) == ["step", "loss", "two_loss"]


class Drawn(FactorDataset):
    """Images of noise, on the factors and of the shape that a test asks for."""

    def __init__(self, sizes, shape=(1, 64, 64)):
        super().__init__("drawn", "drawn", {f"factor{i}": size for i, size in enumerate(sizes)}, shape)

    def images(self, indices):
        generator = torch.Generator().manual_seed(0)
        return torch.rand(len(self), *self.image_shape, generator=generator)[self._on_device(indices)]


@pytest.mark.parametrize(
    ("method", "settings", "dataset", "message"),
    [
        ("adagvae", {}, Drawn([300]), "adagvae trains on pairs of images, .* at least 2 factors; the data have 1"),
        ("adamlvae", {"differing": 1}, Drawn([300]), "adamlvae trains on pairs .* at least 2 factors; the data have 1"),
        ("adagvae", {"differing": 3}, Drawn([3, 4, 5]), "pairs of images, .* at least 4 factors; the data have 3"),
        ("dcign", {}, Drawn([]), "dcign trains on groups of images, .* at least 1 factors; the data have 0"),
        ("pca", {}, Drawn([2, 5]), "pca finds 10 components, .* more than 10 images .*; the data have 10 of 4096"),
        ("ica", {}, Drawn([20], (1, 3, 3)), "ica finds 10 components, .*; the data have 20 of 9"),
        ("vae", {}, Drawn([20], (3, 8, 64)), "vae on drawn: images of 8 x 64 pixels are too small"),
        ("infogan", {}, Drawn([20], (1, 15, 15)), "infogan on drawn: images of 15 x 15 pixels are too small"),
    ],
)
def test_data_that_a_method_cannot_learn_from_are_refused_before_training(method, settings, dataset, message):
    spec = RunSpec(method, settings, "drawn", "study_quick", steps=1)
    assert re.search(message, _objection(spec, dataset))
    with pytest.raises(UsageError, match=message):
        train(spec, dataset)


@pytest.mark.parametrize(
    ("method", "settings", "dataset"),
    [
        ("adagvae", {}, Drawn([3, 4], (1, 16, 16))),
        ("adamlvae", {"differing": 2}, Drawn([3, 4, 5], (3, 16, 32))),
        ("dcign", {}, Drawn([30], (1, 20, 20))),
        ("pca", {}, Drawn([11], (1, 4, 4))),
        ("ica", {}, Drawn([3, 4], (1, 4, 4))),
    ],
)
def test_data_that_just_suffice_are_taken(method, settings, dataset):
    spec = RunSpec(method, settings, "drawn", steps=1)
    assert find_objection(spec, dataset) == ""
    trained = train(spec, dataset, "fp32")
    codes = trained.method.encode(callable_networks(trained.networks, "fp32"), dataset.images(range(5)))
    assert codes.isfinite().all()


def test_an_optimiser_that_there_is_not_is_an_objection(mini, monkeypatch):
    misspelt = replace(presets.PRESETS["quick"], optimiser=harness.Optimiser("Adan", 1e-3))
    monkeypatch.setitem(presets.PRESETS, "misspelt", misspelt)
    spec = RunSpec("vae", dataset="dsprites_mini", preset="misspelt")
    assert _objection(spec, mini) == "unknown optimiser 'Adan'; did you mean 'Adam'?"


def test_images_that_vary_in_too_few_directions_are_told():
    class Alike(Drawn):
        def images(self, indices):
            return super().images(self._on_device(indices) % 4)

    with pytest.raises(ValueError, match="the images vary in 3 directions only; pca finds 10 components"):
        train(RunSpec("pca", dataset="drawn"), Alike([300], (1, 16, 16)))


def test_stored_networks_encode_identically(mini, tmp_path):
    from benchmark.scoring import rows_of_run

    training = train(_spec(), mini)
    folder = RunFolder(tmp_path / "run")
    folder.write_training(training.networks, training.history, {})
    method, networks = build(_spec(), mini)
    folder.load_networks(networks)
    rows = rows_of_run(_spec(), mini)
    stored, live = (encode_table(method, n.eval(), mini, rows) for n in (networks, training.networks))
    assert (stored.codes == live.codes).all()
    with (folder.path / "history.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [row["step"] for row in training.history]


def test_the_environment_chooses_the_precision(monkeypatch):
    for wanted in ("fp32", "bf16"):
        monkeypatch.setenv("DISENTANGLEMENT_PRECISION", wanted)
        assert harness.choose_precision(torch.device("cpu")) == wanted
    monkeypatch.setenv("DISENTANGLEMENT_PRECISION", "fp8")
    with pytest.raises(UsageError, match="DISENTANGLEMENT_PRECISION is 'fp8'; it takes bf16 or fp32"):
        harness.choose_precision(torch.device("cpu"))


def test_networks_compute_in_bf16_and_give_float32():
    networks = nn.ModuleDict({"a": nn.Linear(64, 64)})
    inputs = torch.randn(8, 64)
    exact, rounded = (callable_networks(networks, precision)["a"](inputs) for precision in ("fp32", "bf16"))
    assert exact.dtype == rounded.dtype == torch.float32
    error = ((exact - rounded).norm() / exact.norm()).item()
    assert 1e-4 < error < 2e-2


def test_streams_differ_by_purpose_and_seed():
    seeds = {stream(seed, purpose) for seed in range(50) for purpose in ("init", "batches", "noise", "rows")}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_flatten_terms():
    terms = {"loss": torch.tensor([2.0, 3.0]), "kl_per_latent": torch.tensor([[0.5, 1.5], [0.0, 1.0]])}
    first, second = flatten_terms(terms)
    assert first == {"loss": 2.0, "kl_per_latent_0": 0.5, "kl_per_latent_1": 1.5}
    assert second == {"loss": 3.0, "kl_per_latent_0": 0.0, "kl_per_latent_1": 1.0}
