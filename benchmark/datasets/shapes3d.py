"""Shapes3D: 480,000 pictures of an object in a room, rendered from a scene that was fitted to published images.

Reference: Burgess and Kim, "3D Shapes Dataset", 2018, https://github.com/deepmind/3d-shapes (Apache 2.0).
The scene itself was never published; what is known of it here was fitted to 30 images in that repository's example.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from rich.progress import track
from torch import Tensor

from benchmark.datasets import About, register
from benchmark.datasets.base import FactorDataset, Indices
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import digest_of, find_or_render
from benchmark.datasets.packed import ByteDataset, OpenRows, RowDataset
from benchmark.datasets.shapes3d_file import read_shapes3d
from benchmark.datasets.shapes3d_scene import FLOOR, OBJECT, SAMPLES, SKY, WALL, Shading, View, shade

RENDERING_VERSION = 1
PIXELS = 64
CHANNELS = 3
# In the published file's order, slowest first.
FACTORS = {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15}
SCALES = np.linspace(0.75, 1.25, 8)
ORIENTATIONS = np.deg2rad(np.linspace(-30.15, 30.15, 15))  # labels say 30
SKY_COLOUR = np.array([153, 226, 249]) / 255
LOBES = 3  # of the Lanczos filter, to each side, in pixels of the small picture

LEVELS = 6  # a pure hue's channels are 0, 1/5 ... 5/5 where hues are tenths of the circle
# Channels of each hue (h / 10, saturation and value 1), in fifths: (10, 3).
HUES = (np.abs((3 * np.arange(10)[:, None] - [0, 10, 20]) % 30 - 15) - 5).clip(0, 5)

# A view's rows: the floor at each level, the object at each level, and the wall at each level below each channel's sky.
FLOOR_ROWS, OBJECT_ROWS, WALL_ROWS = 0, LEVELS, 2 * LEVELS
ROWS = (2 + CHANNELS) * LEVELS
STEPS = 4  # of a stored row to one grey level: float16 holds all such values and sums below 512

REMARK = (
    "Rendered, so not the published set: a scene fitted to 30 of its images, from which the rendering differs "
    "by less than one grey level of 255 on average."
)


class LayeredDataset(RowDataset):
    """Coloured pictures whose surfaces are added up: shrinking a picture is linear, so each surface is shrunk alone.

    Rows are the surfaces, float16 (views * ROWS, PIXELS^2) in grey levels, views in the order of the index.
    """

    def __init__(self, name: str, open_rows: OpenRows, device: torch.device | str, remarks: tuple[str, ...]) -> None:
        super().__init__(open_rows, name, "rendered", FACTORS, (CHANNELS, PIXELS, PIXELS), device, remarks)
        self._levels = torch.from_numpy(HUES).to(self.device)
        self._wall_rows = self._levels * CHANNELS + torch.arange(CHANNELS, device=self.device) + WALL_ROWS

    @property
    def memory(self) -> int:
        return prod(self.factor_sizes[CHANNELS:]) * ROWS * 2 * PIXELS**2

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, 3, 64, 64) of whole grey levels / 255; nothing is drawn."""
        total = torch.nn.functional.embedding_bag(self._rows_of(self._on_device(indices)), self.rows, mode="sum")
        return total.float().floor_().clamp_(0, 255).div_(255).view(-1, *self.image_shape)

    def _rows_of(self, indices: Tensor) -> Tensor:
        """The rows of floor, wall and object that each channel of the images at the indices (B,) adds up: (3 B, 3)."""
        views = prod(self.factor_sizes[3:])
        floor, wall, thing = (indices // (views * 10**k) % 10 for k in (2, 1, 0))
        rows = [FLOOR_ROWS + self._levels[floor], self._wall_rows[wall], OBJECT_ROWS + self._levels[thing]]
        return (torch.stack(rows, dim=2) + (indices % views * ROWS)[:, None, None]).flatten(0, 1)


def shrinking() -> np.ndarray:
    """What shrinks a column of samples to one of pixels, by Lanczos' filter: (PIXELS, SAMPLES), rows sum to 1."""
    ratio = SAMPLES / PIXELS
    offsets = (np.arange(SAMPLES) + 0.5) / ratio - (np.arange(PIXELS)[:, None] + 0.5)
    weights = np.sinc(offsets) * np.sinc(offsets / LOBES) * (np.abs(offsets) < LOBES)
    return weights / weights.sum(1, keepdims=True)


def colour(shading: Shading, surface: int, level: float) -> np.ndarray:
    """One channel of one surface before shrinking, 0 elsewhere, level 1 being full: (SAMPLES, SAMPLES) in [0, 1]."""
    return np.where(shading.surface == surface, np.minimum(1, level * shading.light + shading.gloss), 0)


def render_view(view: View) -> np.ndarray:
    """A view's surfaces in all their colours, shrunk: float16 (ROWS, PIXELS^2), in grey levels, to 1 / STEPS."""
    shading = shade(view)
    levels = np.arange(LEVELS) / (LEVELS - 1)
    layers = [colour(shading, surface, level) for surface in (FLOOR, OBJECT, WALL) for level in levels]
    down = shrinking()
    shrunk = down @ np.stack([*layers, shading.surface == SKY]) @ down.T
    floor, thing, wall = shrunk[:-1].reshape(3, LEVELS, PIXELS, PIXELS)
    below_sky = wall[:, None] + SKY_COLOUR[:, None, None] * shrunk[-1]
    # Half a grey level, so that cutting off the fraction of a sum rounds it. Rows are cut off too, which
    # leaves pixels of one surface exact; the least part keeps what is 0 but for rounding from falling below.
    rows = np.concatenate([floor, thing, below_sky.reshape(-1, PIXELS, PIXELS) + 0.5 / 255])
    return (np.floor(rows * 255 * STEPS + 1e-6) / STEPS).astype(np.float16).reshape(ROWS, PIXELS**2)


def render(progress: bool = False) -> Iterator[np.ndarray]:
    """The surfaces of all views in the order of the index, a view at a time, as bytes: uint8 (ROWS, 2 PIXELS^2)."""
    views = [View(*values) for values in product(SCALES, range(FACTORS["shape"]), ORIENTATIONS)]
    jobs = (delayed(render_view)(view) for view in views)
    blocks: Iterable[np.ndarray] = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    for block in track(blocks, "Rendering Shapes3D (once)", len(views), disable=not progress):
        yield block.view(np.uint8)


def open_surfaces(progress: bool = False) -> np.ndarray:
    """What `LayeredDataset` takes, from the cache."""
    views = prod([*FACTORS.values()][CHANNELS:])
    shape = (views * ROWS, 2 * PIXELS**2)
    return cached_rows(f"shapes3d-rendered-v{RENDERING_VERSION}", shape, lambda: render(progress)).view(np.float16)


def open_published(path: Path, progress: bool = False) -> np.ndarray:
    """The published images, uint8 (N, 64, 64, 3), from a cache of their own: 5.9 GB."""
    shape = (prod(FACTORS.values()), PIXELS, PIXELS, CHANNELS)
    return cached_rows(f"shapes3d-published-{digest_of(path)[:16]}", shape, lambda: read_shapes3d(path, progress))


ABOUT = About(
    "the coloured set that most papers since 2020 compare on: a room, six factors that images show clearly",
    "Apache 2.0; the rendering is ours",
    "3dshapes.h5",
    "DeepMind's 3d-shapes, 268 MB, kept as 5.9 GB",
)


@register("shapes3d", RENDERING_VERSION, ABOUT)
def shapes3d(device: str = "cpu", data_dir: Path | None = None) -> FactorDataset:
    """480,000 colour images: 10 hues each of floor, wall and object, 8 scales, 4 shapes, 15 orientations."""
    path = find_or_render(ABOUT.file, data_dir)
    if path is None:
        return LayeredDataset("shapes3d", open_surfaces, device, (REMARK,))
    shape = (CHANNELS, PIXELS, PIXELS)
    return ByteDataset(lambda progress: open_published(path, progress), "shapes3d", "published", FACTORS, shape, device)
