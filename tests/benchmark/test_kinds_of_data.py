"""Data beyond binary images on a grid: colours, tables of factors or none, drawn parts; Gaussian likelihoods."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark import cli
from benchmark.datasets import cache as kept
from benchmark.datasets.base import UNLABELLED
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.contract import check_dataset
from benchmark.datasets.drawn import DrawnDataset, random_bytes
from benchmark.datasets.packed import ByteDataset
from benchmark.errors import UsageError
from benchmark.scoring.encoding import draw_rows
from benchmark.spec import RunSpec
from benchmark.training.draws import CHUNK, draw_batches, objection
from benchmark.training.harness import train, train_pack
from methods.base import Groups, Independent, Labelled, Pairs, Transitions
from methods.likelihoods import negative_log_likelihood

pytestmark = pytest.mark.whole

TABLE = np.array([[y, x] for y in range(4) for x in range(4) if (x, y) != (3, 3)])  # a corner is missing


def pictures(table, channels=3):
    """A square whose row and column are a table's, in a colour of its own: uint8 (N, 64, 64, channels)."""
    images = np.zeros((len(table), 64, 64, channels), np.uint8)
    for k, (y, x) in enumerate(table):
        images[k, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16, k % channels] = 100 + k
    return images


def collection(table=TABLE, factors=True, channels=3):
    """Images that are no grid."""
    names = {"y": 4, "x": 4} if factors else {}
    told = table if factors else table[:, :0]
    return ByteDataset(lambda progress: pictures(table, channels), "some", "own", names, (channels, 64, 64), table=told)


class Noise(DrawnDataset):
    """A square on noise, on a grid."""

    def __init__(self, device="cpu"):
        super().__init__("noise", "drawn", {"y": 4, "x": 4}, (3, 64, 64), device)

    def compose(self, indices, keys):
        y, x = self.factors(indices).T[:, :, None, None]
        at = torch.arange(64) // 16
        square = ((at[:, None] == y) & (at == x))[:, None]
        return (square + random_bytes(keys, 3 * 64 * 64).view(-1, *self.image_shape) / 255).clamp(max=1)


# --- bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_are_divided_at_the_gather(channels):
    data = collection(channels=channels)
    images = data.images([3, 14, 3])
    expected = pictures(TABLE, channels)[[3, 14, 3]].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert images.dtype == torch.float32 and images.is_contiguous()
    assert np.array_equal(images.numpy(), expected)
    assert data.memory == 15 * channels * 4096


def test_bits_take_an_eighth(mini):
    assert mini.memory == 384 * 512


def test_what_does_not_fit_into_a_gpu_is_refused(monkeypatch):
    data = collection()
    data.device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 2_000))
    with pytest.raises(UsageError, match=r"some takes 0\.0 GB on cuda, which has 0\.0 GB to spare; use --device cpu"):
        data.prepare()


def test_cache_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="to spare for data of 1,000,000,000 MB; name another folder"):
        cached_rows("huge", (10**12, 1000), lambda: [])
    assert not list(tmp_path.glob("*.bits"))


def test_a_large_cache_is_verified_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "SMALL_BYTES", 3)
    looked = []
    monkeypatch.setattr(kept.hashlib, "sha256", _counting(looked, kept.hashlib.sha256))
    made = []

    def make():
        made.append(1)
        yield np.arange(12, dtype=np.uint8).reshape(4, 3)

    for _ in range(3):
        assert cached_rows("a", (4, 3), make).sum() == 66
    assert len(made) == 1 and len(looked) == 2  # once written, once read
    content = bytearray((tmp_path / "a.bits").read_bytes())
    (tmp_path / "a.bits").write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    assert cached_rows("a", (4, 3), make).sum() == 66
    assert len(made) == 2


def _counting(calls, function):
    def counted(*given):
        calls.append(1)
        return function(*given)

    return counted


# --- tables of factors --------------------------------------------------------------------------------


def test_a_table_tells_factors_and_indices():
    data = collection()
    check_dataset(data)
    assert len(data) == 15
    assert np.array_equal(data.factors(range(15)), TABLE)
    assert np.array_equal(data.indices(TABLE[::-1].copy()), np.arange(15)[::-1])
    with pytest.raises(ValueError, match=r"no image of some has the factors \[3, 3\]"):
        data.indices([[3, 3]])


@pytest.mark.parametrize(("kind", "shared"), [(Pairs(), 1), (Pairs(1), 1), (Groups(), 1)])
def test_pairs_and_groups_are_matched_by_the_table(kind, shared):
    data, batch = collection(), 8
    places, told = draw_batches(kind, data, batch, torch.Generator().manual_seed(0))
    factors = data.factors(places.flatten()).view(*places.shape, 2)
    seen = {tuple(row) for row in factors.flatten(0, 1).tolist()}
    assert seen == {tuple(row) for row in TABLE.tolist()}
    if isinstance(kind, Groups):
        fixed = 1 - told["factor"]
        for step, own in enumerate(factors):
            assert (own[:, fixed[step]] == own[0, fixed[step]]).all()
            assert len(own[:, told["factor"][step]].unique()) > 1
    else:
        same = factors[:, :batch] == factors[:, batch:]
        assert (same.sum(-1) >= shared).all() and not same.all()


def test_partners_are_drawn_evenly_among_those_that_share():
    data = collection()
    places, _ = draw_batches(Pairs(1), data, 64, torch.Generator().manual_seed(0))
    first, second = data.factors(places.flatten()).view(*places.shape, 2).split(64, dim=1)
    corner = (first == torch.tensor([3, 0])).all(-1) & (second[..., 0] == 3)
    counts = second[corner][:, 1].bincount(minlength=4).float()
    assert counts[3] == 0
    assert (counts[1:3] - counts[1:3].mean()).abs().max() < 5 * counts[1:3].mean().sqrt()


@pytest.mark.parametrize(("kind", "refused"), [(Pairs(), "pairs"), (Groups(), "groups")])
def test_a_table_without_partners_is_refused(kind, refused):
    data = collection(np.array([[k, k] for k in range(4)]))
    assert f"trains on {refused} of images, and no two images of some share" in objection(kind, data)


def test_steps_along_a_table_are_refused():
    assert objection(Transitions(), collection()) == (
        "it trains on transitions of images, which take a grid of factors, and some has a table of them."
    )


@pytest.mark.parametrize("kind", [Independent(), Labelled(5)], ids=str)
def test_images_by_themselves_need_no_partners(kind):
    data = collection(np.array([[k, k] for k in range(4)]))
    assert objection(kind, data) == ""
    places, _ = draw_batches(kind, data, 8, torch.Generator().manual_seed(0))
    assert places.max() < 4


def test_a_constant_factor_and_too_few_images_are_refused():
    with pytest.raises(UsageError, match="'y' takes one value only; leave out what never varies"):
        check_dataset(collection(np.array([[0, x % 4] for x in range(16)])))
    with pytest.raises(UsageError, match="it has 4 images, where 12 or more are needed"):
        check_dataset(collection(TABLE[:4]))


# --- drawn parts --------------------------------------------------------------------------------------


def test_drawn_parts_follow_from_the_generator_else_from_the_index():
    data = Noise()
    check_dataset(data)
    alone, again = data.images(range(16)), data.images([5, 3])
    assert torch.equal(again, alone[[5, 3]])
    drawn = [data.images([5, 3], torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    for one, other in pairwise([again, *drawn[1:]]):
        assert (one - other).abs().mean() > 0.2
    assert not torch.equal(*data.images([5, 5], torch.Generator().manual_seed(0)))


def test_training_draws_anew_from_the_runs_own_stream():
    data = Noise()
    places, _ = draw_batches(Independent(), data, 8, torch.Generator().manual_seed(0))
    again, _ = draw_batches(Independent(), data, 8, torch.Generator().manual_seed(0))
    assert torch.equal(places, again)
    assert len(places.unique()) == places.numel() == 8 * CHUNK  # though there are but 16 indices
    assert torch.equal(data.factors(places.flatten() % 16), data.factors((again % 16).flatten()))


# --- likelihoods --------------------------------------------------------------------------------------


def test_gaussian_loss_is_that_of_torch_distributions_but_for_its_constant():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    images = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    normal = torch.distributions.Normal(logits.sigmoid(), 0.1**0.5)
    constant = torch.distributions.Normal(0.0, 0.1**0.5).log_prob(torch.zeros((), dtype=torch.float64))
    expected = -(normal.log_prob(images) - constant).sum() / 5
    torch.testing.assert_close(negative_log_likelihood("gaussian:0.1")(logits, images), expected)


def test_a_likelihood_is_part_of_a_runs_identity():
    usual = RunSpec("vae", dataset="dsprites_mini")
    assert "likelihood" not in json.dumps(usual.to_dict())  # names of runs that were stored before stay
    named = [RunSpec("vae", dataset="dsprites_mini", likelihood=text) for text in ("gaussian", "gaussian:1.0")]
    assert named[0].run_id == named[1].run_id != usual.run_id
    assert "quick_gaussian_1-s0" in named[0].run_id
    for wrong in (
        "gauss",
        "gaussian:",
        "gaussian:0",
        "gaussian:-1",
        "gaussian:nan",
        "gaussian:1e9",
        "gaussian:1_0",
        "bernoulli:1",
    ):
        with pytest.raises(UsageError, match=f"likelihood is {wrong!r}; it takes bernoulli, gaussian, or"):
            RunSpec("vae", likelihood=wrong)


@pytest.mark.parametrize("method", ["betavae", "dcign", "qlae"])
def test_the_likelihood_is_what_is_minimised(mini, method):
    losses = {}
    for likelihood in ("bernoulli", "gaussian:1", "gaussian:0.01"):
        spec = RunSpec(method, dataset="dsprites_mini", steps=1, likelihood=likelihood)
        losses[likelihood] = train(spec, mini, "fp32").history[0]["reconstruction"]
    # An untrained decoder says one half everywhere: log 2 or a quarter a pixel.
    assert losses["bernoulli"] == pytest.approx(4096 * np.log(2), rel=0.05)
    assert losses["gaussian:1"] == pytest.approx(4096 / 8, rel=0.05)
    assert losses["gaussian:0.01"] == pytest.approx(100 * losses["gaussian:1"], rel=1e-4)


# --- a sweep ------------------------------------------------------------------------------------------

PLUGIN = """
import numpy as np
from benchmark.datasets import register
from benchmark.datasets.packed import ByteDataset


def pictures():
    images = np.zeros((40, 64, 64, 3), np.uint8)
    for k, (x, y, c) in enumerate(np.random.default_rng(0).integers((0, 0, 0), (48, 48, 3), (40, 3))):
        images[k, y : y + 16, x : x + 16, c] = 255
    return images


@register("faces")
def faces(device="cpu", data_dir=None):
    "Pictures of which nothing is known."
    table = np.zeros((40, 0), int)
    return ByteDataset(lambda progress: pictures(), "faces", "own", {}, (3, 64, 64), device, table=table)
"""


def test_a_sweep_without_factors(tmp_path, monkeypatch, capsys, plugins_anew):
    (tmp_path / "faces.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    options = "--plugin faces.py --datasets faces --methods vae,adagvae,ground_truth --steps 2 --seeds 0-1 --jobs 1"
    assert cli.main([*options.split(), "--likelihood", "gaussian:0.1", "--metrics", "all"]) == 0
    told = capsys.readouterr()
    assert "adagvae on faces left out: adagvae trains on pairs of images" in told.err
    assert "ground_truth on faces left out: ground_truth takes factors for codes; the data have none" in told.err
    assert "metrics left out, as the data have no factors" in told.err
    assert UNLABELLED in told.out and "quick gaussian:0.1" in told.out
    runs = pd.read_csv("results/runs.csv")
    found = {str(name).partition(".")[0] for name in runs["metric"]}
    assert {"active_latents", "udr", "reconstruction", "kl"} <= found and "mig" not in found
    assert set(runs["preset"]) == {"quick gaussian:0.1"}
    (plots,) = (tmp_path / "results/plots").iterdir()
    assert {"traversals.png", "reconstructions.png"} <= {path.name for path in plots.iterdir()}


def test_what_is_drawn_is_drawn_once_for_all_that_looks_at_it():
    data, rows = Noise(), draw_rows(Noise(), 8, 4, seed=3)
    whole = torch.cat([places for _, places in rows.batches(data)])
    tested = torch.cat([places for _, places in rows.batches(data, test=True)])
    assert torch.equal(tested, whole[len(rows.train) :])
    assert np.array_equal(tested % 16, rows.test)


@pytest.mark.usefixtures("without_figures")
def test_old_codes_are_not_scored_against_other_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    factors = TABLE.repeat(3, axis=0)
    for turn, told in enumerate((factors, factors[::-1])):
        np.savez("mine.npz", images=pictures(factors), factors=told)
        if turn == 0:
            options = "--datasets mine --data-dir . --methods vae --steps 1 --seeds 0-1 --jobs 1 --metrics mig"
            assert cli.main(options.split()) == 0
        before = Path("results/runs.csv").read_bytes()
        assert cli.main(["score-stored", "results", "--data-dir", ".", "--metrics", "mig,sap", "--jobs", "1"]) == 0
        told = "runs that stay as they are: 2 (the data are not there as they were)"
        assert (told in capsys.readouterr().err) == turn
        assert (Path("results/runs.csv").read_bytes() == before) == turn
        for scores in Path("results/runs").glob("*/scores.json"):  # so that something is to be scored again
            stored = json.loads(scores.read_text())
            stored["metrics"].pop("sap", None)
            scores.write_text(json.dumps(stored))
        cli.main(["leaderboard"])


def test_a_run_on_drawn_images_is_the_same_in_a_pack():
    specs = [RunSpec("vae", dataset="dsprites_mini", steps=3, seed=seed) for seed in (0, 1)]
    data = Noise()
    for spec, packed in zip(specs, train_pack(specs, data, "fp64"), strict=True):
        alone = train(spec, data, "fp64")
        for name, value in alone.networks.state_dict().items():
            torch.testing.assert_close(packed.networks.state_dict()[name], value, rtol=1e-9, atol=1e-9)
