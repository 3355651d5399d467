"""Methods without players: what they compute, against linear algebra in float64 and known sources."""

import numpy as np
import pytest
import torch

import metrics
from benchmark.running.execution import Workplace, execute
from benchmark.scoring import encode_table, rows_of_run
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training.harness import build, train
from methods.ica import ICA
from methods.pca import PCA
from methods.pixels import Pixels

NAMES = ("ground_truth", "ica", "pca", "pixels", "vae_untrained")
SHAPE = (1, 8, 8)


def _mixtures(sources, seed=0):
    """Images (N, 1, 8, 8) in which each source (N, D) scales a pattern of its own, and the patterns."""
    rng = np.random.default_rng(seed)
    patterns = np.linalg.qr(rng.normal(size=(64, sources.shape[1])))[0].T
    return torch.from_numpy(sources @ patterns + 0.5).reshape(-1, *SHAPE), patterns


def _fitted(cls, images, latents, seed=0):
    method = cls(SHAPE, latents)
    networks = method.build()
    method.fit(networks, images, seed)
    return method, {name: network.double() for name, network in networks.items()}


@torch.no_grad()
def _codes(method, networks, images):
    return method.encode(networks, images).numpy()


def test_pca_is_the_singular_value_decomposition():
    sources = np.random.default_rng(0).normal(size=(500, 5)) * [5, 4, 3, 2, 1]
    images, _ = _mixtures(sources)
    noisy = images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pixels = noisy.flatten(1).numpy()
    centred = pixels - pixels.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:5].T / (singular[:5] / np.sqrt(len(pixels) - 1))

    method, networks = _fitted(PCA, noisy, 5)
    codes = _codes(method, networks, noisy)
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(5), atol=1e-5)
    nearest = pixels.mean(0) + centred @ directions[:5].T @ directions[:5]
    decoded = method.decode(networks, torch.from_numpy(codes)).detach().flatten(1).numpy()
    np.testing.assert_allclose(decoded, nearest.clip(0, 1), atol=1e-4)


def test_ica_finds_independent_sources_where_pca_does_not():
    rng = np.random.default_rng(0)
    sources = np.column_stack([rng.uniform(-1, 1, 4000), rng.laplace(size=4000), rng.choice([-1.0, 1.0], 4000)])
    sources = sources / sources.std(0)  # of one scale, so that variance tells nothing
    images, _ = _mixtures(sources)

    def likeness(cls):
        codes = _codes(*_fitted(cls, images, 3), images)
        return np.abs(np.corrcoef(codes.T, sources.T)[:3, 3:])

    found = likeness(ICA)
    assert sorted(found.argmax(1)) == [0, 1, 2]
    assert found.max(1).min() > 0.99
    assert likeness(PCA).max(1).min() < 0.95


def test_ica_spans_the_principal_components_and_is_white():
    sources = np.random.default_rng(0).laplace(size=(2000, 4)) * [4, 3, 2, 1]
    images, _ = _mixtures(sources)
    components, independent = (_codes(*_fitted(cls, images, 4), images) for cls in (PCA, ICA))
    np.testing.assert_allclose(np.cov(independent.T), np.eye(4), atol=1e-2)
    rotation, residual, *_ = np.linalg.lstsq(components, independent, rcond=None)
    assert residual.max() < 1e-6 * len(images)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-2)


def test_pixels_are_the_pixels(mini):
    images = mini.images([3, 200])
    assert torch.equal(Pixels(mini.image_shape).encode({}, images), images.flatten(1))


def test_ground_truth_needs_no_image(mini):
    method, networks = build(RunSpec("ground_truth", dataset="dsprites_mini"), mini)
    factors = mini.factors(range(len(mini)))
    codes = method.represent(networks, None, factors)
    assert codes.min() == 0
    assert codes.max() == 1
    assert torch.equal((codes * (torch.tensor(mini.factor_sizes) - 1)).round().long(), factors)


def test_an_untrained_vae_has_the_first_weights_of_a_trained_one(mini):
    untrained = train(RunSpec("vae_untrained", dataset="dsprites_mini", seed=3), mini)
    _, networks = build(RunSpec("vae", dataset="dsprites_mini", seed=3), mini)
    for name, weights in networks.state_dict().items():
        assert torch.equal(untrained.networks.state_dict()[name], weights)


@pytest.fixture
def few_images(monkeypatch):
    for cls in (PCA, Pixels):
        monkeypatch.setattr(cls, "fitted_images", 500)


@pytest.mark.parametrize("name", NAMES)
def test_runs_are_repeatable_leave_random_states_alone_and_are_stored(name, mini, tmp_path, few_images):
    spec = RunSpec(name, dataset="dsprites_mini")
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (train(spec, mini) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    rows = rows_of_run(spec, mini)
    tables = [encode_table(training.method, training.networks, mini, rows) for training in (first, second)]
    assert (tables[0].codes == tables[1].codes).all()

    workplace = Workplace(tmp_path, device="cpu", metrics=["mig"])
    (outcome,) = execute([spec], workplace)
    assert (outcome.finished, outcome.reason) == (True, "")
    folder = run_folder(tmp_path, spec.run_id)
    method, networks = build(spec, mini)
    folder.load_networks(networks)
    assert (encode_table(method, networks.eval(), mini, rows).codes == tables[0].codes).all()
    assert folder.read_history().empty
    assert folder.read_json("scores.json")["metrics"]["mig"]["values"]["score"] >= 0


def test_the_true_factors_are_disentangled(mini):
    training = train(spec := RunSpec("ground_truth", dataset="dsprites_mini"), mini)
    table = encode_table(training.method, training.networks, mini, rows_of_run(spec, mini))
    assert metrics.beta_vae_score(table, np.random.default_rng(0))["score"] == 1
