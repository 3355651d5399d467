"""What is refused of a data set before anything is trained on it, in one sentence."""

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.checks import Squares
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import check_dataset
from benchmark.errors import UsageError


class Boxes(FactorDataset):
    """A box at each of five by five places in one of three colours, made into an image by `convert`."""

    def __init__(self, convert=lambda images: images, factors=None, shape=(3, 32, 32)):
        super().__init__("boxes", "drawn", factors or {"colour": 3, "x": 5, "y": 5}, shape)
        self.convert = convert

    def images(self, indices):
        colour, x, y = FactorDataset.factors(self, indices).T[:3, :, None, None]
        at = torch.arange(32)
        inside = (at // 6 == x) & (at[:, None] // 6 == y)
        return self.convert(torch.stack([inside & (colour == k) for k in range(3)], 1).float())


def test_what_is_sound_is_looked_at_without_a_word():
    check_dataset(Squares())
    check_dataset(Boxes())
    check_dataset(Boxes(lambda images: images * 1.0000005))  # as resizing leaves it
    check_dataset(Boxes(lambda images: images[:, :2], shape=(2, 32, 32)))
    check_dataset(Boxes(lambda images: torch.cat([images, images[:, :1]], 1), shape=(4, 32, 32)))
    state = torch.random.get_rng_state()
    check_dataset(Boxes())
    assert torch.equal(torch.random.get_rng_state(), state)


IMAGES = {
    "bytes": (lambda x: 255 * x, r"run from 0 to 255, where values in \[0, 1\] are needed; divide bytes by 255"),
    "centred": (lambda x: 2 * x - 1, r"run from -1 to 1, where"),
    "overshooting": (lambda x: 1.02 * x, r"run from 0 to 1\.02, where"),
    "uint8": (lambda x: (255 * x).to(torch.uint8), r"torch\.uint8, where torch\.float32 in \[0, 1\]"),
    "bool": (lambda x: x > 0, r"torch\.bool, where"),
    "double": (lambda x: x.double(), r"torch\.float64, where"),
    "half": (lambda x: x.half(), r"torch\.float16, where"),
    "nan": (lambda x: x / x, "nan or infinity"),
    "infinite": (lambda x: torch.where(x > 0, torch.inf, x), "nan or infinity"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), r"\(64, 32, 32, 3\), the channels last, for 64 indices"),
    "no channels": (lambda x: x.sum(1), r"have the shape \(64, 32, 32\), for 64 indices, where \(64, 3, 32, 32\)"),
    "another size": (lambda x: x[..., :16], r"have the shape \(64, 3, 32, 16\)"),
    "too few": (lambda x: x[:-1], r"have the shape \(63, 3, 32, 32\), for 64 indices"),
    "numpy": (lambda x: x.numpy(), "ndarray, where a tensor"),
    "a pair": (lambda x: (x, 0), "tuple, where a tensor"),
    "nothing": (lambda x: None, "NoneType, where a tensor"),
    "constant": (torch.zeros_like, "all the same"),
    "divided twice": (lambda x: x / 255, "all the same"),
    "noisy": (lambda x: x * torch.rand_like(x), "differs when it is asked for again"),
    "of its batch": (lambda x: x * len(x) / 64, "differs when it is asked for again"),
    "breaking": (lambda x: x @ x[0, 0, :3], "cannot be read .RuntimeError: "),
    "elsewhere": (lambda x: x.to("meta"), "are on meta, where cpu"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_that_are_refused(kind):
    convert, message = IMAGES[kind]
    _is_refused(Boxes(convert), message)


def _is_refused(dataset, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_dataset(dataset)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith("data set ")
    assert text.endswith(".")


def test_a_shape_with_the_channels_last_is_refused():
    _is_refused(Boxes(lambda x: x.permute(0, 2, 3, 1), shape=(32, 32, 3)), "has the channels last")
    _is_refused(Boxes(lambda x: x.sum(1), shape=(32, 32)), r"\(32, 32\), where \(channels, height, width\)")


FACTORS = {
    "none": ({}, "one factor or more"),
    "one value": ({"colour": 3, "x": 5, "y": 1}, "'y' has one value only"),
    "no value": ({"colour": 3, "x": 5, "y": 0}, "'y' has the size 0"),
    "fraction": ({"colour": 3, "x": 5, "y": 5.0}, "'y' has the size 5.0"),
    "truth": ({"colour": 3, "x": 5, "y": True}, "'y' has the size True"),
    "unnamed": ({"colour": 3, "x": 5, "": 5}, r"factor_names\[2\] is '', where a printable text"),
    "blank": ({"colour": 3, "x": 5, " ": 5}, r"factor_names\[2\] is ' '"),
    "two lines": ({"colour": 3, "x": 5, "y\nz": 5}, r"factor_names\[2\] is 'y\\nz'"),
    "number": ({"colour": 3, "x": 5, 7: 5}, r"factor_names\[2\] is 7"),
}


@pytest.mark.parametrize("kind", FACTORS)
def test_factors_that_are_refused(kind):
    factors, message = FACTORS[kind]
    dataset = Boxes()
    dataset.factor_names, dataset.factor_sizes = tuple(factors), tuple(factors.values())
    _is_refused(dataset, message)


def test_names_that_clash_are_refused():
    dataset = Boxes()
    dataset.factor_names = ("x", "y", "x")
    _is_refused(dataset, "two factors are called 'x'")
    dataset.factor_names = ("x", "y")
    _is_refused(dataset, "2 factor names and 3 sizes")


@pytest.mark.parametrize("name", ["a, b", 'the "x"', "=1+1", "größe", "it's"])
def test_names_that_tables_can_hold_are_taken(name):
    check_dataset(Boxes(factors={"colour": 3, name: 5, "y": 5}))


class Holes(Boxes):
    """Some rows of the grid."""

    def __init__(self, count, **rest):
        super().__init__(**rest)
        self.rows = torch.from_numpy(np.random.default_rng(0).permutation(75))[:count]

    def __len__(self):
        return len(self.rows)

    def factors(self, indices):
        return super().factors(self.rows[torch.as_tensor(indices)])

    def _on_device(self, indices):
        return torch.as_tensor(indices)


def test_a_data_set_with_holes_is_refused():
    _is_refused(Holes(50), r"50 images for 75 combinations of colour 3 x x 5 x y 5, but a data set is a full grid")


def test_a_grid_in_another_order_is_refused():
    _is_refused(Holes(75), r"indices\(factors\(0\)\) is \d+, not 0, but a data set is a full grid")


class Odd(Boxes):
    """Factors as `change` has them."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def factors(self, indices):
        return self.change(super().factors(indices))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda factors: factors + torch.tensor([0, 1, 0]), r"'x' runs from 1 to 5, outside 0 \.\. 4"),
        (lambda factors: factors - 1, r"'colour' runs from -1 to 1, outside 0 \.\. 2"),
        (lambda factors: factors.float(), r"torch\.float32, where integers"),
        (lambda factors: factors > 0, r"torch\.bool, where integers"),
        (lambda factors: factors[:, :2], r"have the shape \(75, 2\), for 75 indices, where \(75, 3\)"),
        (lambda factors: factors.numpy(), "ndarray, where a tensor"),
        (lambda factors: factors.to("meta"), "are on meta, where cpu"),
        (lambda factors: factors * torch.tensor([1, 1, 0]), r"indices\(factors\(1\)\) is 0, not 1"),
    ],
)
def test_factors_that_no_grid_has_are_refused(change, message):
    _is_refused(Odd(change), message)


class Swapped(FactorDataset):
    """A large grid whose factors are counted the other way round."""

    def __init__(self):
        super().__init__("swapped", "drawn", {"x": 300, "y": 300}, (1, 32, 32))

    def factors(self, indices):
        return super().factors(indices).flip(1)

    def images(self, indices):
        raise NotImplementedError


def test_a_large_grid_is_looked_at_in_places():
    _is_refused(Swapped(), r"indices\(factors\(\d+\)\) is \d+")


def test_a_data_set_that_is_none_is_refused():
    class Bare(Boxes):
        def __init__(self):
            pass

    _is_refused(Bare(), "Bare cannot be read .AttributeError")


def _load(loader, monkeypatch):
    monkeypatch.setitem(datasets.REGISTRY, "own", loader)
    with pytest.raises(UsageError) as caught:
        datasets.load("own")
    return str(caught.value)


def test_a_loader_that_gives_no_data_set_is_refused(monkeypatch):
    told = "data set 'own' is given as {}, where a FactorDataset is needed."
    assert _load(lambda device, data_dir: None, monkeypatch) == told.format("NoneType")
    assert _load(lambda device, data_dir: [torch.zeros(3)], monkeypatch) == told.format("list")


def test_a_loader_that_breaks_is_told(monkeypatch):
    assert _load(lambda device: None, monkeypatch).startswith("data set 'own' cannot be loaded (TypeError: ")
    assert "(ZeroDivisionError: " in _load(lambda device, data_dir: 1 // 0, monkeypatch)


def test_memory_that_ran_out_is_no_fault_of_the_data():
    def convert(images):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        check_dataset(Boxes(convert))
