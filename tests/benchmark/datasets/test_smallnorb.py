"""SmallNORB's six files as they are published, with fewer toys and views."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import datasets
from benchmark.datasets import smallnorb
from benchmark.datasets.contract import check_dataset

FACTORS = {"category": 2, "instance": 4, "elevation": 2, "azimuth": 3, "lighting": 2}
HALVES = ((0, 3), (1, 2))  # the toys of each


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(smallnorb, "FACTORS", FACTORS)
    monkeypatch.setattr(smallnorb, "BLOCK", 7)


def _matrix(array):
    """The bytes of a file: what it holds, how many axes, at least three sizes, the array."""
    kind = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54, "f4": 0x1E3D4C51}[array.dtype.str[1:]]
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    return (
        struct.pack(f"<{2 + len(sizes)}i", kind, array.ndim, *sizes)
        + array.astype(array.dtype.newbyteorder("<")).tobytes()
    )


def _level(factors):
    """The grey level of a flat photograph, another one for each combination."""
    return np.ravel_multi_index(factors, tuple(FACTORS.values())) * 2


def _contents(half):
    """The arrays of a half, in a shuffled order."""
    grid = np.stack(np.unravel_index(np.arange(96), tuple(FACTORS.values())), 1).astype(np.int32)
    rows = np.random.default_rng(half).permutation(grid[np.isin(grid[:, 1], HALVES[half])])
    photographs = np.zeros((len(rows), 2, 96, 96), np.uint8)
    photographs[:, 0] = _level(rows.T)[:, None, None]
    photographs[:, 1] = 255
    info = rows[:, 1:] * np.array([1, 1, 2, 1], np.int32)  # azimuths are even
    return {"dat": photographs, "cat": rows[:, 0].copy(), "info": info}


ARRAYS = {f"{smallnorb.STEMS[half]}{part}": array for half in (0, 1) for part, array in _contents(half).items()}
FIRST = smallnorb.STEMS[0]


def _write(data, packed=False, **changes):
    """The six files; `changes` are arrays or bytes instead, by part, of the first half."""
    for name, array in ARRAYS.items():
        content = changes.get(name.removeprefix(FIRST), array)
        content = content if isinstance(content, bytes) else _matrix(content)
        path = data / f"{name}.mat{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content, 1) if packed else content)


def _load(data, name="smallnorb"):
    dataset = datasets.load(name, data_dir=data)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize("packed", [False, True])
def test_shuffled_photographs_are_put_in_order(packed, data, capsys):
    _write(data, packed)
    dataset = _load(data)
    check_dataset(dataset)
    assert dataset.factor_names == ("category", "instance", "elevation", "azimuth", "lighting")
    images = dataset.images(range(96))
    assert images.shape == (96, 1, 64, 64)
    assert torch.equal(images, (torch.arange(96.0) * 2 / 255)[:, None, None, None].expand_as(images))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (6 if packed else 0)  # checksums are known of compressed files
    assert all(line.startswith("warning: ") and "sha256" in line for line in told)


def test_photographs_are_shrunk_by_lanczos_and_clipped(data):
    photographs = ARRAYS[f"{FIRST}dat"].copy()
    picture = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (96, 96))
    photographs[0, 0] = picture
    _write(data, dat=photographs)
    dataset = _load(data)
    category, info = ARRAYS[f"{FIRST}cat"][0], ARRAYS[f"{FIRST}info"][0] // [1, 1, 2, 1]
    image = dataset.images(dataset.indices([[category, *info]]))[0, 0].numpy() * 255
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.array_equal(image.round(), expected)
    assert (expected.min(), expected.max()) == (0, 255)


def test_the_studys_toys_are_drawn(data):
    _write(data)
    dataset, whole = _load(data, "smallnorb_study"), _load(data)
    check_dataset(dataset)
    assert dataset.factor_names == ("category", "elevation", "azimuth", "lighting")
    assert len(dataset) == 24
    assert dataset.drawn
    assert dataset.memory == whole.memory
    generator = torch.Generator().manual_seed(0)
    indices = torch.arange(24).repeat(100)
    levels = (dataset.images(indices, generator)[:, 0, 0, 0] * 255).round().long() // 2
    shown = whole.factors(levels)  # of a photograph, whose level is twice its index
    assert torch.equal(shown[:, [0, 2, 3, 4]], dataset.factors(indices))
    counts = torch.bincount(shown[:, 1], minlength=4)
    assert ((counts - 600).abs() < 100).all()
    again = torch.Generator().manual_seed(0)
    assert torch.equal((dataset.images(indices, again)[:, 0, 0, 0] * 255).round().long() // 2, levels)
    assert torch.equal(dataset.images([3, 7]), dataset.images([3, 7]))


def test_one_of_the_files_may_be_compressed_and_another_not(data):
    _write(data)
    _write(data, packed=True)
    (data / f"{FIRST}dat.mat").unlink()
    (data / f"{FIRST}cat.mat.gz").unlink()
    check_dataset(_load(data))


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_file_is_named(name, data, refused):
    _write(data)
    (data / f"{name}.mat").rename(data / f"{name}.matrix")
    refused(lambda: _load(data), f"holds no {name}.mat or {name}.mat.gz")


def _matrix_with(**changes):
    array = ARRAYS[f"{FIRST}info"].copy()
    for column, values in changes.items():
        array[:, int(column[1:])] = values
    return array


WRONG = {
    "text": {"dat": b"text"},
    "empty": {"info": b""},
    "another kind": {"cat": ARRAYS[f"{FIRST}cat"].astype(np.float32)},
    "bytes for numbers": {"info": ARRAYS[f"{FIRST}info"].astype(np.uint8)},
    "another size": {"dat": ARRAYS[f"{FIRST}dat"][..., :64]},
    "fewer": {"dat": ARRAYS[f"{FIRST}dat"][:-1]},
    "one camera": {"dat": ARRAYS[f"{FIRST}dat"][:, :1]},
    "many axes": {"dat": struct.pack("<5i", 0x1E3D4C55, 900, 1, 1, 1)},
    "no axes": {"dat": struct.pack("<5i", 0x1E3D4C55, -1, 1, 1, 1)},
    "truncated photographs": {"dat": _matrix(ARRAYS[f"{FIRST}dat"])[:-1]},
    "truncated numbers": {"info": _matrix(ARRAYS[f"{FIRST}info"])[:-1]},
    "longer photographs": {"dat": _matrix(ARRAYS[f"{FIRST}dat"]) + b"x"},
    "longer numbers": {"cat": _matrix(ARRAYS[f"{FIRST}cat"]) + b"x"},
    "a toy of the other half": {"info": _matrix_with(_0=1)},
    "azimuths not doubled": {"info": _matrix_with(_2=1)},
    "values off the grid": {"info": _matrix_with(_3=6)},
    "below it": {"info": _matrix_with(_1=-1)},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_refused(kind, packed, data, refused):
    _write(data, packed, **WRONG[kind])
    refused(
        lambda: _load(data), "smallnorb-5x.*is damaged or not (a file of|the other half of the published) SmallNORB"
    )


def test_damaged_compression_is_refused(data, refused):
    _write(data, packed=True)
    path = data / f"{FIRST}dat.mat.gz"
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 1  # the checksum at its end
    for content in (whole, whole[: len(whole) // 2], b"\x1f\x8btext", b""):
        path.write_bytes(content)
        refused(lambda: _load(data), "dat.mat.gz is damaged")


def test_the_halves_are_not_to_be_exchanged_for_one_another(data, refused):
    _write(data)
    for part in ("dat", "cat", "info"):
        (data / f"{smallnorb.STEMS[1]}{part}.mat").write_bytes((data / f"{FIRST}{part}.mat").read_bytes())
    refused(lambda: _load(data), "do not hold each combination of factors once")
