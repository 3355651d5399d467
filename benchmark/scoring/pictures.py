"""Pictures of a run, to be looked at beside its numbers: traversals and reconstructions."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from benchmark.datasets.base import FactorDataset
from benchmark.scoring.encoding import Rows
from benchmark.spec import format_settings
from benchmark.storage.store import RunFolder, write_atomically
from benchmark.training.pack import callable_networks
from methods.base import Method

TRAVERSED = np.linspace(-3, 3, 9)  # values of a latent, in standard deviations of the prior
PICTURED_IMAGES = 8
GAP = 2  # pixels between images
MARGIN = 96  # pixels left of a row of images, for its label
HEADER = 22  # pixels above a grid of images, for its title
COMPARED_A_ROW = 3  # runs whose pictures stand side by side on a sheet
COMPRESSION = 3  # of 9, which take three times as long for little
SOURCE = "Source"  # the key of a PNG's text
KINDS = ("traversals", "reconstructions", "reconstructions_unseen")


@torch.inference_mode()
def draw_pictures(
    method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows, unseen: Rows | None = None
) -> dict[str, np.ndarray]:
    """Images to look at, as bytes: originals and reconstructions (images, C, H, W), and traversals.

    Traversals are (D, values, C, H, W): latent j set to each of `TRAVERSED`, the others as the
    image with every factor at the middle of its range (of images that are no grid: the first) has
    them. Empty where the method cannot decode.

    Args:
        unseen: images of combinations that were held out, of which there are originals and reconstructions too.
    """
    called = callable_networks(networks, "fp32")
    pictures: dict[str, np.ndarray] = {}
    for ending, own in (("", rows), ("_unseen", unseen)):
        if own is None:
            continue
        _, places = own.batches(dataset, test=True)[0]
        originals = dataset.at(places[:PICTURED_IMAGES])
        try:
            reconstructions = method.decode(called, method.encode(called, originals))
        except NotImplementedError:
            return {}
        pictures[f"originals{ending}"] = _to_bytes(originals)
        pictures[f"reconstructions{ending}"] = _to_bytes(reconstructions)
    base = method.encode(called, dataset.images(_middle(dataset)))
    codes = base.repeat(base.shape[1], len(TRAVERSED), 1)
    for j in range(base.shape[1]):
        codes[j, :, j] = torch.as_tensor(TRAVERSED).to(codes)
    traversals = method.decode(called, codes.flatten(0, 1)).reshape(*codes.shape[:2], *dataset.image_shape)
    return pictures | {"traversals": _to_bytes(traversals)}


def _middle(dataset: FactorDataset) -> Tensor:
    """The index (1,) of an image to start from."""
    if dataset.table is not None:
        return torch.zeros(1, dtype=torch.long)
    return dataset.indices([[size // 2 for size in dataset.factor_sizes]])


def _to_bytes(images: Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).cpu().numpy()


def picture_run(folder: RunFolder, measures: Mapping[str, float]) -> None:
    """Draw what is stored in the run's `pictures.npz` beside it: `traversals.png`, `reconstructions.png` and so on."""
    for kind in KINDS:
        picture = draw_run(folder, measures, kind)
        if picture is not None:
            save_picture(picture, folder.path / f"{kind}.png")


def draw_run(folder: RunFolder, measures: Mapping[str, float], kind: str) -> Image.Image | None:
    """One kind of picture of a run; None where the method cannot decode."""
    stored = folder.read_arrays("pictures.npz")
    if kind == "traversals" and kind in stored:
        return draw_traversals(stored[kind], measures, _label(folder))
    _, reconstructions, ending = kind.partition("reconstructions")
    if reconstructions and kind in stored:
        return draw_reconstructions(stored[f"originals{ending}"], stored[kind], measures, _label(folder), ending[1:])
    return None


def draw_traversals(images: np.ndarray, measures: Mapping[str, float], label: str) -> Image.Image:
    """A row a latent, in descending order of KL: its value from -3 to 3, the others held.

    Args:
        images: (D, values, C, H, W), in the latents' own order.
    """
    kl = [measures.get(f"kl_per_latent_{j}") for j in range(len(images))]
    order = sorted(range(len(kl)), key=lambda j: -(kl[j] or 0.0))
    labels = [f"z{j}" if kl[j] is None else f"z{j}  {kl[j]:.2f} nats" for j in order]
    return _image_grid(images[order], labels, f"{label}: latent from {TRAVERSED[0]:g} to {TRAVERSED[-1]:g}")


def draw_reconstructions(
    originals: np.ndarray, reconstructed: np.ndarray, measures: Mapping[str, float], label: str, part: str = ""
) -> Image.Image:
    """Originals over their reconstructions, both (images, C, H, W).

    Args:
        part: of a world, of which the images are; empty: of the uniform grid.
    """
    loss = measures.get(f"reconstruction@{part}" if part else "reconstruction")
    suffix = f": {part} combinations" if part else ""
    suffix += "" if loss is None else f"{',' if part else ':'} reconstruction loss {loss:.0f} nats an image"
    return _image_grid(np.stack([originals, reconstructed]), ["original", "reconstructed"], label + suffix)


def draw_sheet(runs: Iterable[RunFolder], kind: str) -> Image.Image | None:
    """One kind of picture of several runs, side by side; None where none of them can decode."""
    drawn = [draw_run(run, run.read_json("scores.json").get("measures", {}), kind) for run in runs]
    pictures = [picture for picture in drawn if picture is not None]
    if not pictures:
        return None
    rows = [pictures[i : i + COMPARED_A_ROW] for i in range(0, len(pictures), COMPARED_A_ROW)]
    width, heights = max(picture.width for picture in pictures), [max(p.height for p in row) for row in rows]
    sheet = Image.new("RGB", (width * max(map(len, rows)), sum(heights)), "white")
    for row, top in zip(rows, np.cumsum([0, *heights]), strict=False):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * width, int(top)))
    return sheet


def save_picture(picture: Image.Image, path: Path, source: str = "") -> None:
    """Write the picture as a PNG that carries a digest of what it was drawn from."""
    content, told = io.BytesIO(), PngInfo()
    told.add_text(SOURCE, source)
    picture.save(content, format="png", pnginfo=told, compress_level=COMPRESSION)
    write_atomically(path, content.getvalue())


def drawn_from(path: Path) -> str | None:
    """The digest that the picture at the path carries; None where there is no such picture."""
    try:
        with Image.open(path) as picture:
            return picture.info.get(SOURCE)
    except OSError:  # which PIL's own error is
        return None


def _label(folder: RunFolder) -> str:
    spec = folder.read_json("spec.json")
    return " ".join([spec["method"], *format_settings(spec["hyperparameters"]), f"seed {spec['seed']}"])


def _image_grid(images: np.ndarray, labels: Sequence[str], title: str) -> Image.Image:
    """Images (rows, columns, C, H, W) as one picture, a label left of each row and a title above."""
    coloured = in_colours(images)
    rows, columns, channels, height, across = coloured.shape
    framed = np.pad(coloured, ((0, 0), (0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    colour = framed.transpose(0, 3, 1, 4, 2).reshape(rows * (height + GAP), columns * (across + GAP), channels)
    font = ImageFont.load_default(13)
    width = max(MARGIN + colour.shape[1], MARGIN + round(font.getlength(title)) + GAP)
    picture = Image.new("RGB", (width, HEADER + colour.shape[0]), "white")
    picture.paste(Image.fromarray(colour), (MARGIN, HEADER))
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 3), title, fill="black", font=font)
    for row, label in enumerate(labels):
        middle = HEADER + row * (height + GAP) + height // 2
        draw.text((MARGIN - 6, middle), label, fill="black", font=font, anchor="rm")
    return picture


def in_colours(images: np.ndarray) -> np.ndarray:
    """Images (rows, columns, C, H, W) in red, green and blue: one channel as grey, of others the first three."""
    if images.shape[2] == 1:
        return images.repeat(3, axis=2)
    black = np.zeros_like(images[:, :, : max(0, 3 - images.shape[2])])
    return np.concatenate([images, black], axis=2)[:, :, :3]
