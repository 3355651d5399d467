"""The file of Shapes3D as it is published, with fewer values of each factor."""

import sys

import h5py
import numpy as np
import pytest

from benchmark.datasets import shapes3d_file

FEW = {"floor_hue": np.arange(2) / 10, "scale": np.linspace(0.75, 1.25, 8), "orientation": np.linspace(-30, 30, 5)}
LABELS = np.stack([grid.ravel() for grid in np.meshgrid(*FEW.values(), indexing="ij")], 1)
IMAGES = np.repeat(np.random.default_rng(0).integers(0, 256, (80, 64, 4, 3), np.uint8), 16, axis=2)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(shapes3d_file, "VALUES", FEW)
    monkeypatch.setattr(shapes3d_file, "BLOCK", 30)


def _write(data, images=IMAGES, labels=LABELS):
    path = data / "3dshapes.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, chunks=(30, 16, 16, 1), compression="gzip")
        file.create_dataset("labels", data=labels)
    return path


def test_the_published_grid_has_480_000_images(monkeypatch):
    monkeypatch.undo()
    values = shapes3d_file.VALUES
    assert [*map(len, values.values())] == [10, 10, 10, 8, 4, 15]
    assert [values["wall_hue"][-1], values["scale"][0], values["shape"][-1], values["orientation"][1]] == pytest.approx(
        [0.9, 0.75, 3, -30 + 30 / 7]
    )


def test_images_come_in_aligned_blocks(data, capsys):
    blocks = [*shapes3d_file.read_shapes3d(_write(data))]
    assert [len(block) for block in blocks] == [30, 30, 20]
    assert np.array_equal(np.concatenate(blocks), IMAGES)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and shapes3d_file.SHA256 in line


def test_the_published_checksum_is_not_warned_of(data, monkeypatch, capsys):
    path = _write(data)
    monkeypatch.setattr(shapes3d_file, "SHA256", shapes3d_file.warn_of_other_content.__globals__["digest_of"](path))
    assert len([*shapes3d_file.read_shapes3d(path)]) == 3
    assert capsys.readouterr().err == ""


WRONG = {
    "linear hues": ({"labels": LABELS * [10, 1, 1]}, "image 40 has the floor_hue 1, where 0.1"),
    "another order": ({"labels": LABELS[::-1]}, "image 0 has the floor_hue 0.1, where 0"),
    "swapped": ({"labels": LABELS[[1, 0, *range(2, 80)]]}, "image 0 has the orientation"),
    "nan": ({"labels": LABELS * np.nan}, "image 0 has the floor_hue nan"),
    "whole numbers": ({"labels": LABELS.astype(int)}, "labels is int64"),
    "fewer labels": ({"labels": LABELS[:-1]}, r"labels is float64 \(79, 3\)"),
    "fewer images": ({"images": IMAGES[:-1]}, r"images is uint8 \(79, 64, 64, 3\)"),
    "another size": ({"images": IMAGES[:, :32]}, "images is uint8"),
    "floats": ({"images": IMAGES.astype(np.float32)}, "images is float32"),
    "more bits": ({"images": IMAGES.astype(np.uint16)}, "images is uint16"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_refused(kind, data, refused):
    changes, told = WRONG[kind]
    path = _write(data, **changes)
    refused(lambda: [*shapes3d_file.read_shapes3d(path)], f"is damaged or not the published Shapes3D .*{told}")


def test_damaged_files_are_refused(data, refused):
    path = _write(data)
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 999] = bytes(999)
    for content in (whole[: len(whole) // 2], spoilt, b"text", b""):
        path.write_bytes(content)
        refused(lambda: [*shapes3d_file.read_shapes3d(path)], "is damaged or not the published Shapes3D")
    path.unlink()
    refused(lambda: [*shapes3d_file.read_shapes3d(path)], "is damaged")


def test_what_lies_in_other_files_is_not_followed(data, refused):
    whole = _write(data).rename(data / "other.h5")
    path = data / "3dshapes.h5"
    with h5py.File(path, "w") as file:
        file["labels"] = h5py.ExternalLink(str(whole), "labels")
        file["images"] = h5py.ExternalLink(str(whole), "images")
    refused(lambda: [*shapes3d_file.read_shapes3d(path)], "labels lies in another file")
    with h5py.File(path, "w") as file:
        file["labels"] = LABELS
        file.create_dataset("images", IMAGES.shape, np.uint8, external=[(str(whole), 0, IMAGES.nbytes)])
    refused(lambda: [*shapes3d_file.read_shapes3d(path)], "images lies in another file")
    with h5py.File(path, "w") as file:
        file["pictures"] = IMAGES
    refused(lambda: [*shapes3d_file.read_shapes3d(path)], "is damaged")


def test_without_h5py_it_is_told_how_to_install_it(data, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(lambda: [*shapes3d_file.read_shapes3d(data / "3dshapes.h5")], r'pip install "\.\[data\]"')
