"""The rows that outsiders encode: the same for everyone."""

import numpy as np
import pytest

from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.scoring.encoding import draw_rows
from benchmark.scoring.fixed_rows import fixed_images, fixed_rows, rows_digest, write_rows


@pytest.mark.parametrize(
    ("name", "counts", "digest"),
    [
        ("dsprites_mini", (256, 128), "r31654c697a"),
        ("dsprites", (10_000, 5_000), "re86fe7f2d8"),
        ("shapes3d", (10_000, 5_000), "rafc431db41"),
        ("cars3d", (10_000, 5_000), "rcc866fcc25"),
    ],
)
def test_rows_are_those_that_were_published(name, counts, digest):
    """A change of one of these digests makes every submission's codes codes of other rows."""
    data = datasets.load(name)
    rows = fixed_rows(data)
    assert (len(rows.train), len(rows.test)) == counts
    assert len(np.unique(rows.all)) == sum(counts)
    assert 0 <= rows.all.min() <= rows.all.max() < len(data)
    assert rows_digest(data, rows) == digest


def test_rows_are_a_fair_sample(dsprites):
    factors = dsprites.factors(fixed_rows(dsprites).test).numpy()
    for column, size in zip(factors.T, dsprites.factor_sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        spread = ((counts - 5_000 / size) ** 2 / (5_000 / size)).sum() / (size - 1)
        assert spread < 2
    shared = np.intersect1d(fixed_rows(dsprites).all, draw_rows(dsprites, 10_000, 5_000, 0).all)
    assert len(shared) < 500  # of 305 by chance: no run's own


def test_the_digest_tells_version_and_order(mini, monkeypatch):
    rows = fixed_rows(mini)
    before = rows_digest(mini, rows)
    assert before != rows_digest(mini, type(rows)(rows.train[::-1], rows.test))
    monkeypatch.setitem(datasets.VERSIONS, "dsprites_mini", 2)
    assert before != rows_digest(mini, rows)


def test_what_breaks_over_an_image_is_told_of_the_data_set(mini, monkeypatch):
    def images(indices):
        raise ValueError("a picture is missing")

    monkeypatch.setattr(mini, "images", images)
    with pytest.raises(UsageError, match=r"data set 'dsprites_mini' cannot be read \(.*a picture is missing"):
        next(fixed_images(mini, fixed_rows(mini).test))


def test_a_file_of_rows(mini, tmp_path):
    rows = fixed_rows(mini)
    assert write_rows(mini, tmp_path / "rows.npz") == rows_digest(mini, rows)
    plain = dict(np.load(tmp_path / "rows.npz"))
    assert {"rows_train", "rows_test", "dataset", "dataset_version", "source", "rows", "factor_names"} == {*plain}
    assert np.array_equal(plain["rows_train"], rows.train)
    assert np.array_equal(plain["rows_test"], rows.test)
    write_rows(mini, tmp_path / "whole.npz", factors=True, images=True)
    whole = dict(np.load(tmp_path / "whole.npz"))
    assert np.array_equal(whole["factors_test"], mini.factors(rows.test).numpy())
    assert whole["images_train"].shape == (256, 1, 64, 64)
    assert np.array_equal(whole["images_train"][:9] / 255, mini.images(rows.train[:9]).numpy())
    content = (tmp_path / "whole.npz").read_bytes()
    write_rows(mini, tmp_path / "whole.npz", factors=True, images=True)
    assert (tmp_path / "whole.npz").read_bytes() == content
    assert len([*tmp_path.iterdir()]) == 2


def test_what_is_drawn_follows_from_the_index():
    data = datasets.load("dsprites_colour")
    first, second = (np.concatenate([*fixed_images(data, np.arange(300))]) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.dtype == np.uint8
