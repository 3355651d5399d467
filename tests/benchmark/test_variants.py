"""dSprites with a drawn part: the study's recipes, on the small grid."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import datasets
from benchmark.datasets import dsprites_variants as variants
from benchmark.datasets.contract import check_dataset
from benchmark.datasets.drawn import keys_of
from benchmark.errors import UsageError
from benchmark.spec import RunSpec
from benchmark.training.harness import train
from tests.tracing import META, Imagined, Trace

NAMES = ("dsprites_colour", "dsprites_noisy", "dsprites_scream", "dsprites_noshape")


@pytest.fixture
def load(mini, monkeypatch):
    """Loads a variant of the small grid; `load.folders` is where sprites were looked for."""

    def plain(device, data_dir):
        load.folders.append(data_dir)
        return mini

    def load(name, data_dir=None):
        return datasets.load(name, data_dir=data_dir)

    load.folders = []
    monkeypatch.setattr(variants, "plain_dsprites", plain)
    return load


def _drawn(data, seed=0, each=4):
    """Images of all combinations, each drawn so many times, and the sprites (B, 1, H, W) that they hold."""
    indices = torch.arange(len(data)).repeat(each)
    return data.images(indices, torch.Generator().manual_seed(seed)), data.plain.images(indices % len(data.plain))


def _uniform(values, low, high):
    """Whether values are uniform in low .. high: by their mean, spread and 16 bins."""
    values = np.asarray(values, np.float64).ravel()
    counts = np.histogram(values, 16, (low, high + 1e-9))[0]
    chi = ((counts - len(values) / 16) ** 2 / (len(values) / 16)).sum()
    return values.min() >= low and values.max() <= high and chi < 15 + 5 * 30**0.5


@pytest.mark.parametrize("name", NAMES)
def test_they_keep_to_what_is_asked(load, mini, name):
    data = load(name)
    check_dataset(data)
    assert data.drawn
    assert data.image_shape == ((1, 64, 64) if name == "dsprites_noshape" else (3, 64, 64))
    assert set(mini.remarks) < set(data.remarks)
    images, _ = _drawn(data)
    again, _ = _drawn(data)
    assert torch.equal(images, again)
    assert not torch.equal(images, _drawn(data, seed=1)[0])
    assert images.is_contiguous()  # others take several times as long to compose
    assert datasets.ABOUT[name].purpose
    assert datasets.ABOUT[name].licence


def test_colours(load):
    images, sprites = _drawn(load("dsprites_colour"))
    assert (images * (1 - sprites) == 0).all()
    colours = images.amax((2, 3))
    assert torch.equal(images, sprites * colours[:, :, None, None])
    assert _uniform(colours, 0.5, 1)
    assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 5 / len(colours) ** 0.5


def test_noise(load):
    images, sprites = _drawn(load("dsprites_noisy"))
    on = sprites.expand_as(images) == 1
    assert (images[on] == 1).all()
    assert _uniform(images[~on][::7], 0, 1)
    noise = images[..., 0, :].flatten(1)  # of a row that no sprite reaches
    assert not on[..., 0, :].any()
    correlated = np.corrcoef(noise.T) - np.eye(noise.shape[1])
    assert np.abs(correlated).max() < 6 / len(noise) ** 0.5


def test_a_crop_mixed_with_a_colour_is_inverted_on_the_sprite(mini):
    picture = np.random.default_rng(0).integers(256, size=(90, 80, 3), dtype=np.uint8)
    data = variants.SpritesOnPicture(picture, "dsprites_scream", mini)
    images, sprites = _drawn(data, each=1)
    ground = (images - sprites).abs().numpy().transpose(0, 2, 3, 1)
    levels = np.rint(ground * 510).astype(int)
    assert np.abs(ground * 510 - levels).max() < 1e-3
    crops = np.lib.stride_tricks.sliding_window_view(picture, (64, 64), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    places, colours = [], []
    for image in levels:
        # What is left beside the right crop is one colour.
        rest = image[:2, :2] - crops[:, :, :2, :2].astype(int)
        ((row, column),) = np.argwhere((rest == rest[:, :, :1, :1]).all((2, 3, 4)))
        places.append((row, column))
        colours.append(rest[row, column, 0, 0])
        assert np.array_equal(image, crops[row, column] + rest[row, column, 0, 0])
    assert _uniform(colours, 0, 255)
    rows, columns = np.array(places).T
    assert rows.max() < 90 - 64  # as the study draws them
    assert columns.max() < 80 - 64
    assert len({*rows}) == 26
    assert len({*columns}) == 16
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 5 / len(rows) ** 0.5


def test_a_shape_is_drawn(load, mini):
    data = load("dsprites_noshape")
    assert data.factor_names == ("scale", "orientation", "position_x", "position_y")
    assert len(data) == len(mini) / 3
    assert data.memory == mini.memory
    indices = torch.tensor([37]).repeat(3000)
    images = data.images(indices, torch.Generator().manual_seed(0))
    kinds = [(images == mini.images([37 + 128 * shape])).all((1, 2, 3)).sum().item() for shape in range(3)]
    assert sum(kinds) == 3000
    assert min(kinds) > 1000 - 5 * 26
    assert torch.equal(data.factors([37]), mini.factors([37])[:, 1:])


def test_a_place_is_an_image_however_it_is_asked_for(load):
    for name in NAMES:
        data = load(name)
        places = data.draw(torch.arange(0, len(data), 3), torch.Generator().manual_seed(0))
        images = data.at(places)
        assert torch.equal(torch.cat([data.at(place) for place in places[:9].split(1)]), images[:9])
        assert torch.equal(data.at(places.flip(0)).flip(0), images)
        assert torch.equal(data.compose(places % len(data), keys_of(places)), images)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_step_can_gather_them(load, mini, monkeypatch, name):
    monkeypatch.setattr(variants, "plain_dsprites", lambda device, data_dir: Imagined(mini))
    data = load(name)
    with Trace() as trace:
        images = data.at(torch.empty(6, dtype=torch.long, device=META))
    assert images.shape == (6, *data.image_shape)
    assert trace.objections == []
    assert sum(trace.kernels.values()) < 100


# --- what lies in the folder -------------------------------------------------------------------------


def test_a_folder_without_dsprites_leaves_them_rendered(load, tmp_path):
    assert load("dsprites_colour", tmp_path).source == "rendered"
    (tmp_path / variants.PUBLISHED_FILE).touch()
    load("dsprites_colour", tmp_path)
    assert load.folders == [None, tmp_path]


def test_the_source_says_which_background(load, tmp_path):
    own = load("dsprites_scream", tmp_path)
    assert own.source == "rendered-own-background"
    assert "(own-background), on which scores are not those of the study" in own.remarks[-1]
    Image.fromarray(variants.paint_background()[::-1]).resize((500, 637)).save(tmp_path / "The_Scream.jpg")
    real = load("dsprites_scream", tmp_path)
    assert real.source == "rendered-scream"
    check_dataset(real)
    assert not torch.equal(own.images([5]), real.images([5]))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_painting_is_shrunk_as_the_study_does(tmp_path, mode):
    painting = Image.fromarray(variants.paint_background()).resize((500, 637)).convert(mode)
    painting.save(tmp_path / "The_Scream.jpg", quality=95)
    shrunk = variants.read_painting(tmp_path / "The_Scream.jpg")
    assert shrunk.dtype == np.uint8
    assert shrunk.shape == (274, 215, 3)
    if mode == "RGB":
        assert np.abs(shrunk.astype(int) - variants.paint_background()).mean() < 4


def test_what_is_no_painting_is_told(load, tmp_path):
    path = tmp_path / "The_Scream.jpg"
    path.write_bytes(b"\xff\xd8 broken")
    with pytest.raises(UsageError, match="cannot be read as a picture"):
        load("dsprites_scream", tmp_path)
    Image.new("RGB", (900, 90)).save(path)
    with pytest.raises(UsageError, match=r"too small \(350 x 35 pixels"):
        load("dsprites_scream", tmp_path)


def test_our_own_background():
    picture = variants.paint_background()
    assert picture.shape == (274, 215, 3)
    assert np.array_equal(picture, variants.paint_background())
    # Warm and dark, of a painting's spread, and smooth.
    assert picture.mean((0, 1)) == pytest.approx([129, 102, 80], abs=2)
    assert picture.std((0, 1)) == pytest.approx([73, 45, 27], abs=2)
    assert np.abs(np.diff(picture.astype(int), axis=0)).mean() < 8
    assert np.abs(np.diff(picture.astype(int), axis=1)).mean() < 8


def test_a_variant_is_trained_on(load):
    data = load("dsprites_colour")
    spec = RunSpec("vae", {}, "dsprites_colour", steps=8)
    one, again = train(spec, data), train(spec, data)
    assert one.history == again.history
    assert one.history[-1]["loss"] < one.history[0]["loss"]
