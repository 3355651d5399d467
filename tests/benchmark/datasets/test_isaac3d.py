"""The folders of Isaac3D and Falcor3D as they are published, with fewer values of each factor."""

import numpy as np
import pytest
from PIL import Image

from benchmark import datasets
from benchmark.datasets import isaac3d, pictures
from benchmark.datasets.contract import check_dataset

FEW = {"object_shape": 3, "robot_x-move": 4, "wall_color": 2}
SETS = {"isaac3d": ("Isaac3D", "labels.npy"), "falcor3d": ("Falcor3D", "train-rec.labels")}
LABELS = np.stack(np.unravel_index(np.arange(24), (3, 4, 2)), 1) / [2, 3, 1]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(isaac3d, "ISAAC", FEW)
    monkeypatch.setattr(isaac3d, "FALCOR", FEW)
    monkeypatch.setattr(pictures, "BLOCK", 5)


def _write(data, name="isaac3d", suffix="_down128", labels=LABELS, side=8):
    """The folder, picture n flat and of the level 10 n."""
    folder = data / f"{SETS[name][0]}{suffix}"
    (folder / "images").mkdir(parents=True)
    for number in range(24):
        picture = np.full((side, side, 3), [10 * number, 7, 9], np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{number:06d}.png")
    with (folder / SETS[name][1]).open("wb") as file:
        np.save(file, labels, allow_pickle=True)
    return folder


def _load(data, name="isaac3d"):
    dataset = datasets.load(name, data_dir=data)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize(("suffix", "side", "dtype"), [("_down128", 128, np.float32), ("", 160, np.float64)])
@pytest.mark.parametrize("name", SETS)
def test_pictures_are_in_the_order_of_their_numbers(name, suffix, side, dtype, data):
    _write(data, name, suffix, LABELS.astype(dtype), side)
    dataset = _load(data, name)
    check_dataset(dataset)
    images = dataset.images(range(24)) * 255
    assert (images[:, 0].round().flatten(1) == 10 * np.arange(24)[:, None]).all()
    assert (images[:, 1].round() == 7).all()


def test_pictures_are_shrunk_by_a_bicubic_filter(data):
    folder = _write(data)
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(picture).save(folder / "images" / "000013.png")
    image = (_load(data).images([13])[0].permute(1, 2, 0) * 255).round().numpy()
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(image, expected)


def test_they_are_decoded_once(data, monkeypatch):
    _write(data)
    before = _load(data).images(range(24))
    monkeypatch.setattr(pictures, "decode", None)
    assert (_load(data).images(range(24)) == before).all()


LABELS_THAT_ARE_WRONG = {
    "in another order": (LABELS[::-1], "object_shape is in another order"),
    "in the order of another factor": (LABELS[:, [1, 0, 2]], "object_shape has 4 values, where 3"),
    "swapped": (LABELS[[1, 0, *range(2, 24)]], "wall_color is in another order"),
    "fewer": (LABELS[:-1], r"where \(24, 3\) is needed"),
    "of fewer factors": (LABELS[:, :2], r"where \(24, 3\) is needed"),
    "objects": (LABELS.astype(object), "damaged or not the labels"),
    "texts": (LABELS.astype(str), r"where \(24, 3\) is needed"),
    "unknown": (LABELS * np.nan, "has 1 values"),
}


@pytest.mark.parametrize("kind", LABELS_THAT_ARE_WRONG)
def test_wrong_labels_are_refused(kind, data, refused):
    labels, told = LABELS_THAT_ARE_WRONG[kind]
    _write(data, labels=labels)
    refused(lambda: _load(data), told)


def test_damaged_labels_are_refused(data, refused):
    path = _write(data) / "labels.npy"
    whole = path.read_bytes()
    for content in (whole[:-8], whole[:20], b"text", b"PK\x03\x04"):
        path.write_bytes(content)
        refused(lambda: _load(data), "labels.npy is damaged or not the labels of these pictures")
    path.write_bytes(b"")
    refused(lambda: _load(data), "labels.npy is damaged")
    path.unlink()
    refused(lambda: _load(data), "holds no labels.npy")
    np.savez(path.with_suffix(".npz"), LABELS)
    path.with_suffix(".npz").rename(path)
    refused(lambda: _load(data), "labels.npy is damaged")


def test_missing_pictures_are_told(data, refused):
    folder = _write(data) / "images"
    (folder / "000007.png").rename(folder / "7.png")
    refused(lambda: _load(data), "holds 24 pictures, where 24 are published; 000007.png is missing")
    (folder / "7.png").unlink()
    refused(lambda: _load(data), "holds 23 pictures, where 24 are published; 000007.png is missing")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    refused(lambda: _load(data), "holds no images")


def test_more_pictures_than_published_are_refused(data, refused):
    folder = _write(data) / "images"
    (folder / "000024.png").write_bytes((folder / "000000.png").read_bytes())
    refused(lambda: _load(data), "holds 25 pictures, where 24 are published.$")


def test_damaged_pictures_are_named(data, refused, monkeypatch):
    path = _write(data) / "images" / "000017.png"
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) - 30] ^= 255
    for content in (
        whole[: len(whole) // 2],
        spoilt,
        b"text",
        b"",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ):
        path.write_bytes(content)
        refused(lambda: _load(data), "picture 000017.png is damaged or not one that can be read")
    path.write_bytes(whole)
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    refused(lambda: _load(data), "picture 0000.*bytes")
