"""What a world's text means, and that training in it draws as it says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from benchmark import datasets
from benchmark.datasets.protocols import CORRELATED, HELD_OUT, SIZES
from benchmark.datasets.worlds import enter, held_out_of, known_worlds, parts_of, read_world
from benchmark.errors import UsageError
from benchmark.training.draws import CHUNK, draw_batches
from methods.base import Groups, Independent, Labelled, Pairs
from tests.benchmark.grids import Blank

CARS = {"elevation": 4, "azimuth": 24, "object_type": 183}
FAMILIES = {"shapes3d": SIZES["shapes3d"], "dsprites": SIZES["dsprites"], "mpi3d_real": SIZES["mpi3d"], "cars3d": CARS}


@pytest.fixture
def small():
    return Blank(shape=3, scale=4, x=5, y=2)


@pytest.mark.parametrize(
    ("correlated", "hold_out", "text"),
    [
        ("", "", ""),
        ("shape:scale:0.2", "", "correlated=shape:scale:0.2"),
        ("scale:shape:.20", "", "correlated=shape:scale:0.2"),
        ("x:y:1.0:inverse, scale:shape:2e-1", "", "correlated=shape:scale:0.2,x:y:1:inverse"),
        ("x:all:0.4", "", "correlated=x:all:0.4"),
        ("y:x:.4,scale:x:.4,x:shape:.4", "", "correlated=x:all:0.4"),
        ("x:all:0.4,shape:y:0.1", "", "correlated=x:all:0.4,shape:y:0.1"),
        ("", "shape=2", "held_out=shape=2"),
        ("", " shape >= 2 ", "held_out=shape=2"),
        ("", "x>1,shape<2", "held_out=shape=0..1,x=2..4"),
        ("", "x>=1,x<=2,shape=0..2", "held_out=x=1..2"),
        ("", "x=1..2", "held_out=x=1..2"),
        ("x:y:3", "y=0", "correlated=x:y:3 held_out=y=0"),
    ],
)
def test_equal_worlds_have_one_text(small, correlated, hold_out, text):
    if hold_out == "y=0":
        with pytest.raises(UsageError, match="leaves one value of y to train on"):
            read_world(small, correlated, hold_out)
        return
    assert read_world(small, correlated, hold_out) == text
    if text:
        assert enter(small, text).world == text
        assert text.isprintable()


@pytest.mark.parametrize(
    ("correlated", "hold_out", "told"),
    [
        ("shap:scale:0.2", "", "unknown factor of blank 'shap'; did you mean 'shape'?"),
        ("shape:al:0.2", "", "unknown factor of blank 'al'; did you mean 'all'?"),
        ("shape:scale", "", "correlated is 'shape:scale'; it takes shape:scale:0.2, or :inverse after it."),
        ("shape:scale:0.2:invers", "", "correlated is 'shape:scale:0.2:invers'; it takes"),
        ("shape:scale:0", "", "its width is '0', where a number from 0.001 to 1000 is needed."),
        ("shape:scale:nan", "", "its width is 'nan'"),
        ("shape:scale:1_0", "", "its width is '1_0'"),
        ("shape:shape:1", "", "a factor is correlated with another one."),
        ("shape:scale:1,scale:shape:2", "", "shape and scale are correlated twice."),
        ("shape", "", "unknown correlation of blank 'shape'; did you mean 'shape:scale:0.2'?"),
        ("shape:scale:.001,scale:x:.001,shape:x:.001:inverse", "", "leaves nothing of blank to train on."),
        ("", "shap=1", "unknown factor of blank 'shap'; did you mean 'shape'?"),
        ("", "shape=3", "hold-out has 'shape=3'; shape takes whole numbers from 0 to 2, or a range as in =0..1."),
        ("", "shape=0.5", "hold-out has 'shape=0.5'; shape takes whole numbers from 0 to 2"),
        ("", "shape>=0..1", "hold-out has 'shape>=0..1'"),
        ("", "shape=1..", "hold-out has 'shape=1..'"),
        ("", "shape", "unknown hold-out of blank 'shape'; did you mean 'shape=0'?"),
        ("", "shape>=0", "hold-out is 'shape>=0', which leaves nothing of blank to train on."),
        ("", "shape>2", "no value of shape meets that."),
        ("", "shape>=1", "held_out=shape=1..2 leaves one value of shape to train on, where two or more are needed."),
        ("", "shape=0,scale=0,x=1", "holds out 2 of 120 images, where 12 are needed."),
    ],
)
def test_mistakes_are_told_in_a_sentence(small, correlated, hold_out, told):
    with pytest.raises(UsageError) as error:
        read_world(small, correlated, hold_out)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


WORDS = [
    "shape",
    "scale",
    "x",
    "y",
    "all",
    ":",
    ",",
    "=",
    ">=",
    "<",
    "..",
    "0",
    "1",
    "2",
    "0.2",
    "inverse",
    " ",
    "é",
    "1e9",
]
GARBAGE = st.lists(st.sampled_from(WORDS), max_size=9).map("".join) | st.text(max_size=12)


@given(GARBAGE, GARBAGE)
def test_whatever_is_written_is_a_world_or_one_sentence(correlated, hold_out):
    data = Blank(shape=3, scale=4, x=5, y=2)
    try:
        text = read_world(data, correlated, hold_out)
    except UsageError as error:
        assert str(error)
        return
    assert text == "" or enter(data, text).world == text


def test_a_table_has_no_worlds_and_a_space_no_name():
    data = Blank(a=2, b=2, table=np.zeros((20, 2)))
    for make in (lambda: read_world(data, "a:b:1"), lambda: enter(data, "correlated=a:b:1")):
        with pytest.raises(UsageError, match="told by a table"):
            make()
    with pytest.raises(UsageError, match="has a space in its name"):
        read_world(Blank(**{"a b": 3, "c": 2}), "a b:c:1")


@pytest.mark.parametrize("text", ["hold=a", "correlated", "shape:scale:0.2"])
def test_what_is_no_worlds_text_is_refused(small, text):
    with pytest.raises(UsageError, match=r"where one such as correlated=shape:scale:0\.2 is needed"):
        enter(small, text)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("inverse", [False, True])
def test_pairs_weigh_by_the_papers_formula(small, sigma, inverse):
    """Roth et al. 2023: exp(-(a - b)^2 / (2 sigma^2)) on values scaled to [0, 1]."""
    world = enter(small, read_world(small, f"scale:x:{sigma}{':inverse' if inverse else ''},x:shape:{sigma}"))
    shape, scale, x, _ = small.factors(torch.arange(len(small))).double().T.numpy()
    a, b, c = scale / 3, x / 4, shape / 2
    other = 1 - b if inverse else b
    weights = np.exp(-((a - other) ** 2) / (2 * sigma**2)) * np.exp(-((b - c) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(world.population.probabilities(torch.arange(120)), weights / weights.sum(), atol=1e-12)


def test_traeubles_formula_is_the_same_on_scaled_values():
    """p(c1, c2) in proportion to exp(-(c2 - alpha c1)^2 / (2 s^2)), alpha = max c2 / max c1, and s = sigma max c2."""
    data = Blank("dsprites", **SIZES["dsprites"])
    world = enter(data, read_world(data, "traeuble2021_b_0.2"))
    _, _, c1, c2, _ = data.factors(torch.arange(len(data))).double().T.numpy()
    weights = np.exp(-((c2 - 31 / 39 * c1) ** 2) / (2 * (0.2 * 31) ** 2))
    probabilities = world.population.probabilities(torch.arange(len(data)))
    np.testing.assert_allclose(probabilities, weights / weights.sum(), rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_papers_world_can_be_entered(name):
    data = Blank(name, **FAMILIES[name])
    correlated, held_out = known_worlds(data)
    for asked in [(text, "") for text in correlated] + [("", text) for text in held_out]:
        text = read_world(data, *asked)
        assert read_world(data, text.removeprefix("correlated=") if asked[0] else "", asked[1]) == text


def test_papers_worlds_are_for_their_own_data_sets(mini):
    every = {family: {*worlds} for family, worlds in CORRELATED.items()}
    real = Blank("mpi3d_real", **SIZES["mpi3d"])
    assert {*known_worlds(real)[0]} == every["mpi3d"] | every["mpi3d_real"]
    assert {*known_worlds(Blank("mpi3d_realistic", **SIZES["mpi3d"]))[0]} == every["mpi3d"]
    assert {*known_worlds(mini)[0]} == every["dsprites"]
    assert known_worlds(mini)[1] == []  # whose values have other numbers
    smaller = SIZES["mpi3d"] | {"object_color": 4, "object_shape": 4}
    assert known_worlds(Blank("mpi3d_complex", **smaller))[1] == []
    assert known_worlds(Blank("mine", **SIZES["dsprites"])) == ([], [])
    with pytest.raises(UsageError, match="did you mean 'roth2023_single_1'"):
        read_world(mini, "roth2023_singel_1")


HUES = np.linspace(0, 0.9, 10).round(9)
VALUES = {  # as the published files have them
    "shapes3d": (HUES, HUES, HUES, np.linspace(0.75, 1.25, 8), np.arange(4), np.linspace(-30, 30, 15)),
    "dsprites": (np.arange(3), *(np.linspace(low, high, n).round(9) for low, high, n in
                 ((0.5, 1, 6), (0, 360, 40), (0, 1, 32), (0, 1, 32)))),
    "mpi3d": tuple(np.arange(size) for size in SIZES["mpi3d"].values()),
}  # fmt: skip
RULES = {
    ("shapes3d", "montero2021_extrapolation"): lambda floor, *_: floor >= 0.5,
    ("shapes3d", "montero2021_range_shape_object_hue"): lambda f, w, o, s, shape, _: (shape == 3) & (o >= 0.5),
    ("shapes3d", "montero2021_range_shape_floor_hue"): lambda f, w, o, s, shape, _: (shape == 3) & (f >= 0.5),
    ("shapes3d", "montero2021_range_object_hue_wall_hue"): lambda f, w, o, *_: (o >= 0.8) & (w <= 0.2),
    ("shapes3d", "montero2021_element"): lambda f, w, o, scale, shape, angle: (
        (o >= 0.8) & (w >= 0.8) & (f >= 0.8) & (scale >= 1.1) & (shape == 1) & (angle > 20)
    ),
    ("shapes3d", "roth2023_floor_hue_wall_hue"): lambda f, w, *_: (f / 0.9 < 0.25) & (w / 0.9 > 0.75),
    ("shapes3d", "roth2023_shape_wall_hue"): lambda f, w, o, s, shape, _: (shape == 3) & (w / 0.9 > 0.75),
    ("shapes3d", "roth2023_shape_floor_hue"): lambda f, w, o, s, shape, _: (shape == 3) & (f / 0.9 < 0.25),
    ("shapes3d", "roth2023_shape_object_hue"): lambda f, w, o, s, shape, _: (shape == 3) & (o / 0.9 >= 0.5),
    ("dsprites", "montero2021_extrapolation"): lambda shape, scale, angle, x, y: x > 0.5,
    ("dsprites", "montero2021_range"): lambda shape, scale, angle, x, y: (shape == 0) & (x > 0.5),
    ("dsprites", "montero2021_element"): lambda shape, scale, angle, x, y: (
        (shape == 1) & (scale > 0.6) & (angle > 120) & (angle < 240) & (x > 0.66) & (y > 0.66)
    ),
    ("dsprites", "roth2023_shape_position_x"): lambda shape, scale, angle, x, y: (shape == 2) & (x >= 0.5),
    ("mpi3d", "montero2021_extrapolation_object_color"): lambda color, *_: color > 3,
    ("mpi3d", "montero2021_range_object_shape"): lambda c, shape, z, h, b, x, y: (shape == 2) & (x < 20),
    ("mpi3d", "montero2021_range_object_color"): lambda c, shape, z, h, b, x, y: (c == 2) & (x < 20),
    ("mpi3d", "montero2021_element"): lambda c, shape, size, height, back, x, y: (
        (c == 5) & (shape == 2) & (size == 1) & (height == 1) & (back == 1) & (x > 35) & (y > 35)
    ),
}


@pytest.mark.parametrize(("family", "name"), RULES, ids="-".join)
def test_what_papers_hold_out_by_the_values_themselves(family, name):
    data = Blank(family, **SIZES[family])
    factors = data.factors(torch.arange(len(data))).numpy()
    values = [own[column] for own, column in zip(VALUES[family], factors.T, strict=True)]
    world = enter(data, read_world(data, "", name))
    assert held_out_of(world).tolist() == np.flatnonzero(RULES[family, name](*values)).tolist()


def test_each_rule_of_a_paper_is_tried():
    assert {*RULES} == {(family, name) for family, worlds in HELD_OUT.items() for name in worlds}


def test_entering_leaves_the_data_set_as_it_is(mini):
    world = datasets.load("dsprites_mini", world="correlated=shape:scale:0.2 held_out=shape=2,position_x=3")
    assert (mini.population, mini.world) == (None, "")
    assert world.world == "correlated=shape:scale:0.2 held_out=shape=2,position_x=3"
    assert torch.equal(world.images([5, 7]), mini.images([5, 7]))
    assert held_out_of(mini) is None


def test_parts_are_told_by_the_text_alone():
    assert parts_of("") == ()
    assert parts_of("correlated=a:b:1") == ("correlated",)
    assert parts_of("held_out=a=1") == parts_of("correlated=a:b:1 held_out=a=1") == ("seen", "unseen")


WORLDS = ["correlated=shape:scale:0.3,position_x:position_y:0.2", "held_out=shape=1,position_x=2..3"]
WORLDS += [f"correlated=shape:all:0.4 {WORLDS[1]}"]
KINDS = [Independent(), Independent(2), Pairs(), Pairs(1), Groups(), Labelled()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("world", WORLDS)
def test_training_sees_what_the_world_says_and_nothing_else(mini, world, kind):
    data = enter(mini, world)
    generator = torch.Generator().manual_seed(0)
    batch, chunks = (4, 60) if isinstance(kind, Groups) else (64, 6)
    seen = torch.cat([draw_batches(kind, data, batch, generator)[0] for _ in range(chunks)])
    held_out = held_out_of(data)
    assert held_out is None or not torch.isin(seen, held_out).any()
    # Of a group, whose images are not independent, each kind of place by itself, and one a step.
    places = [seen[:, :64], seen[:, 64:]] if isinstance(kind, Pairs) else [seen]
    places = [seen[:, 0], seen[:, 1]] if isinstance(kind, Groups) else places
    expected = data.population.probabilities(torch.arange(len(data)))
    for each in places:
        _agree(torch.bincount(each.flatten(), minlength=len(data)), expected)


def _agree(counts, expected):
    """Whether counts are of those probabilities: the rarest together, where few are expected."""
    order = expected.argsort(descending=True)
    counts, expected = counts[order].double(), expected[order] * counts.sum()
    common = int((expected > 5).sum())
    assert common > 1
    parts = [torch.cat([each[:common], each[common:].sum()[None]]) for each in (counts, expected)]
    kept = parts[1] > 1
    seen, wanted = parts[0][kept], parts[1][kept]
    assert chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 1e-3


@pytest.mark.parametrize("world", WORLDS)
def test_pairs_and_groups_share_what_they_should(mini, world):
    data, generator = enter(mini, world), torch.Generator().manual_seed(1)
    pairs, _ = draw_batches(Pairs(2), data, 32, generator)
    first, second = (data.factors(part.flatten()) for part in pairs.chunk(2, 1))
    assert ((first != second).sum(1) <= 2).all()
    groups, told = draw_batches(Groups(), data, 16, generator)
    factors = data.factors(groups.flatten()).view(CHUNK, 16, -1)
    varies = (factors != factors[:, :1]).any(1)
    others = torch.arange(5) != told["factor"][:, None]
    assert not varies[others].any()
    assert varies.any()
