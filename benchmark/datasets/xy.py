"""Squares on black whose images are computed from their factors: no files, and hardly any memory.

Reference: Michlo, Klein and James 2023, "Overlooked implications of the reconstruction loss for VAE disentanglement",
and their library disent, whose geometry this is.
"""

from pathlib import Path

import torch
from torch import Tensor

from benchmark.datasets import About, register
from benchmark.datasets.base import FactorDataset, Indices

PIXELS = 64
SQUARE = 8  # pixels along a side of xy_squares' squares, and from one place to the next
SIZES = (7, 9, 11, 13, 15)  # pixels along a side of xy_object's square
STEP = 2  # pixels from one of its places to the next
PLACES = (PIXELS - max(SIZES)) // STEP + 1
RAINBOW = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))  # red, yellow, green, cyan, blue, magenta
SHADES = 4  # of each, the darkest first


def spans(firsts: Tensor, lengths: Tensor | int, device: torch.device) -> Tensor:
    """A table (rows, PIXELS), float32: 1 from each row's first pixel on over its length, else 0."""
    distance = torch.arange(PIXELS) - firsts[:, None]
    return ((distance >= 0) & (distance < torch.as_tensor(lengths).reshape(-1, 1))).float().to(device)


class XYSquares(FactorDataset):
    """A red, a green and a blue square of 8 x 8 pixels, each at one of 8 x 8 places that do not overlap."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        factors = {f"{axis}_{colour}": PIXELS // SQUARE for colour in "RGB" for axis in "xy"}
        super().__init__("xy_squares", "rendered", factors, (3, PIXELS, PIXELS), device, (SQUARES_REMARK,))
        self._spans = spans(torch.arange(0, PIXELS, SQUARE), SQUARE, self.device)

    @property
    def memory(self) -> int:
        return 0  # as images are computed

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, 3, H, W) of zeros and ones, a square a channel."""
        places = self._spans[self.factors(self._on_device(indices))].view(-1, 3, 2, PIXELS)
        return places[:, :, 1, :, None] * places[:, :, 0, None, :]


class XYObject(FactorDataset):
    """One square of five sizes in one of 24 colours, at one of 25 x 25 places."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        colours = torch.tensor(RAINBOW) * (255 * torch.arange(1, SHADES + 1) // SHADES)[:, None, None]
        self._colours = (colours.view(-1, 3).float() / 255).to(device)
        factors = {"x": PLACES, "y": PLACES, "scale": len(SIZES), "colour": len(self._colours)}
        super().__init__("xy_object", "rendered", factors, (3, PIXELS, PIXELS), device, (OBJECT_REMARK,))
        sizes = torch.tensor(SIZES).repeat(PLACES)
        firsts = STEP * torch.arange(PLACES).repeat_interleave(len(SIZES)) + (max(SIZES) - sizes) // 2
        self._spans = spans(firsts, sizes, self.device)  # by place and size

    @property
    def memory(self) -> int:
        return 0  # as images are computed

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, 3, H, W), whole grey levels divided by 255."""
        x, y, scale, colour = self.factors(self._on_device(indices)).T
        columns, rows = (self._spans[place * len(SIZES) + scale] for place in (x, y))
        coloured = self._colours[colour][:, :, None] * rows[:, None, :]
        return coloured[..., None] * columns[:, None, None, :]


SQUARES_REMARK = (
    "Squares at neighbouring places do not overlap, so that all pairs of values of a factor are equally far apart "
    "in pixels: what a reconstruction loss tells of their order is nothing."
)
OBJECT_REMARK = "Colour counts four shades of six hues as one factor of 24 values, which need not be held in one code."


@register("xy_squares", about=About("whether a method disentangles where pixels tell no distances", "ours"))
def xy_squares(device: str = "cpu", data_dir: Path | None = None) -> XYSquares:
    """262,144 images of three squares: six factors of 8 places each (disent's XYSquares)."""
    return XYSquares(device)


@register("xy_object", about=About("the same simple world where squares do overlap; quick, in colour", "ours"))
def xy_object(device: str = "cpu", data_dir: Path | None = None) -> XYObject:
    """75,000 images of one square: 25 x 25 places, 5 sizes, 24 colours (disent's XYObject)."""
    return XYObject(device)
