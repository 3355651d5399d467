"""MPI3D's archives as they are published, with fewer values of each factor."""

import hashlib
import zipfile
import zlib

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.datasets import mpi3d
from benchmark.datasets.contract import check_dataset

FEW = {"object_color": 3, "object_shape": 3, "horizontal_axis": 4}
FEW_COMPLEX = {"object_color": 2, "object_shape": 2, "horizontal_axis": 4}
IMAGES = np.random.default_rng(0).integers(0, 256, (36, 64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(mpi3d, "FACTORS", FEW)
    monkeypatch.setattr(mpi3d, "COMPLEX", FEW_COMPLEX)
    monkeypatch.setattr(mpi3d, "CHUNK", 10_000)


def _load(data, name="mpi3d_toy"):
    dataset = datasets.load(name, data_dir=data)
    dataset.prepare()
    return dataset


def _is_right(dataset, expected):
    check_dataset(dataset)
    images = dataset.images(range(len(expected)))
    assert torch.equal(images, torch.from_numpy(expected).permute(0, 3, 1, 2).float() / 255)


@pytest.mark.parametrize("name", ["mpi3d_toy", "mpi3d_realistic", "mpi3d_real"])
def test_a_stored_archive_is_mapped_where_it_lies(name, data, cache, capsys):
    np.savez(data / f"{name}.npz", images=IMAGES)
    dataset = _load(data, name)
    _is_right(dataset, IMAGES)
    assert not list(cache.glob("*.bits"))
    (line,) = capsys.readouterr().err.splitlines()
    assert (mpi3d.MD5 | mpi3d.SHA256)[name] in line


def test_what_is_looked_through_is_what_lies_there(data):
    np.savez(data / "mpi3d_toy.npz", first=np.arange(9), images=IMAGES, last=np.arange(9))
    path = data / "mpi3d_toy.npz"
    member = mpi3d.find_images(path, FEW)
    with zipfile.ZipFile(path) as archive:
        array = archive.read("images.npy")
    whole = hashlib.md5(path.read_bytes()).hexdigest()
    expected = mpi3d.Digests(whole, hashlib.sha256(array).hexdigest(), zlib.crc32(array))
    assert mpi3d.look_through(path, member) == expected


def test_a_compressed_archive_is_kept_in_the_cache(data, cache, capsys):
    np.savez_compressed(data / "mpi3d_real.npz", images=IMAGES)
    _is_right(_load(data, "mpi3d_real"), IMAGES)
    assert list(cache.glob("mpi3d_real-published-v1-*.bits"))
    assert mpi3d.MD5["mpi3d_real"] in capsys.readouterr().err
    _is_right(_load(data, "mpi3d_real"), IMAGES)
    assert capsys.readouterr().err == ""


def test_complex_has_a_file_of_another_name(data, refused, capsys):
    np.savez(data / "mpi3d_complex.npz", images=IMAGES[:16])
    refused(lambda: _load(data, "mpi3d_complex"), "holds no real3d_complicated_shapes_ordered.npz")
    (data / "mpi3d_complex.npz").rename(data / "real3d_complicated_shapes_ordered.npz")
    _is_right(_load(data, "mpi3d_complex"), IMAGES[:16])
    assert capsys.readouterr().err == ""


def test_a_mapped_file_is_looked_through_once(data, capsys, monkeypatch):
    np.savez(data / "mpi3d_toy.npz", images=IMAGES)
    _load(data)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and mpi3d.MD5["mpi3d_toy"] in line
    monkeypatch.setattr(mpi3d, "look_through", None)
    _load(data)
    assert capsys.readouterr().err == ""


def test_what_is_written_to_images_does_not_reach_the_file(data):
    np.savez(data / "mpi3d_toy.npz", images=IMAGES)
    before = (data / "mpi3d_toy.npz").read_bytes()
    _load(data).rows.zero_()
    assert (data / "mpi3d_toy.npz").read_bytes() == before


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_first_release_is_refused(save, data, refused):
    save(data / "mpi3d_toy.npz", images=IMAGES[:16])
    told = refused(lambda: _load(data), "holds 16 images, as the first release did")
    assert "36 are needed" in told


WRONG = {
    "more": {"images": np.concatenate([IMAGES, IMAGES])},
    "another size": {"images": IMAGES[:, ::2, ::2]},
    "floats": {"images": IMAGES.astype(np.float16)},
    "no images": {"pictures": IMAGES},
    "objects": {"images": np.array([{}], object)},
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_archives_are_refused(kind, save, data, refused):
    save(data / "mpi3d_toy.npz", **WRONG[kind])
    refused(lambda: _load(data), "mpi3d_toy.npz is damaged or not a published file of MPI3D")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_archives_are_refused(save, data, refused):
    path = data / "mpi3d_toy.npz"
    save(path, images=IMAGES)
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1
    for content in (spoilt, whole[:-30], whole[: len(whole) // 2], b"text", b""):
        path.write_bytes(content)
        refused(lambda: _load(data), "mpi3d_toy.npz is damaged")


def test_a_folder_in_its_place_is_refused(data, refused):
    (data / "mpi3d_toy.npz").mkdir()
    refused(lambda: _load(data), "mpi3d_toy.npz is damaged")


def test_an_archive_with_something_before_it_is_mapped_all_the_same(data):
    np.savez(data / "a.npz", images=IMAGES)
    (data / "mpi3d_toy.npz").write_bytes(b"before" + (data / "a.npz").read_bytes())
    _is_right(_load(data), IMAGES)


def test_an_archive_of_many_members_is_mapped(data):
    with zipfile.ZipFile(data / "mpi3d_toy.npz", "w") as archive:
        archive.writestr("readme.txt", "a text")
        with archive.open("images.npy", "w", force_zip64=True) as member:
            np.save(member, IMAGES)
    _is_right(_load(data), IMAGES)
