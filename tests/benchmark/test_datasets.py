import multiprocessing
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.checks import Squares
from benchmark.datasets import dsprites as sprites
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.contract import check_dataset
from benchmark.errors import UsageError
from benchmark.report.display import datasets_table, remarks_on

SIX = Path(__file__).parents[1] / "data" / "dsprites_six.npz"


def test_the_whole_grid(dsprites):
    assert len(dsprites) == 737_280
    assert dsprites.factor_names == ("shape", "scale", "orientation", "position_x", "position_y")
    assert dsprites.factor_sizes == (3, 6, 40, 32, 32)
    assert dsprites.image_shape == (1, 64, 64)
    assert dsprites.source == "rendered"
    images = dsprites.images([0, 737_279])
    assert images.shape == (2, 1, 64, 64)
    assert images.dtype == torch.float32
    assert set(images.unique().tolist()) == {0.0, 1.0}


def test_ours_keep_to_what_is_asked_of_others(mini, dsprites):
    for data in (mini, dsprites):
        check_dataset(data)


def test_six_real_images(dsprites):
    with np.load(SIX, allow_pickle=False) as real:
        expected, classes = real["imgs"] > 0, real["latents_classes"]
    rendered = dsprites.images(dsprites.indices(classes[:, 1:])).numpy()[:, 0] > 0
    overlap = (rendered & expected).sum((1, 2)) / (rendered | expected).sum((1, 2))
    print(
        "intersection over union:", dict(zip(classes[:, 1].tolist(), overlap.round(4).tolist(), strict=False)), overlap
    )
    assert overlap.min() >= 0.96
    assert overlap.mean() >= 0.985


def test_areas_of_hearts_agree_with_labelled_ones(dsprites):
    # Labelled hearts have 145, 112, and 57 and 55 pixels at these scales.
    for scale, area in ((3, 145), (2, 112), (0, 56)):
        factors = [[2, scale, orientation, 12, 20] for orientation in range(40)]
        areas = dsprites.images(dsprites.indices(factors)).sum((1, 2, 3))
        assert abs(areas.mean() - area) < 2.5


def test_symmetries(dsprites):
    def image(*factors):
        return dsprites.images(dsprites.indices([factors]))

    for shape in range(3):
        assert torch.equal(image(shape, 4, 0, 7, 9), image(shape, 4, 39, 7, 9))
    # A step along x moves columns, a step along y rows (growing downward).
    assert image(1, 2, 5, 31, 0).sum((0, 1, 2)).argmax() > image(1, 2, 5, 0, 0).sum((0, 1, 2)).argmax()
    assert image(1, 2, 5, 0, 31).sum((0, 1, 3)).argmax() > image(1, 2, 5, 0, 0).sum((0, 1, 3)).argmax()


def test_what_orientation_cannot_be_told_is_said(dsprites, mini):
    (full,), (small,) = dsprites.remarks, mini.remarks
    assert "Orientations 0 and 39 are one image" in full
    assert dsprites.factor_sizes[2] == 40
    # As it says of the small grid: squares, and every second ellipse, differ in less than a seventh of their pixels.
    squares, ellipses = (mini.images(mini.indices([[s, 1, o, 0, 0] for o in range(4)])) > 0 for s in (0, 1))
    for images in (squares, ellipses[::2], ellipses[1::2]):
        assert ((images != images[:1]).sum((1, 2, 3)) < images[0].sum() / 7).all()
    names, *_, told = (column._cells for column in datasets_table().columns)
    shown = dict(zip(names, told, strict=True))
    assert [full in shown["dsprites"], small in shown["dsprites_mini"]] == [True, True]
    assert remarks_on(["dsprites", "of a plugin"]) == [f"dsprites: {full}"]


def test_a_data_set_without_remarks_has_none():
    assert Squares().remarks == ()


def test_last_factor_is_fastest(dsprites):
    assert dsprites.factors([0, 1, 32, 1024, 40 * 1024, 737_279]).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [2, 5, 39, 31, 31],
    ]


def test_indices_and_factors_are_inverse(mini):
    everything = torch.arange(len(mini))
    assert torch.equal(mini.indices(mini.factors(everything)), everything)
    expected = np.stack(np.unravel_index(np.arange(len(mini)), mini.factor_sizes), axis=1)
    assert np.array_equal(mini.factors(everything).numpy(), expected)


@pytest.mark.parametrize("bad", [[-1], [384], [0, 400]])
def test_index_outside(mini, bad):
    with pytest.raises(IndexError, match=r"0 \.\. 383"):
        mini.images(bad)


def test_factors_off_the_grid(mini):
    with pytest.raises(ValueError, match="outside the sizes"):
        mini.indices([[3, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="takes \\(batch, 5\\)"):
        mini.indices([[0, 0]])
    with pytest.raises(ValueError, match="integers"):
        mini.images([0.5])
    with pytest.raises(ValueError, match="takes \\(batch,\\)"):
        mini.images([[1]])


def test_unknown_data_set():
    with pytest.raises(UsageError, match="did you mean 'dsprites'"):
        datasets.load("dsprite")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="already"):
        datasets.register("dsprites")(lambda device, data_dir: None)


def test_rendering_is_independent_of_the_rest_of_the_grid(mini, dsprites):
    # The small grid's sprites at the ends of scale and position are in the large one too.
    small = mini.images(mini.indices([[s, 1, 0, 0, 3] for s in range(3)]))
    large = dsprites.images(dsprites.indices([[s, 5, 0, 0, 31] for s in range(3)]))
    assert torch.equal(small, large)


# --- the cache ---------------------------------------------------------------------------------------


def _counting(calls):
    def make():
        calls.append(1)
        yield np.arange(6, dtype=np.uint8).reshape(2, 3)
        yield np.arange(6, 12, dtype=np.uint8).reshape(2, 3)

    return make


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path))
    return tmp_path


def test_cache_is_made_once(cache):
    calls = []
    for _ in range(3):
        assert np.array_equal(cached_rows("a", (4, 3), _counting(calls)), np.arange(12).reshape(4, 3))
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "append"])
def test_damaged_cache_is_rebuilt(cache, damage):
    calls = []
    cached_rows("a", (4, 3), _counting(calls))
    path = cache / "a.bits"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    broken = {"flip": content, "truncate": content[:20], "empty": b"", "append": path.read_bytes() + b"x"}[damage]
    path.write_bytes(broken)
    assert np.array_equal(cached_rows("a", (4, 3), _counting(calls)), np.arange(12).reshape(4, 3))
    assert len(calls) == 2


def test_interrupted_rendering_leaves_nothing(cache):
    def broken():
        yield np.zeros((2, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_rows("a", (4, 3), broken)
    assert not list(cache.glob("*.bits")) + list(cache.glob("*.tmp"))


def test_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="DISENTANGLEMENT_CACHE"):
        cached_rows("a", (4, 3), _counting([]))


def _resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_resident_memory(dsprites):
    dsprites.prepare()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_gather_all, args=(queue, os.environ["DISENTANGLEMENT_CACHE"]))
    process.start()
    grown = queue.get(timeout=120)
    process.join()
    assert 0 < grown < 500  # megabytes


def _gather_all(queue, cache_folder):
    os.environ["DISENTANGLEMENT_CACHE"] = cache_folder
    before = _resident()
    data = datasets.load("dsprites")
    for start in range(0, len(data), 4096):
        data.images(torch.arange(start, min(start + 64, len(data))))
    queue.put(_resident() - before)


# --- the published file ------------------------------------------------------------------------------


def write_published(path, data, **changes):
    """A file in the published format (with its pickled member) of the images of a data set."""
    everything = torch.arange(len(data))
    classes = np.concatenate([np.zeros((len(data), 1), np.int64), data.factors(everything).numpy()], axis=1)
    members = {
        "imgs": data.images(everything).numpy()[:, 0].astype(np.uint8),
        "latents_classes": classes,
        "metadata": np.array({"title": "pickled"}, dtype=object),
    } | changes
    np.savez_compressed(path, **{name: array for name, array in members.items() if array is not None})
    return path


def test_published_file_is_read(mini, tmp_path):
    path = write_published(tmp_path / "data.npz", mini)
    bits = np.concatenate(list(sprites.read_published(path, sprites.MINI)))
    assert np.array_equal(np.unpackbits(bits).reshape(-1, 1, 64, 64), mini.images(range(len(mini))).numpy())


def test_published_source_is_told(mini, tmp_path, monkeypatch):
    path = write_published(tmp_path / sprites.PUBLISHED_FILE, mini)
    monkeypatch.setattr(sprites, "FULL", sprites.MINI)
    monkeypatch.setattr(sprites.read_published, "__defaults__", (sprites.MINI, False))
    for data in (datasets.load("dsprites", data_dir=tmp_path), _load_by_environment(monkeypatch, tmp_path)):
        assert data.source == "published"
        assert torch.equal(data.images([0, 383]), mini.images([0, 383]))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UsageError, match="damaged"):
        datasets.load("dsprites", data_dir=tmp_path).prepare()


def _load_by_environment(monkeypatch, folder):
    monkeypatch.setenv("DISENTANGLEMENT_DATA", str(folder))
    data = datasets.load("dsprites")
    monkeypatch.delenv("DISENTANGLEMENT_DATA")
    return data


def test_folder_without_the_published_file(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="holds no dsprites_ndarray"):
        datasets.load("dsprites", data_dir=tmp_path)
    assert _load_by_environment(monkeypatch, tmp_path).source == "rendered"  # as it may hold other sets


def _wrong_files(mini, tmp_path):
    good = write_published(tmp_path / "good.npz", mini).read_bytes()
    images = mini.images(range(len(mini))).numpy()[:, 0].astype(np.uint8)
    spoilt = bytearray(good)
    spoilt[len(good) // 2] ^= 255
    (tmp_path / "spoilt.npz").write_bytes(spoilt)
    (tmp_path / "truncated.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.npz").write_text("not an archive")
    write_published(tmp_path / "grey.npz", mini, imgs=images * 255)
    write_published(tmp_path / "small.npz", mini, imgs=images[:, ::2])
    write_published(tmp_path / "floats.npz", mini, imgs=images.astype(np.float32))
    write_published(tmp_path / "pickled.npz", mini, imgs=np.array([{}] * 3, dtype=object))
    write_published(tmp_path / "reordered.npz", mini, latents_classes=np.zeros((384, 6), np.int64))
    write_published(tmp_path / "missing.npz", mini, imgs=None)
    with zipfile.ZipFile(tmp_path / "headless.npz", "w") as archive:
        archive.writestr("latents_classes.npy", b"garbage")
    return sorted(path for path in tmp_path.glob("*.npz") if path.name != "good.npz")


def test_wrong_published_files(mini, tmp_path):
    files = _wrong_files(mini, tmp_path)
    assert len(files) == 10
    for path in [*files, tmp_path]:
        with pytest.raises(UsageError, match="damaged or not the published dSprites") as caught:
            list(sprites.read_published(path, sprites.MINI))
        assert "\n" not in str(caught.value), path
