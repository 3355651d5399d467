"""What one run looks like, for the page: its latents moved, its reconstructions, what its latents know and cost."""

import io
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from PIL import Image

from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError
from benchmark.report.page_figures import Cell, Matrix, Stack, draw_matrix, draw_stacks
from benchmark.report.story import IN_USE
from benchmark.scoring.agreement import KL_PER_LATENT
from benchmark.scoring.encoding import load_again
from benchmark.scoring.pictures import TRAVERSED, in_colours
from benchmark.spec import CLAIMED
from benchmark.storage.store import RunFolder
from metrics.base import WIDE
from metrics.information import bin_codes, entropy, mutual_information

MOST_LATENTS = 12  # of a run that are shown
MOST_PIXELS = 64  # of a picture's longer side
WIDEST = 8_192  # pixels of a strip; WebP has twice as many at most
BINS = 20  # as MIG has them
KNOWN = 0.05  # of a factor's entropy, from which on a latent is said to know it
QUALITY = 45
EFFORT = 0  # of 6, which take twenty times as long for a quarter less

Factors = dict[tuple[str, str, str], FactorDataset | None]  # by data set, source and world


@dataclass(frozen=True)
class Latent:
    """A latent that is moved from -3 to 3, the others held.

    Attributes:
        kl: its nats from the prior, None where the method has no posterior.
        factor: that it knows best; empty where it knows none, or where that is not known.
        share: of the factor's entropy that it tells.
        strip: its pictures side by side, as data; the page's script goes through them.
        size: the strip's width and height in pixels.
        pictures: how many there are.
    """

    name: str
    kl: float | None
    factor: str
    share: float
    strip: str
    size: tuple[int, int]
    pictures: int

    @property
    def told(self) -> str:
        """What it knows best, in words."""
        return f"{self.factor} {self.share:.2f}" if self.factor else ""

    @property
    def alternative(self) -> str:
        """The pictures in words."""
        known = f", which tells {self.share:.2f} of {self.factor}" if self.factor else ""
        return f"Images as latent {self.name}{known} goes from {TRAVERSED[0]:g} to {TRAVERSED[-1]:g}"


@dataclass(frozen=True)
class Look:
    """What is shown of a run.

    Attributes:
        left_out: latents at the prior, or beyond the most that are shown.
        compared: originals above their reconstructions, as a picture and the pictures in words, by a title.
        missing: a sentence for each thing that is not shown.
    """

    latents: Sequence[Latent] = ()
    left_out: int = 0
    compared: Sequence[tuple[str, str, int]] = ()
    kl: Markup | None = None
    information: Markup | None = None
    missing: list[str] = field(default_factory=list)


def look_at(folder: RunFolder, seed: int, factors: Factors, pictured: bool) -> Look:
    """What is to be seen of a run.

    Args:
        factors: data sets that were loaded before, to which this one is added.
        pictured: whether it has its pictures on the page.
    """
    missing: list[str] = []
    sent = "submission" in folder.read_json("spec.json")
    known = _information(folder, factors, missing) if pictured else None
    names, shares = known or ((), np.zeros((0, 0)))
    kl = _kl_per_latent(folder)
    pictures = folder.read_arrays("pictures.npz") if pictured else {}
    if sent:
        missing.append("Somebody sent it, and no pictures.")
    elif not pictured:
        missing.append("Pictures are shown of some configurations only, the best among them.")
    elif not pictures:
        missing.append("No pictures of its runs are stored: the method cannot decode, or they were not kept.")
    moved = in_colours(pictures["traversals"]) if "traversals" in pictures else np.zeros((0, 1, 3, 1, 1), np.uint8)
    order = sorted(range(len(moved)), key=lambda j: (-_nats(kl, j), -_best(shares, j), j))
    used = [j for j in order if not kl or _nats(kl, j) >= IN_USE][:MOST_LATENTS]
    latents = [_latent(j, moved[j], kl, names, shares) for j in used]
    if not kl and not sent:
        missing.append("It has no KL per latent: its codes are no distributions.")
    return Look(
        latents,
        len(moved) - len(used),
        _compared(pictures),
        draw_kl(kl, seed) if kl else None,
        draw_information(names, shares, seed) if known else None,
        missing,
    )


def _nats(kl: Sequence[float], latent: int) -> float:
    return kl[latent] if latent < len(kl) else 0.0


def _best(shares: np.ndarray, latent: int) -> float:
    return float(shares[latent].max()) if latent < len(shares) else 0.0


def _latent(j: int, images: np.ndarray, kl: Sequence[float], names: Sequence[str], shares: np.ndarray) -> Latent:
    best = _best(shares, j)
    factor = names[int(shares[j].argmax())] if best >= KNOWN else ""
    own = kl[j] if j < len(kl) else None
    strip = _image(np.concatenate([*images], axis=-1))
    return Latent(f"z{j}", own, factor, best, _as_data(strip), strip.size, len(images))


def _compared(pictures: dict[str, np.ndarray]) -> list[tuple[str, str, int]]:
    """Originals above reconstructions, of all images and of combinations that were held out."""
    found = []
    for ending, title in (("", "Originals above their reconstructions"), ("_unseen", "Combinations never seen")):
        parts = [pictures.get(f"{kind}{ending}") for kind in ("originals", "reconstructions")]
        if parts[0] is not None and parts[1] is not None:
            rows = [np.concatenate([*in_colours(part[None])[0]], axis=-1) for part in parts if part is not None]
            found.append((title, _as_data(_image(np.concatenate(rows, axis=-2), len(parts[0]))), len(parts[0])))
    return found


def _image(pixels: np.ndarray, across: int = 0) -> Image.Image:
    """A picture of bytes (3, H, W), made smaller where one of its images is larger than is shown."""
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    side = max(image.width // across, image.height // 2) if across else min(image.size)
    factor = min(1.0, MOST_PIXELS / side, WIDEST / max(image.size))
    if factor < 1:
        image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    return image


def _as_data(image: Image.Image) -> str:
    """A WebP as a URL that holds it."""
    content = io.BytesIO()
    image.save(content, format="webp", quality=QUALITY, method=EFFORT)
    return f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}"


def _kl_per_latent(folder: RunFolder) -> list[float]:
    measures = folder.read_json("scores.json").get("measures", {})
    found = [measures.get(f"{KL_PER_LATENT}{j}") for j in range(len(measures))]
    return found[: found.index(None)] if None in found else found


def draw_kl(kl: Sequence[float], seed: int) -> Markup:
    """A bar a latent, as long as its KL."""
    stacks = [Stack(f"z{j}", [(each, f"z{j}: {each:.3g} nats", 0)], f"{each:.2f}") for j, each in enumerate(kl)]
    told = f"{sum(each >= IN_USE for each in kl)} of {len(kl)} latents are at least {IN_USE:g} nats from the prior."
    return draw_stacks(f"KL of each latent in nats, seed {seed}", told, stacks, max(*kl, IN_USE))


def _information(folder: RunFolder, factors: Factors, missing: list[str]) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Names of factors, and the share of each one's entropy that each latent tells (D, K)."""
    stored = folder.read_arrays("codes.npz")
    spec = folder.read_json("spec.json")
    if not stored:
        if spec.get("preset") != CLAIMED:
            missing.append("What its latents know is not shown: its codes were not kept.")
        return None
    if stored["codes"].shape[1] > WIDE:
        missing.append("What its latents know is not shown: it has as many codes as pixels.")
        return None
    key = (str(spec["dataset"]), str(spec["source"]), str(spec.get("world", "")))
    if key not in factors:
        factors[key] = None
        with suppress(UsageError):
            factors[key] = load_again(folder, None)
    dataset, rows = factors[key], stored["rows"]
    if dataset is None or not dataset.factor_names or not 0 <= rows.min() <= rows.max() < len(dataset):
        missing.append("What its latents know is not shown: the factors of its data are not known here.")
        return None
    values = dataset.factors(rows.astype(np.int64)).cpu().numpy()
    nats = np.array([entropy(column) for column in values.T])
    told = mutual_information(bin_codes(stored["codes"].astype(np.float64), BINS), values)
    return dataset.factor_names, told / np.where(nats > 0, nats, 1)


def draw_information(names: Sequence[str], shares: np.ndarray, seed: int) -> Markup:
    """What share of each factor each latent tells."""
    rows = [f"z{j}" for j in range(len(shares))]
    cells = {
        (row, name): Cell(float(share), f"{share:.2f}", f"{row} tells {share:.3f} of {name}")
        for row, own in zip(rows, shares, strict=True)
        for name, share in zip(names, own, strict=True)
    }
    best = [f"{name} by {rows[int(own.argmax())]} ({own.max():.2f})" for name, own in zip(names, shares.T, strict=True)]
    title = f"Mutual information of latents and factors, of 1, seed {seed}"
    return draw_matrix(title, f"Each factor is told best: {', '.join(best)}.", Matrix(rows, names, cells))
