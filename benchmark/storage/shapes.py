"""What the stored files of a run may hold: what does not fit is damaged, and reads as nothing.

Only what is read again is looked at, and only where it is there: a key that is missing is for its reader to miss.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.spec import EVIDENCE
from metrics.options import base_of

Kind = Callable[[Any], bool]
GREATEST = 1e100  # far beyond float32, in which everything is measured, and far from where squares overflow
CHANNELS = 4  # of a picture, at most
DEEPEST = 10  # tables in tables


def _is_text(value: Any) -> bool:
    """Whether it is a text that can be written: JSON can spell halves of characters."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_metric(value: Any) -> bool:
    """Whether it is a metric's name, perhaps with options in brackets and with what it was scored on."""
    return _is_word(value) and base_of(value).isidentifier()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= GREATEST


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _is_positive(value: Any) -> bool:
    return _is_whole(value) and value > 0


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_plain(value: Any, depth: int = DEEPEST) -> bool:
    """Whether it has a canonical JSON: no nan, no infinity, no endless nesting."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(each, depth - 1) for each in inner)
    return value is None or isinstance(value, bool) or _is_text(value) or _is_number(value)


def _either(*kinds: Kind) -> Kind:
    return lambda value: any(kind(value) for kind in kinds)


def _both(*kinds: Kind) -> Kind:
    return lambda value: all(kind(value) for kind in kinds)


def _list_of(kind: Kind) -> Kind:
    return lambda value: isinstance(value, list) and all(map(kind, value))


def _table_of(key: Kind, kind: Kind) -> Kind:
    return lambda value: isinstance(value, dict) and all(map(key, value)) and all(map(kind, value.values()))


def _record(**kinds: Kind) -> Kind:
    """A JSON object whose values under those keys, where they are there, are of those kinds."""
    return lambda value: isinstance(value, dict) and all(kinds[key](value[key]) for key in kinds.keys() & value.keys())


VALUES = _table_of(_is_word, _is_number)
SCORED = _record(
    version=_is_whole,
    columns=_list_of(_is_text),
    direction=lambda value: value in (-1, 0, 1),
    values=VALUES,
    code=_is_text,
)
OBJECTS: Mapping[str, Kind] = {
    "spec.json": _record(
        method=_is_word,
        method_version=_is_whole,
        hyperparameters=_table_of(_is_word, _either(_is_number, _is_word)),
        dataset=_is_word,
        dataset_version=_is_whole,
        source=_is_word,
        preset=_is_word,
        protocol=_both(_is_plain, _record(steps=_is_count)),
        seed=_is_whole,
        world=_is_word,
        submission=_table_of(_is_word, _is_word),
    ),
    "scores.json": _record(
        measures=VALUES,
        rows=_record(train=_is_whole, test=_is_whole),
        parts=_table_of(_is_word, _record(train=_is_whole, test=_is_whole)),
        codes=_is_positive,
        grouped=_is_text,
        metrics=_table_of(_is_metric, SCORED),
        left_out=_table_of(_is_metric, _record(version=_is_whole, reason=_is_text)),
    ),
    "submission.json": _record(evidence=EVIDENCE.__contains__, remarks=_list_of(_is_word)),
    "agreement.json": _record(models=_list_of(_is_text), version=_is_whole, values=VALUES),
    "environment.json": _record(seconds=_is_number, pack=_is_positive, code=_table_of(_is_word, _is_text)),
    "status.json": _record(state=_is_word, reason=_is_text),
}


def is_sound_object(name: str, content: Any) -> bool:
    """Whether the content of a JSON file of that name is an object that its readers can take."""
    return OBJECTS.get(name, _record())(content)


def are_sound_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays of an npz file of that name are what its readers can take."""
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        return False  # but the bytes of a member that is no array
    if name == "pictures.npz":
        return _are_pictures(arrays)
    if name != "probe.npz" and not name.startswith("codes"):
        return True
    codes, rows = arrays.get("codes"), arrays.get("rows")
    return codes is not None and _are_codes(codes) and (name == "probe.npz" or _are_rows(rows, len(codes)))


def is_sound_history(history: pd.DataFrame) -> bool:
    """Whether a table is the course of a training: numbers by step, none of them infinite."""
    numbers = all(pd.api.types.is_numeric_dtype(kind) for kind in history.dtypes)
    return numbers and "step" in history and not bool((history.abs() > GREATEST).any(axis=None))


def _are_pictures(arrays: Mapping[str, np.ndarray]) -> bool:
    """Bytes of grey or coloured images: rows of them, or of originals and as many reconstructions."""
    for part in ("", "_unseen"):
        first, second = (arrays.get(f"{name}{part}") for name in ("originals", "reconstructions"))
        if second is not None and (first is None or first.shape != second.shape):
            return False
    told = {f"{name}{part}": 4 for name in ("originals", "reconstructions") for part in ("", "_unseen")}
    told |= {"traversals": 5}
    found = [(arrays[name], axes) for name, axes in told.items() if name in arrays]
    return all(a.dtype == np.uint8 and a.ndim == axes and a.size and 1 <= a.shape[-3] <= CHANNELS for a, axes in found)


def _are_codes(codes: np.ndarray) -> bool:
    """Codes of at least two images, (N, D)."""
    numbers = codes.dtype.kind == "f" and codes.ndim == 2 and len(codes) > 1 and codes.size > 0
    return bool(numbers and float(np.abs(codes).max()) <= GREATEST)


def _are_rows(rows: np.ndarray | None, count: int) -> bool:
    """Indices of so many images of a data set."""
    return rows is not None and rows.shape == (count,) and rows.dtype.kind in "iu" and bool((rows >= 0).all())
