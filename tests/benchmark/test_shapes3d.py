import colorsys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import datasets
from benchmark.datasets import shapes3d as shapes
from benchmark.datasets import shapes3d_scene as scene
from benchmark.datasets.contract import check_dataset

REAL = Path(__file__).parents[3] / "shared" / "data" / "shapes3d_30.npz"
# Over the whole published set: each channel's mean, and the mean of each image's standard deviation.
PUBLISHED_MEANS, PUBLISHED_STDS = (0.502585, 0.578760, 0.603450), (0.294081, 0.344398, 0.366169)
NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
BASE = (1, 4, 8, 4, 0, 7)
SMALL = {"scale": 2, "orientation": 3}


def view_of(factors):
    _, _, _, scale, shape, orientation = (int(value) for value in factors)
    return scene.View(shapes.SCALES[scale], shape, shapes.ORIENTATIONS[orientation])


@cache
def rows_of(view):
    return shapes.render_view(view)


def images_of(factors):
    """Images (B, 3, 64, 64) of a data set of which only the views that are wanted are rendered."""
    factors = np.asarray(factors)
    rows = np.zeros((480 * shapes.ROWS, shapes.PIXELS**2), np.float16)
    for row in factors:
        place = np.ravel_multi_index(row[3:], (8, 4, 15)) * shapes.ROWS
        rows[place : place + shapes.ROWS] = rows_of(view_of(row))
    data = shapes.LayeredDataset("shapes3d", lambda progress: rows, "cpu", ())
    return data.images(data.indices(factors))


def changed(**factors):
    """The image at BASE, and one that differs in these factors."""
    return images_of([BASE, [factors.get(name, value) for name, value in zip(NAMES, BASE, strict=True)]])


def covered(view, surface):
    """The share of each pixel that a surface takes, by the filter's weights: (64, 64)."""
    down = shapes.shrinking()
    return down @ (scene.shade(view).surface == surface) @ down.T


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The loader's data set with 2 scales and 3 orientations: 24 views."""
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path))
    monkeypatch.setattr(shapes, "FACTORS", shapes.FACTORS | SMALL)
    monkeypatch.setattr(shapes, "SCALES", shapes.SCALES[::7])
    monkeypatch.setattr(shapes, "ORIENTATIONS", shapes.ORIENTATIONS[::7])
    return datasets.load("shapes3d")


def test_the_grid_is_known_before_anything_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path))
    data = datasets.load("shapes3d")
    assert (len(data), data.source, data.image_shape) == (480_000, "rendered", (3, 64, 64))
    assert data.factor_names == NAMES
    assert data.factor_sizes == (10, 10, 10, 8, 4, 15)
    assert data.factors([15, 60, 480, 4800, 48_000]).tolist() == np.eye(6, dtype=int)[[4, 3, 2, 1, 0]].tolist()
    assert not list(tmp_path.iterdir())


def test_it_keeps_to_what_is_asked_of_others(small):
    check_dataset(small)


def test_images_are_whole_grey_levels_the_same_each_time(small):
    images = small.images([0, 5, 23_999, 5])
    assert torch.equal(images, (images * 255).round() / 255)
    assert torch.equal(images[1], images[3])
    assert torch.equal(images, datasets.load("shapes3d").images(np.array([0, 5, 23_999, 5])))
    assert torch.equal(images, small.images([0, 5, 23_999, 5], generator=torch.Generator()))


def test_a_view_is_the_same_whatever_else_is_rendered(request):
    expected = images_of([[3, 1, 4, 7, 2, 14], [9, 9, 9, 0, 1, 7]])
    small = request.getfixturevalue("small")  # whose ends of scale and orientation are those of the whole grid
    assert torch.equal(small.images(small.indices([[3, 1, 4, 1, 2, 2], [9, 9, 9, 0, 1, 1]])), expected)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real images beside the repository")
def test_thirty_real_images():
    with np.load(REAL, allow_pickle=False) as real:
        expected, labels = real["images"].astype(float), real["labels"].astype(int)

    def errors(labels):
        rendered = images_of(labels).permute(0, 2, 3, 1).numpy() * 255
        # The outermost pixels are blended with a margin.
        return np.abs(rendered - expected)[:, 1:-1, 1:-1].mean((1, 2, 3))

    # Labels were read off the images, with too small a cylinder in mind: its scale may be told one too high.
    smaller = labels.copy()
    smaller[:, 3] -= (labels[:, 4] == scene.CYLINDER) & (labels[:, 3] > 0)
    as_told, best = errors(labels), np.minimum(errors(labels), errors(smaller))
    print("mean absolute error in grey levels:", as_told.mean(), "with cylinders' scales set right:", best.mean())
    assert as_told.mean() < 1.2
    assert best.mean() < 0.7
    assert best.max() < 1.2


def test_statistics_of_the_whole_set():
    # Every hue of floor, wall and object once in each of a tenth of the views, that meet all values of the others.
    views = np.arange(3, 480, 11)
    hues = np.arange(10)
    factors = [[h, (h + 3 * v) % 10, (h + 7 * v) % 10, *np.unravel_index(v, (8, 4, 15))] for v in views for h in hues]
    images = images_of(factors)
    means, stds = images.mean((0, 2, 3)).numpy(), images.flatten(2).std(2).mean(0).numpy()
    print("channel means", means, "mean of images' standard deviations", stds)
    assert np.abs(means - PUBLISHED_MEANS).max() < 0.002
    assert np.abs(stds - PUBLISHED_STDS).max() < 0.003


def test_images_are_the_scene_coloured_and_shrunk():
    factors = [[9, 2, 0, 7, 1, 11], [3, 8, 5, 0, 3, 0], [0, 4, 7, 5, 2, 14], BASE]
    for image, row in zip(images_of(factors), factors, strict=True):
        shading = scene.shade(view_of(row))
        colours = np.array([(0, 0, 0), *(colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in row[:3])])
        picture = colours[shading.surface] * shading.light[..., None] + shading.gloss[..., None]
        picture[shading.surface == scene.SKY] = np.array([153, 226, 249]) / 255
        for ours, channel in zip(image.numpy(), np.moveaxis(picture.clip(0, 1), 2, 0), strict=True):
            large = Image.fromarray((255 * channel).astype(np.float32))
            shrunk = np.asarray(large.resize((64, 64), Image.Resampling.LANCZOS)).clip(0, 255)
            # Whole levels, and less by up to a quarter a part where surfaces meet.
            difference = np.abs(ours * 255 - shrunk)
            assert difference.max() < 1.25
            assert (difference > 0.501).mean() < 0.04


@pytest.mark.parametrize(
    ("factor", "surface"), [("floor_hue", scene.FLOOR), ("wall_hue", scene.WALL), ("object_hue", scene.OBJECT)]
)
def test_a_hue_changes_its_surface_alone(factor, surface):
    before, after = changed(**{factor: 6})
    differs = (before != after).any(0).numpy()
    share = covered(view_of(BASE), surface)
    assert not differs[np.abs(share) < 1e-9].any()
    assert differs[share > 0.9].all()


def test_hues_are_tenths_of_the_circle():
    expected = [colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in range(10)]
    assert np.allclose(shapes.HUES / (shapes.LEVELS - 1), expected)


def test_scale_makes_the_object_larger():
    for shape in range(4):
        areas = [covered(view_of((0, 0, 0, scale, shape, 7)), scene.OBJECT).sum() for scale in (0, 3, 7)]
        assert areas[0] * 1.3 < areas[1] < areas[2] / 1.3


def test_shapes_are_in_the_published_order():
    cube, cylinder, ball, capsule = (covered(view_of((0, 0, 0, 4, shape, 7)), scene.OBJECT) > 0.5 for shape in range(4))
    tall = [shape.any(1).sum() for shape in (cube, cylinder, ball, capsule)]
    wide = [shape.any(0).sum() for shape in (cube, cylinder, ball, capsule)]
    assert tall[3] > 1.6 * wide[3]
    assert all(abs(tall[k] - wide[k]) <= 5 for k in range(3))
    # What each covers of the rectangle around it; a cylinder's lower edge is round.
    shares = [shape.sum() / (t * w) for shape, t, w in zip((cube, cylinder, ball), tall[:3], wide[:3], strict=True)]
    assert shares[0] > shares[1] > shares[2]
    assert abs(shares[2] - np.pi / 4) < 0.03


def test_the_first_orientation_shows_the_right_back_corner_the_last_the_left():
    left, right = images_of([(0, 0, 0, 0, 0, 14), (0, 0, 0, 0, 0, 0)])[:, 0, 28]
    # The wall across the corner is turned away from the camera, and dark.
    assert left[2] < 0.9 * left[32]
    assert right[61] < 0.9 * right[32]
    assert left[61] > left[2]
    assert right[2] > right[61]


def test_shadow_falls_to_the_right_away_from_the_lamp():
    floor = changed(floor_hue=0, scale=7)[1][0].numpy()
    assert floor[58, 56] > floor[58, 8:14].mean() / 2 > 0
    dark = np.argwhere((covered(view_of((0, 0, 0, 7, 0, 7)), scene.FLOOR) > 0.99) & (floor < 0.5) & (floor > 0.2))
    assert len(dark) > 5
    assert dark[:, 1].min() > 32


def test_views_are_rendered_in_the_order_of_the_index(monkeypatch):
    views = []

    def quick(view):
        views.append(view)
        return np.zeros((shapes.ROWS, shapes.PIXELS**2), np.float16)

    monkeypatch.setattr(shapes, "render_view", quick)
    monkeypatch.setattr(shapes, "Parallel", lambda **_: lambda jobs: (job(*given) for job, given, _ in jobs))
    assert [block.shape for block in shapes.render()] == [(shapes.ROWS, 2 * shapes.PIXELS**2)] * 480
    assert views == [view_of(row) for row in datasets.load("shapes3d").factors(range(480)).tolist()]
