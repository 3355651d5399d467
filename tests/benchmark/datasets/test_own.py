"""Data of one's own: an archive of arrays, or a folder of pictures."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import datasets
from benchmark.cli import main
from benchmark.datasets import own, pictures
from benchmark.datasets.contract import check_dataset
from benchmark.errors import UsageError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (14, 20, 24, 3), np.uint8)
STRETCHED = np.stack(
    [np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.LANCZOS)) for image in IMAGES]
)
FACTORS = np.stack([np.arange(14) % 3 * 10 - 5, np.arange(14) // 7], 1)


def _load(data, name="mine"):
    dataset = datasets.load(name, data_dir=data)
    dataset.prepare()
    return dataset


def _pixels(dataset):
    """All images, uint8 (N, H, W, C)."""
    return (dataset.images(range(len(dataset))) * 255).round().byte().permute(0, 2, 3, 1).numpy()


# --- an archive --------------------------------------------------------------------------------------

LAYOUTS = {
    "grey": IMAGES[..., 0],
    "grey, channels last": IMAGES[..., :1],
    "grey, channels first": IMAGES[..., :1].transpose(0, 3, 1, 2),
    "colours last": IMAGES,
    "colours first": IMAGES.transpose(0, 3, 1, 2),
}


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_in_any_layout_are_read(layout, kind, data):
    images = LAYOUTS[layout]
    given = images if kind is np.uint8 else (images / 255).astype(kind)
    np.savez(data / "mine.npz", images=np.ascontiguousarray(given))
    dataset = _load(data)
    check_dataset(dataset)
    assert np.array_equal(_pixels(dataset), STRETCHED if "colours" in layout else STRETCHED[..., :1])
    assert own.STRETCHED in dataset.remarks
    assert (dataset.factor_names, len(dataset)) == ((), 14)
    assert (own.ROUNDED in dataset.remarks) == (kind is not np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_factors_are_ranked(save, data):
    save(data / "mine.npz", images=IMAGES, factors=FACTORS, factor_names=np.array(["left", "größe"]))
    dataset = _load(data)
    check_dataset(dataset)
    assert (dataset.factor_names, dataset.factor_sizes) == (("left", "größe"), (3, 2))
    assert np.array_equal(dataset.factors(range(14)).numpy(), np.stack([np.arange(14) % 3, np.arange(14) // 7], 1))


def test_images_of_the_right_size_stay_as_they_are(data):
    images = RANDOM.integers(0, 256, (12, 64, 64, 2), np.uint8)
    np.savez(data / "mine.npz", images=images)
    dataset = _load(data)
    assert np.array_equal(_pixels(dataset), images)
    assert own.STRETCHED not in dataset.remarks


def test_factors_without_names_are_numbered(data):
    for factors, sizes in ((FACTORS.astype(np.uint8), (3, 2)), (FACTORS[:, 0], (3,)), (FACTORS[:, :0], ())):
        np.savez(data / "mine.npz", images=IMAGES, factors=factors)
        dataset = _load(data)
        assert dataset.factor_sizes == sizes
        assert dataset.factor_names == ("factor_0", "factor_1")[: len(sizes)]


def test_the_source_is_the_content(data):
    np.savez(data / "mine.npz", images=IMAGES)
    source = _load(data).source
    assert source.startswith("own-") and len(source) == 14
    assert _load(data).source == source
    np.savez(data / "mine.npz", images=IMAGES[::-1])
    other = _load(data)
    assert other.source != source
    assert np.array_equal(_pixels(other), STRETCHED[::-1])


@pytest.mark.parametrize("bytes_a_block", [1, 2000])
def test_archives_are_read_piece_by_piece(bytes_a_block, data, monkeypatch):
    monkeypatch.setattr("benchmark.datasets.files.BLOCK_BYTES", bytes_a_block)
    np.savez_compressed(data / "mine.npz", images=IMAGES, factors=FACTORS)
    assert np.array_equal(_pixels(_load(data)), STRETCHED)


FLOATS = IMAGES / 255
WRONG = {
    "no images": ({"pictures": IMAGES, "labels": FACTORS}, "holds the arrays pictures, labels; an array `images`"),
    "nothing": ({}, "holds no arrays; an array `images`"),
    "whole numbers": ({"images": IMAGES.astype(int)}, "images are int64, where uint8"),
    "truth": ({"images": IMAGES > 99}, "images are bool, where uint8"),
    "texts": ({"images": IMAGES.astype(str)}, "images are <U3, where uint8"),
    "objects": ({"images": np.array([{}], object)}, "objects"),
    "flat": ({"images": IMAGES.reshape(14, -1)}, r"images are \(14, 1440\), where \(N, H, W\)"),
    "one number": ({"images": np.uint8(3)}, r"images are \(\), where"),
    "none": ({"images": IMAGES[:0]}, r"images are \(0, 20, 24, 3\)"),
    "many channels": ({"images": RANDOM.integers(0, 9, (14, 9, 9, 9), np.uint8)}, r"images are \(14, 9, 9, 9\)"),
    "by columns": ({"images": np.asfortranarray(IMAGES)}, "ascontiguousarray"),
    "binary bytes": ({"images": IMAGES // 128}, "bytes of 0 and 1 only"),
    "floats to 255": ({"images": FLOATS * 255}, r"images run from \S+ to 255, where floats in \[0, 1\]"),
    "centred": ({"images": FLOATS * 2 - 1}, "images run from -1"),
    "nan": ({"images": np.where(FLOATS > 0.5, np.nan, FLOATS)}, "nan or infinity"),
    "infinite": ({"images": np.where(FLOATS > 0.5, np.inf, FLOATS)}, "nan or infinity"),
    "fewer factors": ({"images": IMAGES, "factors": FACTORS[:-1]}, r"factors are \(13, 2\), where .* 14 images"),
    "floats as factors": ({"images": IMAGES, "factors": FACTORS / 2}, "factors are float64"),
    "nan as factors": ({"images": IMAGES, "factors": FACTORS * np.nan}, "factors are float64"),
    "cubic factors": ({"images": IMAGES, "factors": FACTORS[..., None]}, r"factors are int64 \(14, 2, 1\)"),
    "factors as objects": ({"images": IMAGES, "factors": FACTORS.astype(object)}, "objects"),
    "fewer names": ({"images": IMAGES, "factors": FACTORS, "factor_names": np.array(["a"])}, "2 texts"),
    "numbers as names": ({"images": IMAGES, "factors": FACTORS, "factor_names": np.arange(2)}, "2 texts"),
    "one name twice": ({"images": IMAGES, "factors": FACTORS, "factor_names": np.array(["a", "a"])}, "called 'a'"),
    "names on two lines": ({"images": IMAGES, "factors": FACTORS, "factor_names": np.array(["a\n", "a\n"])}, "a.n"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_archives_are_refused(kind, data, refused):
    arrays, told = WRONG[kind]
    np.savez(data / "mine.npz", **arrays)
    assert "mine.npz" in refused(lambda: _load(data), told)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_archives_are_refused(save, data, refused):
    path = data / "mine.npz"
    save(path, images=IMAGES)
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 255
    for content in (spoilt, whole[:-30], b"text", b""):
        path.write_bytes(content)
        refused(lambda: _load(data), "mine.npz is damaged or not an archive of images")


def test_an_archive_that_claims_more_than_it_holds_is_refused(data, refused):
    content = io.BytesIO()
    np.save(content, IMAGES)
    with zipfile.ZipFile(data / "mine.npz", "w") as archive:
        archive.writestr("images.npy", content.getvalue().replace(b"(14, 20", b"(9999999999, 20")[:-8])
    refused(lambda: _load(data), "mine.npz is damaged")


def test_what_is_no_data_set_in_the_end_is_told_by_the_contract(data):
    np.savez(data / "few.npz", images=IMAGES[:5])
    np.savez(data / "constant.npz", images=IMAGES, factors=FACTORS * [1, 0])
    for name, told in (("few", "it has 5 images, where 12"), ("constant", "'factor_1' has one value only")):
        with pytest.raises(UsageError, match=told):
            check_dataset(_load(data, name))


# --- a folder ----------------------------------------------------------------------------------------

NAMES = ["a/2.png", "a/10.png", "b.PNG", *(f"c/d/{number:02d}.png" for number in range(12))]


def _write(data, names=NAMES, **changes):
    """A folder of flat pictures, each of a level of its own: 16 times its place in the order of names."""
    folder = data / "mine"
    for place, name in enumerate(sorted(names)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(changes.get("mode", "L"), (30, 10), changes.get("level", lambda k: 16 * k)(place)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_pictures_are_in_the_order_of_their_names_and_grey_if_all_are(data):
    _write(data)
    dataset = _load(data)
    check_dataset(dataset)
    assert (dataset.factor_names, dataset.image_shape, len(dataset)) == ((), (1, 64, 64), 15)
    assert (_pixels(dataset) == 16 * np.arange(15)[:, None, None, None]).all()


def test_one_in_colours_makes_all_coloured(data):
    folder = _write(data)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "z.jpg", quality=100, subsampling=0)
    Image.new("CMYK", (64, 64)).save(folder / "z1.jpg")
    Image.new("P", (64, 64)).save(folder / "z2.gif")
    Image.new("1", (64, 64), 1).save(folder / "z3.bmp")
    Image.new("LA", (64, 64), (200, 0)).save(folder / "z4.png")
    dataset = _load(data)
    assert dataset.image_shape == (3, 64, 64)
    pixels = _pixels(dataset)
    assert (pixels[3] == 16 * 3).all()
    assert np.abs(pixels[15].astype(int) - [1, 2, 3]).max() <= 2
    assert pixels[16:, 0, 0, 0].tolist() == [255, 0, 255, 0]


def test_pictures_are_stretched_by_lanczos(data):
    folder = _write(data)
    picture = RANDOM.integers(0, 256, (90, 200), np.uint8)
    Image.fromarray(picture).save(folder / "z.png")
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.array_equal(_pixels(_load(data))[-1, :, :, 0], expected)


def _table(folder, names=NAMES, header="size,file,colour", row="{size},{name},{colour}", more=""):
    colours = ["red", "blue", "green"]
    rows = [row.format(size=k % 4 * 5, name=name, colour=colours[k % 3]) for k, name in enumerate(names)]
    (folder / "factors.csv").write_text("\n".join([header, *rows]) + more, encoding="utf-8-sig")


def test_factors_are_told_by_a_table(data):
    folder = _write(data)
    _table(folder)
    dataset = _load(data)
    check_dataset(dataset)
    assert (dataset.factor_names, dataset.factor_sizes) == (("size", "colour"), (4, 3))
    ranks = {name: [k % 4, [2, 0, 1][k % 3]] for k, name in enumerate(NAMES)}
    assert dataset.factors(range(15)).tolist() == [ranks[name] for name in sorted(NAMES)]
    assert torch.equal(dataset.indices(dataset.factors([4])), torch.tensor([4]))


def test_a_folder_is_another_one_when_its_names_sizes_or_factors_change(data):
    folder = _write(data)
    sources = [_load(data).source]
    for change in (
        lambda: _table(folder),
        lambda: _table(folder, row="{size}1,{name},{colour}"),
        lambda: (folder / "factors.csv").unlink(),
        lambda: (folder / "a/2.png").write_bytes((folder / "a/2.png").read_bytes() + b"more"),
        lambda: (folder / "notes.txt").write_text("other"),
    ):
        change()
        sources.append(_load(data).source)
    assert sources[3] == sources[0] and sources[4] == sources[5]
    assert len({*sources}) == 4


def test_what_is_not_read_of_labels_is_told(data, capsys):
    np.savez(data / "mine.npz", images=IMAGES, labels=FACTORS, factor_names=np.array(["a", "b"]))
    assert main(["check-data", "mine", "--data-dir", str(data)]) == 0
    assert (
        "It holds labels besides, which is not read: factors are told by an array `factors`" in capsys.readouterr().out
    )
    np.savez(data / "mine.npz", images=IMAGES, factors=FACTORS, times=FACTORS)
    assert not any("besides" in remark for remark in _load(data).remarks)
    (data / "mine.npz").unlink()
    _write(data)
    (data / "mine" / "labels.csv").write_text("file,a")
    (told,) = (remark for remark in _load(data).remarks if "besides" in remark)
    assert told.startswith("It holds labels.csv besides")
    assert "factors.csv with a column `file`" in told


TABLES = {
    "empty": ({"header": "", "row": ""}, "it is empty"),
    "no file": ({"header": "size,name,colour"}, "its columns are size, name, colour"),
    "no factor": ({"header": "file", "row": "{name}"}, "its columns are file"),
    "one twice": ({"header": "size,file,size"}, "two factors are called 'size'"),
    "a short row": ({"more": "\n3,x.png"}, "the row '3,x.png' has not one value for each of 3"),
    "a blank": ({"row": ",{name},{colour}"}, "has not one value"),
    "nan": ({"row": "nan,{name},{colour}"}, "nan or infinity"),
    "a missing row": ({"names": NAMES[1:]}, "a/2.png has no row"),
    "another picture": ({"more": "\n3,x.png,red"}, "x.png is no picture in the folder"),
    "a row twice": ({"more": "\n3,b.PNG,red"}, "1 rows are of a picture that has a row already"),
    "a huge value": ({"more": f"\n3,{'x' * 200_000},red"}, "field limit|field larger"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_wrong_tables_are_refused(kind, data, refused):
    changes, told = TABLES[kind]
    _table(_write(data), **changes)
    refused(lambda: _load(data), f"factors.csv.*({told})")


def test_a_mistyped_number_makes_no_texts_of_the_others(data, refused):
    folder = _write(data)
    _table(folder)
    told = (folder / "factors.csv").read_text(encoding="utf-8-sig")
    (folder / "factors.csv").write_text(told.replace("\n10,", "\n1o,", 1))
    refused(lambda: _load(data), "factors.csv.*size is '1o' in one row and a number in another; write numbers or names")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_tables_that_are_no_text_are_refused(content, data, refused):
    (_write(data) / "factors.csv").write_bytes(content)
    refused(lambda: _load(data), "factors.csv is damaged or not a table")


def test_broken_pictures_are_named(data, refused):
    folder = _write(data)
    Image.fromarray(IMAGES[0]).save(folder / "a/10.png")
    whole = (folder / "a/10.png").read_bytes()
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    for content in (whole[:30], whole[:500], b"text", b"", postscript):
        (folder / "a/10.png").write_bytes(content)
        refused(lambda: _load(data), "a/10.png is damaged or not")


def test_pictures_of_more_bits_are_refused(data, refused):
    folder = _write(data)
    Image.fromarray(np.full((9, 9), 300, np.uint16)).save(folder / "z.png")
    refused(lambda: _load(data), "z.png .*kind I;16, where 8 bits a channel are needed")


@pytest.mark.parametrize("most", [Image.MAX_IMAGE_PIXELS, 2_000, 100])
def test_decompression_bombs_are_refused(most, data, refused, monkeypatch):
    folder = _write(data)
    Image.new("1", (60, 60)).save(folder / "z.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    monkeypatch.setattr(own, "MOST_PIXELS", 3_000)
    refused(lambda: _load(data), "png is damaged or not a picture")
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    if most > 10_000:
        monkeypatch.setattr(own, "MOST_PIXELS", pictures.MOST_PIXELS)
        refused(lambda: _load(data), "bytes")


def test_folders_that_are_none_are_refused(data, refused):
    (data / "mine").mkdir()
    refused(lambda: _load(data), "mine holds no pictures")
    np.savez(data / "mine.npz", images=IMAGES)
    refused(lambda: _load(data), "holds both mine.npz and a folder mine")
    (data / "yours.d").mkdir()
    refused(lambda: _load(data, "yours"), "holds no data set 'yours'")
    refused(lambda: own.load_own("mine", "cpu", None), "no folder is named")


def test_a_picture_that_is_a_broken_link_is_refused(data, refused):
    (_write(data) / "z.png").symlink_to(data / "nowhere.png")
    refused(lambda: _load(data), "mine is damaged or not a folder of pictures")


def test_pictures_of_other_content_are_another_set(data):
    folder = data / "mine"
    folder.mkdir()
    for k in range(12):
        Image.fromarray(IMAGES[k]).save(folder / f"{k}.bmp")
    before = _load(data)
    first = (folder / "0.bmp").read_bytes()
    (folder / "0.bmp").write_bytes((folder / "1.bmp").read_bytes())  # of the same size
    after = _load(data)
    assert len(first) == (folder / "0.bmp").stat().st_size
    assert before.source != after.source
    assert torch.equal(after.images([0]), before.images([1]))


def test_many_fine_factors_are_no_matter(data):
    factors = np.stack([RANDOM.permutation(40) for _ in range(20)], 1)  # 40^20 combinations
    np.savez(data / "mine.npz", images=RANDOM.integers(0, 256, (40, 20, 24), np.uint8), factors=factors)
    dataset = _load(data)
    check_dataset(dataset)
    assert dataset.indices(dataset.factors([7, 3])).tolist() == [7, 3]


def test_a_name_that_is_registered_is_not_ones_own(data):
    np.savez(data / "dsprites_mini.npz", images=IMAGES)
    with pytest.raises(UsageError, match="dsprites_mini is the name of a registered data set; rename the file"):
        datasets.load("dsprites_mini", data_dir=data)
    np.savez(data / "mine.npz", images=IMAGES)
    with pytest.raises(UsageError, match="did you mean 'mine'"):
        datasets.load("mina", data_dir=data)
    np.savez(data / "My-Data.npz", images=IMAGES)
    with pytest.raises(UsageError, match=r"holds 'My-Data', and a data set's name is of small letters.*rename it"):
        datasets.load("My-Data", data_dir=data)
