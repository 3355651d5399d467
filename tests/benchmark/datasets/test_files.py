"""What all published files share: finding them, digests, arrays in archives, pictures that are brought to a size."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmark import datasets
from benchmark.datasets import files, pictures
from benchmark.errors import UsageError

MODULES = {f"benchmark.datasets.{name}" for name in ("cars3d", "smallnorb", "mpi3d", "isaac3d", "celeba", "chairs")}


def _published():
    ours = datasets.REGISTRY  # looked at first, so that all are registered
    return [n for n, about in datasets.ABOUT.items() if about.file and ours[n].__module__ in MODULES]


@pytest.mark.parametrize("name", _published())
def test_without_a_file_a_set_can_be_looked_at_and_its_images_are_asked_for(name, data, refused):
    about = datasets.ABOUT[name]
    for folder, where in ((None, "--data-dir or"), (data, str(data)), (data / "none", "none holds no")):
        dataset = datasets.load(name, data_dir=folder)
        assert len(dataset) > 4_000
        assert dataset.image_shape[1:] == (64, 64)
        assert dataset.source.startswith("published")
        for call in (dataset.prepare, lambda dataset=dataset: dataset.images([0])):
            told = refused(call, where)
            assert all(text in told for text in (name, about.file, about.publisher, about.licence))


def test_each_tells_of_its_purpose_licence_file_and_publisher():
    for name in _published():
        about = datasets.ABOUT[name]
        assert about.purpose and about.licence and about.file and about.publisher


def test_sizes_are_those_that_are_published():
    sizes = {name: len(datasets.load(name)) for name in _published()}
    assert sizes == {
        "cars3d": 17_568,
        "smallnorb": 48_600,
        "smallnorb_study": 4_860,
        "mpi3d_toy": 1_036_800,
        "mpi3d_realistic": 1_036_800,
        "mpi3d_real": 1_036_800,
        "mpi3d_complex": 460_800,
        "isaac3d": 737_280,
        "falcor3d": 233_280,
        "celeba": 202_599,
        "celeba_crop": 202_599,
        "chairs3d": 86_366,
    }


def test_a_digest_is_remembered_until_the_file_changes(data, cache, monkeypatch):
    path = data / "file"
    path.write_bytes(b"one")
    assert files.digest_of(path) == hashlib.sha256(b"one").hexdigest()
    assert files.digest_of(path, "md5") == hashlib.md5(b"one").hexdigest()
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert files.digest_of(path) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.undo()
    path.write_bytes(b"other")
    assert files.digest_of(path) == hashlib.sha256(b"other").hexdigest()


def test_a_digest_of_what_cannot_be_read_is_refused(data, refused):
    refused(lambda: files.digest_of(data / "none"), "none is damaged or not a file that can be read")
    refused(lambda: files.digest_of(data), "is damaged or not")


def test_a_cache_that_cannot_be_written_only_forgets(data, monkeypatch):
    path = data / "file"
    path.write_bytes(b"one")
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(path))
    assert files.digest_of(path) == hashlib.sha256(b"one").hexdigest()


def test_other_content_is_one_line_of_warning(data, capsys):
    path = data / "file"
    path.write_bytes(b"one")
    files.warn_of_other_content(path, hashlib.sha256(b"one").hexdigest())
    assert capsys.readouterr().err == ""
    files.warn_of_other_content(path, "abc")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert hashlib.sha256(b"one").hexdigest() in line and "abc" in line


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_in_an_archive_is_found_and_streamed(save, data, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 100)
    images = np.arange(7 * 5 * 6, dtype=np.uint8).reshape(7, 5, 6)
    save(data / "a.npz", other=np.arange(3), images=images)
    member = files.find_member(data / "a.npz", "images")
    assert (member.shape, member.dtype, member.size) == (images.shape, np.uint8, images.nbytes)
    assert np.array_equal(np.concatenate([*files.stream_rows(data / "a.npz", "images")]), images)
    if save is np.savez:
        at = np.memmap(data / "a.npz", np.uint8, "r", member.start, images.shape)
        assert np.array_equal(at, images)
    else:
        assert member.start is None


def _npy(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


ARRAYS = {
    "objects": (_npy(np.array([{}], object)), "holds objects"),
    "by columns": (_npy(np.asfortranarray(np.ones((3, 4)))), "column after column"),
    "longer": (_npy(np.ones(3)) + b"x", "takes 25 bytes"),
    "shorter": (_npy(np.ones(3))[:-1], "takes 23 bytes"),
    "text": (b"text", "magic"),
    "huge": (_npy(np.ones(3)).replace(b"(3,)", b"(9999999999999,)"), ""),
    "empty": (b"", ""),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_none_are_refused(kind, data, refused):
    content, told = ARRAYS[kind]
    with zipfile.ZipFile(data / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)

    def read():
        with files.reading(data / "a.npz", "one"):
            files.find_member(data / "a.npz", "images")

    refused(read, f"a.npz is damaged or not one .*{told}")


def test_memory_that_ran_out_is_no_damage():
    with pytest.raises(MemoryError), files.reading("x", "y"):
        raise MemoryError
    with pytest.raises(UsageError, match=r"^mine$"), files.reading("x", "y"):
        raise UsageError("mine")


# --- pictures ----------------------------------------------------------------------------------------


def test_resizing_keeps_to_bytes_and_does_not_alias():
    edge = np.zeros((96, 96), np.uint8)
    edge[:, 48:] = 255
    small = pictures.resize(Image.fromarray(edge), "lanczos")
    assert small.shape == (64, 64, 1)
    assert (small.min(), small.max()) == (0, 255)  # what overshoots is clipped
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    for kind in ("lanczos", "bicubic"):
        assert np.abs(pictures.resize(Image.fromarray(board), kind)[4:-4, 4:-4].astype(int) - 127).max() <= 3


def test_images_of_that_size_are_left_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert np.array_equal(pictures.resize_all(images, "lanczos"), images)


def _png(array, **options):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG", **options)
    return content.getvalue()


def test_what_is_transparent_lies_on_black():
    picture = np.full((64, 64, 4), 200, np.uint8)
    picture[:32, :, 3], picture[32:, :, 3] = 0, 255
    image = pictures.decode(_png(picture), pictures.Manner("RGB", "lanczos"))
    assert (image[:32] == 0).all() and (image[32:] == 200).all()


def test_pictures_that_are_refused(monkeypatch):
    manner = pictures.Manner("RGB", "lanczos", (0, 0, 70, 70))
    with pytest.raises(ValueError, match="too few to cut"):
        pictures.decode(_png(np.zeros((65, 65), np.uint8)), manner)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="11 x 11 pixels, 100 at most"):
        pictures.decode(_png(np.zeros((11, 11), np.uint8)), manner)
