"""Pictures of any size as images of 64 x 64 pixels: decoded and brought to that size by a stated filter."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed
from rich.progress import track

from benchmark.datasets.files import reading

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS = 64
BLOCK = 256  # pictures that are decoded at a time
MOST_PIXELS = 2**26  # of a picture: below what Pillow takes for a decompression bomb
MOST_BYTES = 2**28  # of a picture's file


@dataclass(frozen=True)
class Manner:
    """How a picture becomes an image.

    Attributes:
        mode: "RGB", or "L": grey.
        filter: "lanczos" or "bicubic", both widened when they shrink, so that nothing aliases.
        box: what is taken of it: left, upper, right and lower edge, in pixels; None: all.
        formats: those that are read, as Pillow calls them.
    """

    mode: str
    filter: str
    box: tuple[int, int, int, int] | None = None
    formats: tuple[str, ...] = ("PNG", "JPEG")


def resize(picture: "Image", kind: str) -> np.ndarray:
    """The picture stretched to 64 x 64 pixels by a filter: uint8 (64, 64, C), clipped to 0 .. 255."""
    from PIL import Image

    if picture.size != (PIXELS, PIXELS):
        picture = picture.resize((PIXELS, PIXELS), Image.Resampling[kind.upper()])
    return np.asarray(picture).reshape(PIXELS, PIXELS, -1)


def resize_all(images: np.ndarray, kind: str) -> np.ndarray:
    """Images uint8 (N, H, W, C), stretched to (N, 64, 64, C), each channel by itself."""
    from PIL import Image

    if images.shape[1:3] == (PIXELS, PIXELS):
        return images
    channels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    resized = [np.concatenate([resize(Image.fromarray(own), kind) for own in image], axis=2) for image in channels]
    return np.stack(resized)


def decode(content: bytes, manner: Manner) -> np.ndarray:
    """The image uint8 (64, 64, C) of a picture's file.

    Raises:
        Exception: the file is damaged, too large, or in another format.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=manner.formats) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(f"it has {picture.width:,} x {picture.height:,} pixels, {MOST_PIXELS:,} at most are read")
        whole = flatten(picture, manner.mode)
    if manner.box is None:
        return resize(whole, manner.filter)
    if manner.box[2] > whole.width or manner.box[3] > whole.height:
        raise ValueError(f"it has {whole.width} x {whole.height} pixels, too few to cut {manner.box} out")
    return resize(whole.crop(manner.box), manner.filter)


def flatten(picture: "Image", mode: str) -> "Image":
    """The picture's colours or grey levels; what is transparent lies on black."""
    from PIL import Image

    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, (0, 0, 0, 255)), clear)
    return picture.convert(mode)


def decode_all(
    sizes: Mapping[str, int], read: Callable[[str], bytes], manner: Manner, title: str, progress: bool = False
) -> Iterator[np.ndarray]:
    """Images of pictures, in the order in which they are given, in blocks uint8 (B, 64, 64, C).

    Args:
        sizes: of the pictures' files, in bytes, by their names.
        read: gives a picture's file by its name; called in several threads.
        title: shown before the bar of progress.

    Raises:
        UsageError: a picture cannot be read; it is named.
    """

    def decode_one(name: str) -> np.ndarray:
        with reading(f"picture {name}", "one that can be read"):
            if sizes[name] > MOST_BYTES:
                raise ValueError(f"it has {sizes[name]:,} bytes")
            return decode(read(name), manner)

    def decode_block(start: int) -> np.ndarray:
        return np.stack([decode_one(name) for name in names[start : start + BLOCK]])

    names = [*sizes]
    starts = range(0, len(names), BLOCK)
    jobs = (delayed(decode_block)(start) for start in starts)
    blocks: Iterable[np.ndarray] = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    yield from track(blocks, title, len(starts), disable=not progress)
