"""Cars3D's files as they are published, with fewer views and models."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmark import datasets
from benchmark.datasets import cars3d
from benchmark.datasets.contract import check_dataset

NAMES = ["car_007_mesh", "car_001_mesh", "car_003_mesh", "car_199_mesh"]
ELEVATIONS, AZIMUTHS = 2, 3


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(cars3d, "FACTORS", {"elevation": ELEVATIONS, "azimuth": AZIMUTHS, "object_type": len(NAMES)})


def _views(seed):
    """A model's `im`: flat squares whose colours differ by view."""
    levels = np.random.default_rng(seed).integers(0, 256, (1, 1, 3, AZIMUTHS, ELEVATIONS), np.uint8)
    return np.broadcast_to(levels, (128, 128, 3, AZIMUTHS, ELEVATIONS)).copy()


MODELS = {name: _views(seed) for seed, name in enumerate(NAMES)}


def _mat(views, **members):
    content = io.BytesIO()
    savemat(content, {"im": views, "mask": views[:, :, 0] > 0} | members, do_compression=True)
    return content.getvalue()


def _contents(**changes):
    """Names and contents of the folder, some changed; None: left out."""
    found = {"list.txt": "\n".join(NAMES).encode() + b"\n"} | {f"{name}.mat": _mat(MODELS[name]) for name in NAMES}
    return {name: content for name, content in (found | changes).items() if content is not None}


def _folder(data, **changes):
    folder = data / "nips2015-analogy-data" / "data" / "cars"
    folder.mkdir(parents=True)
    for name, content in _contents(**changes).items():
        (folder / name).write_bytes(content)


def _archive(data, top="", **changes):
    with tarfile.open(data / cars3d.ARCHIVE, "w:gz") as archive:
        others = {"data/sprites/a.mat": b"other", "data/shapes48.mat": b"other"}
        cars = {f"data/cars/{name}": content for name, content in reversed(_contents(**changes).items())}
        for name, content in (others | cars).items():
            entry = tarfile.TarInfo(top + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _load(data):
    dataset = datasets.load("cars3d", data_dir=data)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize("write", [_folder, _archive, lambda data: _archive(data, "nips2015-analogy-data/")])
def test_images_are_in_the_order_of_the_list(write, data):
    write(data)
    dataset = _load(data)
    check_dataset(dataset)
    images = (dataset.images(range(len(dataset))) * 255).round().byte().numpy()
    for index, (elevation, azimuth, model) in enumerate(np.ndindex(*dataset.factor_sizes)):
        colour = MODELS[NAMES[model]][0, 0, :, azimuth, elevation]
        assert (images[index] == colour[:, None, None]).all()


def test_pictures_are_shrunk_by_lanczos_as_they_stand(data):
    views = MODELS[NAMES[1]].copy()
    picture = np.random.default_rng(9).integers(0, 256, (128, 128, 3), np.uint8)
    views[..., 2, 1] = picture
    _folder(data, **{"car_001_mesh.mat": _mat(views)})
    dataset = _load(data)
    image = dataset.images(dataset.indices([[1, 2, 1]]))[0].permute(1, 2, 0).numpy() * 255
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.array_equal(image.round(), expected)


def test_an_archive_with_another_checksum_is_told_and_read(data, capsys):
    _archive(data)
    _load(data)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and cars3d.ARCHIVE_MD5 in line
    _load(data)  # from the cache
    assert capsys.readouterr().err == ""


def test_it_is_read_anew_where_files_change(data):
    _folder(data)
    before = _load(data).images([0])
    (data / "nips2015-analogy-data/data/cars/list.txt").write_text("\n".join(reversed(NAMES)))
    assert not np.array_equal(_load(data).images([0]), before)


WRONG = {
    "no list": ({"list.txt": None}, "holds no .*list.txt"),
    "a short list": ({"list.txt": b"car_001_mesh"}, "has 1 names"),
    "a list with one twice": ({"list.txt": " ".join(NAMES[:3] + NAMES[:1]).encode()}, "4 names, 3 of them different"),
    "no text": ({"list.txt": b"\xff\xfe"}, "list.txt is damaged"),
    "a missing model": ({"car_003_mesh.mat": None}, "lacks 1 of 4 models of Cars3D, the first car_003_mesh.mat"),
    "text": ({"car_003_mesh.mat": b"text"}, "car_003_mesh.mat is damaged or not a model"),
    "empty": ({"car_003_mesh.mat": b""}, "car_003_mesh.mat is damaged or not a model"),
    "truncated": ({"car_003_mesh.mat": _mat(MODELS[NAMES[0]])[:300]}, "car_003_mesh.mat is damaged or not a model"),
    "of other views": ({"car_003_mesh.mat": _mat(MODELS[NAMES[0]][..., :1])}, "im is .* where uint8"),
    "of another size": ({"car_003_mesh.mat": _mat(MODELS[NAMES[0]][:64])}, "im is .* where uint8"),
    "of floats": ({"car_003_mesh.mat": _mat(MODELS[NAMES[0]] / 255)}, "im is .* where uint8"),
    "without images": ({"car_003_mesh.mat": _mat(MODELS[NAMES[0]], im=np.zeros(3))}, "im is .* where uint8"),
    "of a later format": (
        {"car_003_mesh.mat": b"\x89HDF\r\n\x1a\n" + bytes(600)},
        "car_003_mesh.mat is damaged or not",
    ),
}


@pytest.mark.parametrize("write", [_folder, _archive])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_refused(kind, write, data, refused):
    changes, told = WRONG[kind]
    write(data, **changes)
    refused(lambda: _load(data), told)


def test_damaged_archives_are_refused(data, refused, monkeypatch):
    _archive(data)
    path = data / cars3d.ARCHIVE
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"text", b""):
        path.write_bytes(content)
        refused(lambda: _load(data), "the archive of Cars3D|lacks|holds no")
    path.write_bytes(whole)
    monkeypatch.setattr(cars3d, "MOST_BYTES", 300)
    refused(lambda: _load(data), "bytes")


def test_a_huge_model_is_refused(data, refused, monkeypatch):
    _folder(data)
    monkeypatch.setattr(cars3d, "MOST_BYTES", 300)
    refused(lambda: _load(data), r"car_\d+_mesh.mat is damaged or not a file of Cars3D .it has")
