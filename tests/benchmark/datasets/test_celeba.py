"""CelebA and 3D Chairs as they are published, with few pictures."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmark import datasets
from benchmark.datasets import celeba, chairs, pictures
from benchmark.datasets.contract import check_dataset

COUNT = 15
NAMES = ("5_o_Clock_Shadow", "Bald", "Young")
VALUES = np.random.default_rng(0).choice([-1, 1], (COUNT, 3))
VALUES[:2] = [[-1, -1, -1], [1, 1, 1]]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(celeba, "IMAGES", COUNT)
    monkeypatch.setattr(celeba, "ATTRIBUTES", 3)
    monkeypatch.setattr(chairs, "IMAGES", COUNT)


def _face(number):
    """A picture of 178 x 218 whose face differs from what surrounds it."""
    picture = np.full((218, 178, 3), 12 * number, np.uint8)
    picture[57:185, 25:153] = [255 - 12 * number, 20, 30]
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=95)
    return content.getvalue()


FACES = {f"{number:06d}.jpg": _face(number) for number in range(1, COUNT + 1)}


def _folder(data, faces=FACES, within=""):
    folder = data / "img_align_celeba" / within
    folder.mkdir(parents=True)
    for name, content in faces.items():
        (folder / name).write_bytes(content)


def _archive(data, faces=FACES):
    with zipfile.ZipFile(data / "img_align_celeba.zip", "w") as archive:
        archive.mkdir("img_align_celeba")
        for name, content in reversed(faces.items()):
            archive.writestr(f"img_align_celeba/{name}", content)


def _attributes(data, count=COUNT, names=NAMES, values=VALUES, first="000001.jpg"):
    rows = [
        f"{number:06d}.jpg {' '.join(f'{value:2d}' for value in row)}" for number, row in enumerate(values, start=1)
    ]
    text = "\n".join([str(count), " ".join(names), *rows]) + "\n"
    (data / "list_attr_celeba.txt").write_text(text.replace("000001.jpg", first))


def _load(data, name="celeba"):
    dataset = datasets.load(name, data_dir=data)
    dataset.prepare()
    return dataset


def _shrunk(content, box=None):
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture = picture.crop(box) if box else picture
    return np.asarray(picture.resize((64, 64), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("write", [_folder, _archive, lambda data: _folder(data, within="img_align_celeba")])
@pytest.mark.parametrize(("name", "box"), [("celeba", None), ("celeba_crop", (25, 57, 153, 185))])
def test_faces_are_in_the_order_of_their_numbers(name, box, write, data):
    write(data)
    dataset = _load(data, name)
    check_dataset(dataset)
    assert (dataset.factor_names, len(dataset), dataset.image_shape) == ((), COUNT, (3, 64, 64))
    images = (dataset.images(range(COUNT)).permute(0, 2, 3, 1) * 255).round().numpy()
    assert np.array_equal(images, [_shrunk(content, box) for content in FACES.values()])


def test_attributes_are_the_factors(data):
    _folder(data)
    _attributes(data)
    dataset = _load(data)
    check_dataset(dataset)
    assert (dataset.factor_names, dataset.factor_sizes) == (NAMES, (2, 2, 2))
    assert np.array_equal(dataset.factors(range(COUNT)).numpy(), VALUES > 0)
    assert dataset.source == "published"
    (data / "list_attr_celeba.txt").unlink()
    assert _load(data).source == "published-unlabelled"


def test_another_archive_is_told_and_read(data, capsys):
    _archive(data)
    _load(data)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and celeba.ARCHIVE_SHA256 in line


ATTRIBUTES = {
    "fewer rows": ({"values": VALUES[:-1]}, "not the pictures' numbers"),
    "another count": ({"count": 4}, "tells of 4 pictures"),
    "more names": ({"names": (*NAMES, "Hat")}, "4 attributes"),
    "one name twice": ({"names": ("Bald", "Bald", "Young")}, "2 attributes"),
    "another order": ({"first": "000099.jpg"}, "not the pictures' numbers"),
    "zeros": ({"values": VALUES * 0}, "other than -1 and 1"),
    "numbers": ({"values": VALUES * 900}, ""),
    "no count": ({"count": "many"}, "many"),
    "more columns": ({"values": VALUES[:, [0, 1, 2, 2]]}, ""),
    "fewer columns": ({"values": VALUES[:, :2]}, ""),
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_wrong_attributes_are_refused(kind, data, refused):
    _folder(data)
    changes, told = ATTRIBUTES[kind]
    _attributes(data, **changes)
    refused(lambda: _load(data), f"list_attr_celeba.txt is damaged or not the published attributes.*{told}")


def test_attributes_that_are_no_text_are_refused(data, refused):
    for content in (b"", b"\xff\x00" * 9):
        (data / "list_attr_celeba.txt").write_bytes(content)
        refused(lambda: _load(data), "list_attr_celeba.txt is damaged")


@pytest.mark.parametrize("write", [_folder, _archive])
def test_wrong_pictures_are_refused(write, data, refused, monkeypatch):
    fewer = {name: content for name, content in FACES.items() if name not in ("000003.jpg", "000009.jpg")}
    write(data / "fewer", fewer) if (data / "fewer").mkdir() is None else None
    refused(lambda: _load(data / "fewer"), "lacks 2 of 15 pictures, the first 000003.jpg")
    for number, content in enumerate((b"text", b"", FACES["000001.jpg"][:400])):
        (data / str(number)).mkdir()
        write(data / str(number), FACES | {"000003.jpg": content})
        refused(lambda number=number: _load(data / str(number)), "picture 000003.jpg is damaged")
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    refused(lambda: _load(data / "0"), "bytes")


def test_damaged_archives_are_refused(data, refused):
    _archive(data)
    path = data / "img_align_celeba.zip"
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 255
    for content in (whole[: len(whole) // 2], spoilt, b"text", b""):
        path.write_bytes(content)
        refused(lambda: _load(data), "is damaged or not")


# --- 3D Chairs ---------------------------------------------------------------------------------------


def _chairs(data, count=COUNT, colours=True):
    """Pictures in folders, the last ones written first; what they show is a level of their number's."""
    for number in reversed(range(count)):
        folder = data / "rendered_chairs" / f"{number // 4:03d}chair" / "renders"
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.full((100, 100, 3) if colours else (100, 100), 10 * number, np.uint8)
        Image.fromarray(picture).save(folder / f"image_{number % 4:03d}_p020_t011_r096.png")
    (data / "rendered_chairs" / "all_chair_names.mat").write_bytes(b"no picture")


@pytest.mark.parametrize("colours", [True, False])
def test_chairs_are_grey_and_in_the_order_of_their_names(colours, data, capsys):
    _chairs(data, colours=colours)
    dataset = _load(data, "chairs3d")
    check_dataset(dataset)
    assert (dataset.factor_names, dataset.image_shape, dataset.source) == ((), (1, 64, 64), "published")
    assert ((dataset.images(range(COUNT)) * 255).round().flatten(1) == 10 * np.arange(COUNT)[:, None]).all()
    assert capsys.readouterr().err == ""


def test_another_number_of_chairs_is_told_and_read(data, capsys):
    _chairs(data, 13)
    assert len(_load(data, "chairs3d")) == 13
    assert "holds 13 pictures, where 15 are published" in capsys.readouterr().err


def test_what_holds_no_chairs_is_refused(data, refused):
    (data / "rendered_chairs").mkdir()
    refused(lambda: _load(data, "chairs3d"), "rendered_chairs holds no pictures")
    (data / "rendered_chairs").rmdir()
    (data / "rendered_chairs").write_bytes(b"a file")
    refused(lambda: _load(data, "chairs3d"), "rendered_chairs holds no pictures")


def test_wrong_chairs_are_refused(data, refused):
    _chairs(data)
    broken = data / "rendered_chairs/001chair/renders/image_002_p020_t011_r096.png"
    broken.write_bytes(broken.read_bytes()[:100])
    told = refused(lambda: _load(data, "chairs3d"), "picture 001chair/renders/image_002_p020_t011_r096.png is damaged")
    assert "\n" not in told
