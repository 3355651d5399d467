"""What is odd about codes: found where it is, and of honest codes nothing."""

import numpy as np
import pytest

from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.scoring.encoding import as_table
from benchmark.scoring.fixed_rows import fixed_images, fixed_rows
from benchmark.scoring.scrutiny import LIMITS, scrutinise
from metrics.base import WIDE

LABELS, TWINS, ORDER, PARTS = "labels", "equal images", "order of rows", "training and test rows"


@pytest.fixture(scope="module")
def seen(dsprites):
    """The rows of dSprites, their images' random projections and their factors."""
    rows = fixed_rows(dsprites)
    images = np.concatenate([*fixed_images(dsprites, rows.all)]).reshape(15_000, -1).astype(np.float32)
    projected = np.tanh(images @ np.random.default_rng(0).normal(size=(4096, 6)).astype(np.float32) / 5_000)
    return rows, projected.astype(np.float64), dsprites.factors(rows.all).numpy()


@pytest.fixture(scope="module")
def find(dsprites, seen):
    """The remarks on codes by the check that makes them."""

    def look(codes, data=dsprites):
        table = as_table(codes, data, seen[0])
        findings = scrutinise(codes, data, seen[0], table)
        assert [finding.check for finding in findings] == [*LIMITS]
        return {finding.check: finding.remark for finding in findings if finding.remark}

    return look


def test_of_codes_of_images_nothing_is_odd(seen, find):
    assert find(seen[1]) == {}


@pytest.mark.parametrize("kind", ["plain", "scaled", "renamed", "mixed", "half precision", "one among others"])
def test_labels_are_found_in_whatever_form(seen, find, kind):
    _, honest, factors = seen
    rng = np.random.default_rng(1)
    labels = factors.astype(np.float64)
    codes = {
        "plain": labels,
        "scaled": labels * [3, -1, 0.1, 100, 1e-6] - 7,
        "renamed": np.stack([rng.normal(size=column.max() + 1)[column] for column in factors.T], 1),
        "mixed": labels @ rng.normal(size=(5, 5)),
        "half precision": (labels / 7).astype(np.float16).astype(np.float64),
        "one among others": np.column_stack([honest[:, :3], labels[:, 2]]),
    }[kind]
    assert "follows from the factors all but exactly" in find(codes)[LABELS]


def test_labels_with_noise_tell_equal_images_apart(seen, find):
    labels = seen[2] + 0.5 * np.random.default_rng(0).normal(size=seen[2].shape)
    found = find(labels)
    assert {*found} == {TWINS}
    assert "8 of 8 pairs of equal images" in found[TWINS]


def test_codes_in_another_order_are_asked_about(seen, find):
    shuffled = seen[1][np.random.default_rng(0).permutation(15_000)]
    assert {*find(shuffled)} == {ORDER, TWINS}
    assert "in the order of `rows`" in find(shuffled)[ORDER]


def test_codes_that_fit_the_training_rows_alone(seen, find):
    """As of a network that learned the factors of the training rows by heart, and guesses others."""
    codes = seen[2] + np.random.default_rng(0).normal(size=seen[2].shape) * 0.05
    codes[10_000:] += np.random.default_rng(1).normal(size=(5_000, 5)) * codes.std(0)
    assert "told better than the test rows'" in find(codes)[PARTS]


def test_constant_copied_and_repeated_codes(seen, find):
    honest = seen[1]
    odd = np.column_stack([honest, np.ones(15_000), -3 * honest[:, 1] + 5])
    assert find(odd) == {
        "constant codes": "code 6 never varies",
        "copied codes": "codes 1 and 7 are the same but for their units",
    }
    repeated = honest.copy()
    repeated[10_000:] = honest[:5_000]
    assert "10,006 of 15,000 rows have the codes of another row" in find(repeated)["equal rows"]
    collapsed = find(np.zeros((15_000, 8)))
    assert collapsed["constant codes"] == "each of codes 0, 1, 2, 3, 4, 5, ... never varies"
    assert {"equal rows", ORDER} <= {*collapsed}


def test_what_cannot_be_looked_at_is_said(dsprites, seen, monkeypatch):
    def refuse(*_):
        raise UsageError("not there")

    labels = seen[2].astype(float)
    elsewhere = scrutinise(labels, dsprites, seen[0], as_table(labels, dsprites, seen[0]), here=False)
    assert [each.found for each in elsewhere if each.check == TWINS] == ["not looked at: the images here are rendered"]
    monkeypatch.setattr(dsprites, "prepare", refuse)
    wide = np.random.default_rng(0).normal(size=(15_000, WIDE + 1))
    found = {
        finding.check: finding.found
        for finding in scrutinise(wide, dsprites, seen[0], as_table(wide, dsprites, seen[0]))
    }
    assert found[TWINS] == "not looked at: the images are not here"
    assert found[ORDER] == found[PARTS] == found["copied codes"] == "not looked at: more than 100 codes"


def test_data_that_break_are_not_said_to_be_elsewhere(dsprites, seen, monkeypatch):
    def images(*_):
        raise OSError("a bad sector")

    monkeypatch.setattr(dsprites, "images", images)
    labels = seen[2].astype(float)
    with pytest.raises(UsageError, match=r"data set 'dsprites' cannot be read .*a bad sector"):
        scrutinise(labels, dsprites, seen[0], as_table(labels, dsprites, seen[0]))


def test_data_without_factors(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "plain.npz", images=rng.integers(256, size=(60, 8, 8), dtype=np.uint8))
    data = datasets.load("plain", "cpu", tmp_path)
    rows, codes = fixed_rows(data), rng.normal(size=(60, 3))
    findings = scrutinise(codes, data, rows, as_table(codes, data, rows))
    assert not any(finding.remark for finding in findings)
    assert sum("no factors" in finding.found for finding in findings) == 3


def test_codes_of_few_values_are_no_labels(seen, find):
    """A quantised code may well be a function of the factors."""
    binary = (seen[2][:, [1, 3, 4]] > seen[2][:, [1, 3, 4]].mean(0)).astype(float)
    assert LABELS not in find(np.column_stack([seen[1], binary]))
