"""Random numbers of images: uniform, independent, and a matter of arithmetic alone."""

import numpy as np
import pytest
import torch

from benchmark.datasets.drawn import DRAWS, DrawnDataset, keys_of, random_below, random_bytes

IMAGES = 737_280
FAR = 5.0  # standard deviations that no sound draw is off


def _mix(value):
    """As the module mixes, in Python's unbounded integers."""
    value = (value ^ value >> 16) * 0x7FEB352D % 2**32
    value = (value ^ value >> 15) * 0x846CA68B % 2**32
    return value ^ value >> 16


def _bytes_of(key, count, purpose):
    words = [_mix(_mix(counter + (purpose << 24)) ^ key) for counter in range(-(-count // 4))]
    return np.array(words, np.uint32).view(np.uint8)[:count].tolist()


def test_bytes_are_those_of_plain_arithmetic():
    places = torch.tensor([0, 1, IMAGES - 1, IMAGES * DRAWS + 7, 2**40 + 3])
    keys = keys_of(places)
    assert keys.tolist() == [_mix(_mix(place % 2**32) ^ place >> 32) for place in places.tolist()]
    for count, purpose in ((1, 0), (10, 3), (4096, 127)):
        drawn = random_bytes(keys, count, purpose)
        assert drawn.dtype == torch.uint8
        assert drawn.tolist() == [_bytes_of(key, count, purpose) for key in keys.tolist()]
    assert random_below(keys, 10, 1).tolist() == [
        int.from_bytes(bytes(_bytes_of(key, 4, 1)), "little") * 10 >> 32 for key in keys.tolist()
    ]


def test_shapes_need_no_values():
    keys = keys_of(torch.zeros(5, dtype=torch.long, device="meta"))
    assert random_bytes(keys, 7).shape == (5, 7)
    assert random_below(keys, 7, 1).shape == (5,)


def _keys(kind, count=20_000):
    """Of images beside one another, of draws of one image, and of draws of a training."""
    if kind == "neighbours":
        return keys_of(torch.arange(count))
    if kind == "draws of one":
        return keys_of(17 + IMAGES * torch.arange(1, count + 1))
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(IMAGES, (count,), generator=generator)
    return keys_of(indices + IMAGES * torch.randint(1, DRAWS + 1, (count,), generator=generator))


KINDS = ("neighbours", "draws of one", "of a training")


def _off(counts):
    """How far counts are from equal, in standard deviations of chi-square."""
    expected, free = counts.sum() / len(counts), len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - free) / (2 * free) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_uniform(kind):
    keys = _keys(kind)
    drawn = random_bytes(keys, 64).numpy()
    off = [_off(np.bincount(drawn[:, at], minlength=256)) for at in range(64)]
    off += [_off(np.bincount(drawn.ravel(), minlength=256))]
    off += [_off(np.bincount(random_below(keys, n, 2), minlength=n)) for n in (2, 3, 10, 151, 210)]
    off += [_off(np.bincount(keys >> 24, minlength=256)), _off(np.bincount(keys & 255, minlength=256))]
    assert np.abs(off).max() < FAR


def _correlated(one, other):
    """The greatest correlation of two tables' columns, in standard deviations."""
    one, other = ((table - table.mean(0)) / table.std(0) for table in (one, other))
    return np.abs(one.T @ other / len(one) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_are_independent(kind):
    keys = _keys(kind)
    drawn, another = (np.unpackbits(random_bytes(keys, 32, purpose).numpy(), axis=1) * 1.0 for purpose in (0, 1))
    own = _correlated(drawn, drawn)
    np.fill_diagonal(own, 0)
    assert own.max() < FAR + 1  # of 32,640 pairs, the greatest is about 4.2
    assert _correlated(drawn, another).max() < FAR + 1
    assert _correlated(drawn[1:], drawn[:-1]).max() < FAR + 1  # images beside one another
    bits = (keys[:, None] >> torch.arange(32) & 1).numpy() * 1.0
    assert _correlated(bits[1:], bits[:-1]).max() < FAR
    assert _correlated(bits, drawn).max() < FAR + 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_repeats_over_pixels(kind):
    drawn = random_bytes(_keys(kind, 256), 3 * 64 * 64)
    words = drawn.view(torch.int32).flatten()
    repeated = len(words) - len(words.unique())
    expected = len(words) ** 2 / 2**33
    assert abs(repeated - expected) < FAR * expected**0.5
    # A pattern of any period would be a line in the spectrum, whose parts are exponential with the mean 1.
    spectrum = np.abs(np.fft.rfft(drawn.numpy() - 127.5, axis=1)) ** 2 / drawn.shape[1] / (256**2 / 12)
    assert np.abs(spectrum.mean(0)[1:-1] - 1).max() < (FAR + 1) / 256**0.5


def test_keys_hardly_ever_meet():
    places = torch.arange(IMAGES)
    for draw in (0, 1, DRAWS):
        keys = keys_of(places + IMAGES * draw)
        assert keys.min() >= 0
        assert keys.max() < 2**32
        assert len(keys) - len(keys.unique()) < 2 * IMAGES**2 / 2**33


class Dots(DrawnDataset):
    """Two factors, and noise in 4 x 4 pixels."""

    def __init__(self):
        super().__init__("dots", "rendered", {"x": 5, "y": 4}, (1, 4, 4))

    def compose(self, indices, keys):
        return (random_bytes(keys, 16).float() / 255).view(-1, 1, 4, 4)


def test_a_draw_depends_on_no_other():
    dots = Dots()
    indices = torch.arange(20).repeat(3)
    places = dots.draw(indices, torch.Generator().manual_seed(3))
    images = dots.at(places)
    assert torch.equal(places % 20, indices)
    assert torch.equal(dots.images(indices, torch.Generator().manual_seed(3)), images)
    assert torch.equal(torch.cat([dots.at(place) for place in places.split(1)]), images)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dots.at(places[order]), images[order])
    assert len(images.flatten(1).unique(dim=0)) == 60
    # Without a generator it follows from the index, and is none of those.
    plain = dots.images(indices)
    assert torch.equal(plain[:20], plain[20:40])
    assert len(torch.cat([images, plain]).flatten(1).unique(dim=0)) == 80
