"""The XY sets against their geometry, drawn pixel by pixel, and disent's statistics of the whole sets."""

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.datasets.contract import check_dataset
from tests.tracing import META, Trace


@pytest.fixture(scope="module")
def squares():
    return datasets.load("xy_squares")


@pytest.fixture(scope="module")
def objects():
    return datasets.load("xy_object")


def test_they_keep_to_what_is_asked(squares, objects):
    for data in (squares, objects):
        check_dataset(data)
        assert data.memory == 0
    assert len(squares) == 262_144
    assert squares.factor_names == ("x_R", "y_R", "x_G", "y_G", "x_B", "y_B")
    assert len(objects) == 75_000
    assert dict(zip(objects.factor_names, objects.factor_sizes, strict=True)) == {
        "x": 25,
        "y": 25,
        "scale": 5,
        "colour": 24,
    }


def _some(data, count=200):
    indices = torch.from_numpy(np.random.default_rng(0).integers(len(data), size=count))
    return data.factors(indices).tolist(), data.images(indices).numpy()


def test_squares_are_where_their_factors_say(squares):
    for factors, image in zip(*_some(squares), strict=True):
        expected = np.zeros((3, 64, 64))
        for channel in range(3):
            x, y = (8 * value for value in factors[2 * channel : 2 * channel + 2])
            expected[channel, y : y + 8, x : x + 8] = 1
        assert np.array_equal(image, expected)


RAINBOW = [[255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255], [255, 0, 255]]


def test_objects_are_where_their_factors_say(objects):
    for (x, y, scale, colour), image in zip(*_some(objects), strict=True):
        size = 7 + 2 * scale
        left, top = (2 * value + (15 - size) // 2 for value in (x, y))
        expected = np.zeros((3, 64, 64), np.uint8)
        shade = [level * (colour // 6 + 1) // 4 for level in RAINBOW[colour % 6]]
        expected[:, top : top + size, left : left + size] = np.array(shade)[:, None, None]
        assert np.array_equal((255 * image).round().astype(np.uint8), expected)
        assert np.abs(255 * image - expected).max() < 1e-4


def _statistics(images):
    """Channels' mean, and the mean over images of each image's own standard deviation, as disent counts them."""
    return images.double().mean((0, 2, 3)), images.double().flatten(2).std(2).mean(0)


def test_statistics_of_the_whole_sets(squares, objects):
    mean, std = _statistics(squares.images(np.arange(0, len(squares), 997)))  # all have the same
    assert mean.tolist() == [1 / 64] * 3
    assert std.tolist() == pytest.approx([0.12403] * 3, abs=5e-6)
    # Where an object is changes neither: all sizes and colours at one place stand for the whole set.
    anywhere = [[x, y, scale, colour] for x, y in ((0, 24), (7, 3)) for scale in range(5) for colour in range(24)]
    mean, std = _statistics(objects.images(objects.indices(anywhere)))
    assert mean.tolist() == pytest.approx([0.0098188] * 3, abs=5e-8)
    assert std.tolist() == pytest.approx([0.0526324] * 3, abs=5e-8)


def test_every_place_lies_inside(objects):
    ends = [[x, y, scale, 23] for x in (0, 24) for y in (0, 24) for scale in range(5)]
    areas = objects.images(objects.indices(ends))[:, 0].sum((1, 2))
    assert areas.tolist() == [size**2 for _ in range(4) for size in (7, 9, 11, 13, 15)]


@pytest.mark.parametrize("name", ["xy_squares", "xy_object"])
def test_a_recorded_step_can_gather_them(name):
    data = datasets.load(name, "meta")
    with Trace() as trace:
        images = data.at(torch.empty(6, dtype=torch.long, device=META))
    assert images.shape == (6, 3, 64, 64)
    assert trace.objections == []
