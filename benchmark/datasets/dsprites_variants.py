"""dSprites with a drawn part: a colour, noise, a crop of a painting, or the shape.

Reference: Locatello et al. 2019, "Challenging common assumptions in the unsupervised learning of disentangled
representations", whose recipes these are: what is drawn is drawn anew whenever an image is asked for, in training and
in scoring alike. Uniform numbers are whole bytes divided by 255.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmark.datasets import About, register
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.drawn import DrawnDataset, random_below, random_bytes
from benchmark.datasets.dsprites import PUBLISHED_FILE, RENDERING_VERSION
from benchmark.datasets.dsprites import dsprites as plain_dsprites
from benchmark.errors import UsageError, one_line

PAINTING = "The_Scream.jpg"
PAINTING_BOX = (350, 274)  # width and height into which the study shrinks it, its proportions kept
BACKGROUND_SIZE = (274, 215)  # height and width of our own, as the study's painting has them
COLOUR, NOISE, CROP, SHAPE = range(4)  # purposes of random numbers
LEVEL = 1 / 255  # which bytes are multiplied by, as a GPU does not round a division as a CPU does

# What our own background goes through, from dark to bright: a painting's blues, browns and oranges.
PALETTE = ((24, 32, 52), (52, 74, 104), (96, 100, 92), (122, 84, 52), (178, 104, 48), (214, 148, 84), (228, 190, 140))
BANDS = 5.0  # of the palette, forth and back, down the background
SWIRLS = ((1.1, 0.6, 0.0), (-1.9, 1.3, 1.7), (2.7, 2.3, 4.1), (4.3, -3.1, 2.6), (-6.7, 5.9, 0.9))  # waves across, down

SPRITE_DATA = "dSprites' 26 MB, where it is there; else sprites are rendered"


class SpriteVariant(DrawnDataset):
    """Sprites of a plain data set with something drawn.

    Args:
        name: the name that `benchmark.datasets.load` knows.
        plain: binary images (1, H, W), whose factors these are too.
        channels: of the images that are made of them.
    """

    def __init__(
        self,
        name: str,
        plain: FactorDataset,
        channels: int = 3,
        source: str = "",
        factors: dict[str, int] | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        factors = factors or dict(zip(plain.factor_names, plain.factor_sizes, strict=True))
        shape = (channels, *plain.image_shape[1:])
        super().__init__(name, source or plain.source, factors, shape, plain.device, (*plain.remarks, *remarks))
        self.plain = plain

    @property
    def memory(self) -> int:
        return self.plain.memory

    def prepare(self, progress: bool = False) -> None:
        """Make the sprites ready."""
        self.plain.prepare(progress)


class ColouredSprites(SpriteVariant):
    """A sprite of one colour, each channel uniform in [0.5, 1], on black."""

    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        colour = 0.5 + random_bytes(keys, 3, COLOUR).float() * (LEVEL / 2)
        return self.plain.images(indices) * colour[:, :, None, None]


class NoisySprites(SpriteVariant):
    """A white sprite on noise that is uniform in each pixel and channel: min(sprite + noise, 1)."""

    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        noise = random_bytes(keys, 3 * self.image_shape[1] * self.image_shape[2], NOISE)
        sprites = self.plain.images(indices).to(torch.uint8).neg_()  # a pixel that is on becomes the byte 255
        return noise.view(-1, *self.image_shape).bitwise_or(sprites).float().mul_(LEVEL)


class SpritesOnPicture(SpriteVariant):
    """A random crop of a picture, mixed half and half with a random colour, and inverted where the sprite is.

    Args:
        picture: uint8 (H, W, 3), larger than the sprites' images.
        given: what `SpriteVariant` takes.
    """

    def __init__(self, picture: np.ndarray, name: str, plain: FactorDataset, **given: object) -> None:
        super().__init__(name, plain, **given)  # type: ignore[arg-type]
        half = torch.from_numpy(picture).permute(2, 0, 1).contiguous().float().div(510).to(self.device)
        _, height, width = self.image_shape
        self._crops = half.unfold(1, height, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4)  # by first row and column

    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        # As the study has it, the last row and the last column are never where a crop begins.
        rows, columns = (starts - 1 for starts in self._crops.shape[:2])
        places = random_below(keys, rows * columns, CROP)
        colour = random_bytes(keys, 3, COLOUR).float() * (LEVEL / 2)
        images = self._crops[places // columns, places % columns].add_(colour[:, :, None, None])
        return images.sub_(self.plain.images(indices)).abs_()  # x off the sprite, 1 - x on it


class ShapelessSprites(SpriteVariant):
    """Sprites whose shape is drawn and no factor.

    Args:
        plain: sprites whose first factor is the shape.
    """

    def __init__(self, name: str, plain: FactorDataset, **given: object) -> None:
        factors = dict(zip(plain.factor_names[1:], plain.factor_sizes[1:], strict=True))
        super().__init__(name, plain, channels=1, factors=factors, **given)  # type: ignore[arg-type]

    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        shapes = random_below(keys, self.plain.factor_sizes[0], SHAPE)
        return self.plain.images(indices + len(self) * shapes)


def load_sprites(device: str, data_dir: Path | None) -> FactorDataset:
    """DSprites: published where the folder holds the file, else rendered, as a folder may hold the painting alone."""
    holds = data_dir is not None and (data_dir / PUBLISHED_FILE).is_file()
    return plain_dsprites(device, data_dir if holds else None)


def read_painting(path: Path) -> np.ndarray:
    """The painting as the study shrinks it, uint8 (H, W, 3).

    Raises:
        UsageError: the file cannot be read as a picture, or is too small.
    """
    try:
        with Image.open(path) as picture:
            picture.thumbnail(PAINTING_BOX)
            pixels = np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(one_line(f"{path} cannot be read as a picture ({error}).")) from error
    if min(pixels.shape[:2]) < 66:
        told = f"{pixels.shape[1]} x {pixels.shape[0]} pixels in {PAINTING_BOX[0]} x {PAINTING_BOX[1]}"
        raise UsageError(f"{path} is too small ({told}); crops of 64 x 64 are taken of it.")
    return pixels


def paint_background(size: tuple[int, int] = BACKGROUND_SIZE) -> np.ndarray:
    """Our own background, uint8 (H, W, 3): bands of a painting's colours, bent by waves that bend one another."""
    down, across = (np.linspace(0, 1, length) for length in size)
    x, y = np.broadcast_to(across, size), np.broadcast_to(down[:, None], size)
    for waves_across, waves_down, phase in SWIRLS:
        angle = 2 * np.pi * (waves_across * x + waves_down * y) + phase
        strength = 0.16 / np.hypot(waves_across, waves_down)
        x, y = x + strength * np.sin(angle), y + strength * np.cos(angle)
    position = (len(PALETTE) - 1) * (0.5 - 0.5 * np.cos(2 * np.pi * BANDS / 2 * y + 3 * np.sin(2 * np.pi * x)))
    channels = [np.interp(position, np.arange(len(PALETTE)), levels) for levels in np.array(PALETTE).T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


COLOUR_REMARK = "The sprite's colour is drawn for each image and no factor."
NOISE_REMARK = "The noise is drawn for each image and no factor: no code reconstructs it."
SHAPE_REMARK = "The shape is drawn for each image and no factor."
PAINTING_REMARK = (
    f"The background is {PAINTING} where the folder of data has it (its source says scream), else one of our own "
    "(own-background), on which scores are not those of the study's set; its crop and tint are drawn for each image."
)
STUDY = "one of the study's seven sets"
SPRITES_LICENCE = "Apache 2.0; the rendering is ours"


@register(
    "dsprites_colour",
    RENDERING_VERSION,
    About(f"{STUDY}: a nuisance that is one colour an image", SPRITES_LICENCE, PUBLISHED_FILE, SPRITE_DATA),
)
def dsprites_colour(device: str = "cpu", data_dir: Path | None = None) -> ColouredSprites:
    """dSprites in a random colour: five factors, 737,280 combinations."""
    return ColouredSprites("dsprites_colour", load_sprites(device, data_dir), remarks=(COLOUR_REMARK,))


@register(
    "dsprites_noisy",
    RENDERING_VERSION,
    About(f"{STUDY}: a nuisance that no code can hold", SPRITES_LICENCE, PUBLISHED_FILE, SPRITE_DATA),
)
def dsprites_noisy(device: str = "cpu", data_dir: Path | None = None) -> NoisySprites:
    """dSprites, white on random noise: five factors, 737,280 combinations."""
    return NoisySprites("dsprites_noisy", load_sprites(device, data_dir), remarks=(NOISE_REMARK,))


@register(
    "dsprites_scream",
    RENDERING_VERSION,
    About(
        f"{STUDY}: a nuisance that looks like a world",
        f"{SPRITES_LICENCE}, as is the background; the painting (E. Munch, 1893) is in the public domain",
        PAINTING,
        f"Wikimedia Commons; besides {PUBLISHED_FILE}, {SPRITE_DATA}",
    ),
)
def dsprites_scream(device: str = "cpu", data_dir: Path | None = None) -> SpritesOnPicture:
    """dSprites, inverting a random crop of a painting that is mixed with a random colour: five factors."""
    plain = load_sprites(device, data_dir)
    painting = data_dir / PAINTING if data_dir else None
    if painting and painting.is_file():
        picture, background = read_painting(painting), "scream"
    else:
        picture, background = paint_background(), "own-background"
    source = f"{plain.source}-{background}"
    return SpritesOnPicture(picture, "dsprites_scream", plain, source=source, remarks=(PAINTING_REMARK,))


@register(
    "dsprites_noshape",
    RENDERING_VERSION,
    About("the study's dSprites whose shape is a nuisance", SPRITES_LICENCE, PUBLISHED_FILE, SPRITE_DATA),
)
def dsprites_noshape(device: str = "cpu", data_dir: Path | None = None) -> ShapelessSprites:
    """dSprites whose shape is drawn: four factors, 245,760 combinations."""
    return ShapelessSprites("dsprites_noshape", load_sprites(device, data_dir), remarks=(SHAPE_REMARK,))
