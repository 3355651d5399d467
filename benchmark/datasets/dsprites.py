"""dSprites: 737,280 binary images of one sprite, rendered from its geometry or read from the published file.

Reference: Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing Sprites
dataset", 2017. The outlines here were fitted to labelled images of the published file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from rich.progress import track

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import Member, digest_of, find_member, find_or_render, reading, rows_of_block, stream_rows
from benchmark.datasets.packed import PackedDataset

PUBLISHED_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
RENDERING_VERSION = 1
PIXELS = 64
SUBPIXELS = 16  # samples along each side of a pixel
REACH = 20  # pixels from a sprite's centre that it never leaves (the ellipse's half-axis is 12.82)
# Pixel coordinates of the sprite's centre: offset + 32.05 * position, position in [0, 1].
CENTRE_X, CENTRE_Y, TRAVEL = 15.48, 15.50, 32.05


@dataclass(frozen=True)
class Grid:
    """The values that each factor takes (shape: 0 square, 1 ellipse, 2 heart)."""

    scales: np.ndarray
    orientations: np.ndarray  # radians
    positions_x: np.ndarray
    positions_y: np.ndarray

    @property
    def factors(self) -> dict[str, int]:
        """Names and sizes, in the published file's order."""
        return {
            "shape": 3,
            "scale": len(self.scales),
            "orientation": len(self.orientations),
            "position_x": len(self.positions_x),
            "position_y": len(self.positions_y),
        }


FULL = Grid(np.linspace(0.5, 1, 6), np.linspace(0, 2 * np.pi, 40), np.linspace(0, 1, 32), np.linspace(0, 1, 32))
# Every tenth orientation: 0, 92, 185 and 277 degrees.
MINI = Grid(np.linspace(0.5, 1, 2), FULL.orientations[::10], np.linspace(0, 1, 4), np.linspace(0, 1, 4))

FULL_REMARK = (
    "Orientations 0 and 39 are one image (0 and 360 degrees), so that no code tells these 2 of the 40 values apart, "
    "and a square looks nearly the same every 90 degrees, an ellipse every 180: "
    "codes of images, however good, score lower on orientation than the true factors."
)
MINI_REMARK = (
    "The 4 orientations are nearly a quarter turn apart, so that a square looks nearly the same at all of them "
    "and an ellipse at every second: codes of images score low on orientation."
)


def _inside_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.abs(u) <= 9.66) & (np.abs(v) <= 9.66)


def _inside_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / 12.82) ** 2 + (v / 7.27) ** 2 <= 1


def _heart_outline(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The heart's outline at the angles t: the classic heart curve's harmonics with fitted coefficients.

    t = 0 is the notch, t = pi the tip; v grows towards the tip.
    """
    u = 7.312 * np.sin(t) - 2.374 * np.sin(3 * t)
    v = -1.503 - 8.799 * np.cos(t) + 3.370 * np.cos(2 * t) + 1.069 * np.cos(3 * t) + 0.734 * np.cos(4 * t)
    return u, v


def _inside_heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # |u| grows from notch to flank and falls from flank to tip, so each half of the outline is a function of |u|.
    notch_side = np.linspace(0, np.pi / 2, 512)
    width, upper = _heart_outline(notch_side)
    _, lower = _heart_outline(np.pi - notch_side)
    across = np.abs(u)
    return (across <= width[-1]) & (np.interp(across, width, upper) <= v) & (v <= np.interp(across, width, lower))


INSIDE = (_inside_square, _inside_ellipse, _inside_heart)


def _covered(shape: int, scale: float, orientation: float) -> np.ndarray:
    """Whether a pixel is on, by where its centre lies from the sprite's, in steps of 1 / SUBPIXELS.

    Entry (SUBPIXELS * (REACH + dy), SUBPIXELS * (REACH + dx)) is true where the pixel at
    (dx, dy) from the sprite's centre is covered for more than one half.
    """
    offsets = (np.arange(-(REACH + 0.5) * SUBPIXELS, (REACH + 0.5) * SUBPIXELS) + 0.5) / SUBPIXELS / scale
    x, y = offsets[None, :], offsets[:, None]
    cos, sin = np.cos(orientation), np.sin(orientation)
    inside = INSIDE[shape](cos * x - sin * y, sin * x + cos * y)
    # The sum over each window of SUBPIXELS x SUBPIXELS samples, from a two-dimensional running sum.
    total = np.zeros((len(offsets) + 1,) * 2, np.int32)
    inside.cumsum(0, dtype=np.int32).cumsum(1, out=total[1:, 1:])
    s = SUBPIXELS
    window = total[s:, s:] - total[:-s, s:] - total[s:, :-s] + total[:-s, :-s]
    return window > SUBPIXELS**2 / 2


def _sample_places(centres: np.ndarray, size: int) -> np.ndarray:
    """Where each pixel's entry in `_covered` lies, for each centre: (centres, PIXELS)."""
    places = np.rint((np.arange(PIXELS) - centres[:, None] + REACH) * SUBPIXELS)
    return places.clip(0, size - 1).astype(np.intp)


def _render_block(grid: Grid, shape: int, scale: float) -> np.ndarray:
    """Packed images of one shape at one scale: uint8 (images, PIXELS^2 / 8), last factor fastest."""
    block = []
    for orientation in grid.orientations:
        covered = _covered(shape, scale, orientation)
        rows = _sample_places(CENTRE_Y + TRAVEL * grid.positions_y, len(covered))
        columns = _sample_places(CENTRE_X + TRAVEL * grid.positions_x, len(covered))
        pixels = covered.take(rows.ravel(), axis=0).take(columns.ravel(), axis=1)
        bits = np.packbits(pixels, axis=1)
        by_position = bits.reshape(len(rows), PIXELS, len(columns), PIXELS // 8).transpose(2, 0, 1, 3)
        block.append(by_position.reshape(-1, PIXELS**2 // 8))
    return np.concatenate(block)


def render(grid: Grid, progress: bool = False) -> Iterator[np.ndarray]:
    """All images of the grid, packed, in blocks of rows in the order of the index.

    A pixel (centres at integers 0 .. 63, rows growing downward) is on where the sprite
    covers more than half of it, by SUBPIXELS^2 samples a pixel.
    """
    pairs = list(product(range(len(INSIDE)), grid.scales))
    jobs = (delayed(_render_block)(grid, shape, scale) for shape, scale in pairs)
    blocks: Iterable[np.ndarray] = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    yield from track(blocks, "Rendering dSprites (once)", len(pairs), disable=not progress)


def read_published(path: Path, grid: Grid = FULL, progress: bool = False) -> Iterator[np.ndarray]:
    """All images of a published file, packed, in blocks of rows; nothing in it is executed.

    Only `imgs` and `latents_classes` are read, never the pickled `metadata`.

    Raises:
        UsageError: the file is damaged, truncated or not dSprites.
    """
    images = prod(grid.factors.values())
    with reading(path, f"the published dSprites, {PUBLISHED_FILE}"):
        _refuse_other_member(find_member(path, "latents_classes"), (images, 6), np.int64)
        classes = np.concatenate([*stream_rows(path, "latents_classes")])
        expected = np.stack(np.unravel_index(np.arange(images), tuple(grid.factors.values())), axis=1)
        if not (np.array_equal(classes[:, 1:], expected) and not classes[:, 0].any()):
            raise ValueError("latents_classes is in another order")
        _refuse_other_member(find_member(path, "imgs"), (images, PIXELS, PIXELS), np.uint8)
        blocks = -(-images // rows_of_block(PIXELS**2))
        for pixels in track(stream_rows(path, "imgs"), "Reading dSprites (once)", blocks, disable=not progress):
            if pixels.max() > 1:
                raise ValueError("imgs holds values other than 0 and 1")
            yield np.packbits(pixels).reshape(-1, PIXELS**2 // 8)


def _refuse_other_member(member: Member, shape: tuple[int, ...], kind: type[np.generic]) -> None:
    if member.shape != shape or member.dtype != kind:
        raise ValueError(f"an array is {member.dtype} {member.shape}, where {kind.__name__} {shape} is needed")


def _load(name: str, grid: Grid, published: Path | None, device: str, remark: str) -> PackedDataset:
    shape = (prod(grid.factors.values()), PIXELS**2 // 8)

    def open_bits(progress: bool) -> np.ndarray:
        if published is None:
            return cached_rows(f"{name}-rendered-v{RENDERING_VERSION}", shape, lambda: render(grid, progress))
        key = f"{name}-published-{digest_of(published)[:16]}"
        return cached_rows(key, shape, lambda: read_published(published, grid, progress))

    source = "published" if published else "rendered"
    return PackedDataset(open_bits, name, source, grid.factors, (1, PIXELS, PIXELS), device, (remark,))


ABOUT = About(
    "the set that the study and most papers before 2020 compare on: one sprite, five factors",
    "Apache 2.0; the rendering is ours",
    PUBLISHED_FILE,
    "DeepMind's dsprites-dataset, 26 MB",
)


@register("dsprites", RENDERING_VERSION, ABOUT)
def dsprites(device: str = "cpu", data_dir: Path | None = None) -> PackedDataset:
    """737,280 images: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions."""
    return _load("dsprites", FULL, find_or_render(PUBLISHED_FILE, data_dir), device, FULL_REMARK)


@register("dsprites_mini", RENDERING_VERSION, About("trying things out, and tests", "ours"))
def dsprites_mini(device: str = "cpu", data_dir: Path | None = None) -> PackedDataset:
    """384 images from the same renderer, for trying things out: 3 shapes, 2 scales, 4 orientations, 4 x 4 positions."""
    return _load("dsprites_mini", MINI, None, device, MINI_REMARK)
