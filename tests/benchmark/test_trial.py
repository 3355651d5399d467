"""Each check fails a data set that is broken in its way, and nothing else of it; what factors move is told."""

import re

import pytest
import torch

from benchmark import datasets
from benchmark.checks import Squares
from benchmark.cli import main
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.drawn import DrawnDataset, random_bytes
from benchmark.datasets.trial import CHECKS, try_dataset

NAMES = [*(check.__name__ for check in CHECKS), "factors"]


class Sound(FactorDataset):
    """A square in one of four colours and four by five places, one of two sizes."""

    def __init__(self):
        super().__init__(
            "sound", "rendered", {"colour": 4, "scale": 2, "position_x": 4, "position_y": 5}, (3, 32, 32), "cpu"
        )

    def images(self, indices, generator=None):
        colour, scale, x, y = self.factors(self._on_device(indices)).T[:, :, None, None]
        at, size = torch.arange(32), 4 + 2 * scale
        across, down = at - 8 * x, at[:, None] - 6 * y
        inside = (across >= 0) & (across < size) & (down >= 0) & (down < size)
        levels = 0.3 + 0.1 * colour + 0.1 * torch.arange(3)
        return inside[:, None] * levels.reshape(-1, 3, 1, 1)


class Bytes(Sound):
    """Images in 0 .. 255."""

    def images(self, indices, generator=None):
        return 255 * super().images(indices)


class Wrapping(Sound):
    """An index outside is another."""

    def images(self, indices, generator=None):
        return super().images(torch.as_tensor(indices) % len(self))


class Batchwise(Sound):
    """An image alone is brighter."""

    def images(self, indices, generator=None):
        images = super().images(indices)
        return images * (1.1 if len(images) == 1 else 1)


class Undeclared(Sound):
    """Draws, and says that it does not."""

    def draw(self, indices, generator):
        return (indices + 1) % len(self)


class Stuck(Sound):
    """The last two places in x are one."""

    def factors(self, indices):
        return super().factors(indices)

    def images(self, indices, generator=None):
        factors = self.factors(self._on_device(indices))
        factors[:, 2] = factors[:, 2].clamp(max=2)
        return super().images(self.indices(factors))


class Noisy(DrawnDataset, Sound):
    """A pixel whose brightness is drawn, too faint for a foreground."""

    def compose(self, indices, keys):
        images = Sound.images(self, indices)
        images[:, :, 31, 31] += random_bytes(keys, 1) / 3000
        return images

    images = DrawnDataset.images


class Fixed(Noisy):
    """Says that it draws, and does not."""

    def compose(self, indices, keys):
        return Sound.images(self, indices)


class Unseeded(Noisy):
    """Draws by the global generator."""

    def images(self, indices, generator=None):
        images = super().images(indices)
        if generator:
            images[:, :, 31, 31] = torch.rand(len(images), 3)
        return images


class Slow(Sound):
    """Breaks where places are asked for."""

    def at(self, places):
        if len(places) > 48:
            raise RuntimeError("too many\nat once")
        return super().at(places)


BROKEN = {
    Bytes: ("contract", "run from 0 to"),
    Wrapping: ("outside", "the index -1 is given an image"),
    Batchwise: ("repeated", "asked for one by one, an image is another"),
    Undeclared: ("drawn", "its draws are no indices"),
    Fixed: ("drawn", "with another seed images are the same"),
    Unseeded: ("drawn", "with generators of one seed images differ"),
    Stuck: ("factors", "from value 2 to 3 of position_x no image changes"),
    Slow: ("speed", "it raises RuntimeError: too many"),
}


@pytest.mark.parametrize("cls", [Sound, Noisy, Squares])
def test_a_sound_data_set_passes(cls):
    findings, moved = try_dataset(cls())
    assert [finding.check for finding in findings] == NAMES
    states = {finding.check: finding.state for finding in findings}
    assert states.pop("drawn") == ("passed" if cls is Noisy else "skipped")
    assert set(states.values()) == {"passed"}
    assert [each.factor for each in moved] == list(cls().factor_names)
    assert not any(each.still for each in moved)


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_data_set_fails_its_check_alone(cls):
    findings, _ = try_dataset(cls())
    assert [finding.check for finding in findings] == NAMES
    failed = {finding.check: finding.reason for finding in findings if finding.state == "failed"}
    check, reason = BROKEN[cls]
    assert list(failed) == [check], failed
    assert reason in failed[check]
    assert failed[check].isprintable()


def test_every_check_is_proved():
    assert {check for check, _ in BROKEN.values()} == set(NAMES)


@pytest.mark.parametrize("cls", [Sound, Noisy])
def test_what_factors_move_is_told(cls):
    colour, scale, x, y = try_dataset(cls())[1]
    assert colour.looked_at == "100% of outlines stay: as its name says"
    assert scale.looked_at == "the foreground grows by 125%: as its name says"
    assert re.match(r"the centre moves by (8.00|7.\d\d) pixels in x, -?0.0\d in y", x.looked_at)
    assert re.match(r"the centre moves by -?0.0\d pixels in x, (6.00|5.\d\d) in y", y.looked_at)
    assert scale.pixels == pytest.approx(20 / 32**2)
    assert all(each.looked_at.endswith(": as its name says") for each in (x, y))


class Misnamed(Sound):
    """Its x is y."""

    def __init__(self):
        super().__init__()
        self.factor_names = ("hue", "size", "y", "x_R")


def test_what_is_misnamed_is_not_clear_and_no_failure():
    findings, moved = try_dataset(Misnamed())
    assert not [finding for finding in findings if finding.state == "failed"]
    assert [each.looked_at.endswith("not clear") for each in moved] == [False, False, True, True]


class Listed(FactorDataset):
    """Images of a table: of some of its rows, in an order of their own."""

    def __init__(self, table, **factors):
        super().__init__("listed", "published", factors, (1, 8, 8), table=table)

    def images(self, indices, generator=None):
        indices = self._on_device(indices)
        return (torch.arange(64) == indices[:, None]).float().view(-1, 1, 8, 8)


def test_a_table_is_tried_on_rows_that_differ_in_one_factor():
    table = [[a, b] for a in range(4) for b in range(5) if a + b != 3][::-1]
    findings, moved = try_dataset(Listed(table, a=4, b=5))
    assert {finding.check: finding.state for finding in findings}["factors"] == "passed"
    assert [(each.factor, each.pixels) for each in moved] == [("a", 2 / 64), ("b", 2 / 64)]


def test_factors_that_never_move_alone_are_told():
    findings, moved = try_dataset(Listed([[k % 4, k % 4 // 2, k // 4] for k in range(16)], a=4, b=2, c=4))
    assert findings[-1].state == "passed"
    assert findings[-1].reason == "no two images differ in b alone"
    assert [each.factor for each in moved] == ["a", "c"]
    findings, moved = try_dataset(Listed([[] for _ in range(16)]))
    assert (findings[-1].state, findings[-1].reason, moved) == ("skipped", "it has no factors", [])


# --- the command -------------------------------------------------------------------------------------

PLUGIN = '''
import torch

from benchmark.datasets import register
from benchmark.datasets.base import FactorDataset

class Stripes(FactorDataset):
    def images(self, indices, generator=None):
        place = self.factors(self._on_device(indices))[:, 0]
        return (torch.arange(32) // 4 == {place}[:, None]).float()[:, None, None].repeat(1, 1, 32, 1)

@register("stripes")
def stripes(device, data_dir):
    """Stripes."""
    return Stripes("stripes", "rendered", {{"place": 8}}, (1, 32, 32), device)
'''


def test_the_command_tells_what_it_finds(capsys):
    assert main(["check-data", "dsprites_mini"]) == 0
    told = capsys.readouterr().out
    assert "384 images 1 x 64 x 64, rendered" in told
    assert "position_x" in told
    assert "as its name says" in told


@pytest.mark.parametrize(("place", "code"), [("place", 0), ("place.clamp(max=6)", 1)])
def test_a_plugins_data_set_is_tried(place, code, tmp_path, plugins_anew, capsys):
    path = tmp_path / "stripes.py"
    path.write_text(PLUGIN.format(place=place))
    assert main(["check-data", "stripes", "--plugin", str(path)]) == code
    told = capsys.readouterr().out
    assert ("from value 6 to 7 of place no image changes" in told) == bool(code)


def test_bad_names_are_one_sentence(capsys, tmp_path):
    assert main(["check-data", "xy_square"]) == 2
    assert capsys.readouterr() == ("", "error: unknown data set 'xy_square'; did you mean 'xy_squares'?\n")
    assert main(["check-data"]) == 2
    assert main(["check-data", "dsprites", "--data-dir", str(tmp_path)]) == 2
    assert "holds no dsprites_ndarray" in capsys.readouterr().err


def test_all_leaves_out_what_is_not_there(monkeypatch, capsys, tmp_path):
    few = {name: datasets.REGISTRY[name] for name in ("dsprites", "dsprites_mini")}
    monkeypatch.setattr(datasets, "REGISTRY", few, raising=False)
    assert main(["check-data", "all", "--data-dir", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "check dsprites_mini" in told.out
    assert told.err.startswith(f"left out: {tmp_path} holds no dsprites_ndarray")


def test_an_interrupt_is_told(monkeypatch, capsys):
    def interrupt(dataset):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.datasets.trial.try_dataset", interrupt)
    assert main(["check-data", "dsprites_mini"]) == 130
    assert "what was checked is told above" in capsys.readouterr().err
