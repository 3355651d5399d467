"""Codes and factors in files from elsewhere: npz, pairs of npy, csv. Nothing in one is executed."""

import csv
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError, one_line, reason_of, unknown

if TYPE_CHECKING:
    import numpy as np

ARRAYS = ("codes", "factors", "codes_test", "factors_test", "factor_names")
CODE_COLUMN = re.compile(r"(z|code)_?\d+")
SPLIT, PARTS = "split", ("train", "test")
MOST_COLUMNS = 100_000  # that a text may name, as 0-99999
Groups = tuple[tuple[int, ...], ...]


def read_groups(text: str) -> Groups:
    """The columns of each group, of a text such as "0-3,4-7,8": groups with commas between, each a column or a range.

    Raises:
        UsageError: it is none; whether such columns are there is for others to see.
    """
    groups = []
    for item in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,6})(?:-([0-9]{1,6}))?\s*", item)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < MOST_COLUMNS:
            raise UsageError(f"groups is {text!r}; it takes groups of columns from 0, such as 0-3,4-7,8.")
        groups.append(tuple(range(first, last + 1)))
    return tuple(groups)


def read_files(paths: Sequence[Path], factors: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """What `metrics.Table` takes, from one .npz, one .csv, or .npy files of codes and factors, then of test rows.

    Args:
        factors: the columns of a csv file that are factors; empty: all but those of codes.

    Returns:
        The arrays by their names, and a sentence for what was left out.

    Raises:
        UsageError: a file is not as it must be.
    """
    kinds = {path.suffix.lower() for path in paths}
    if factors and kinds != {".csv"}:
        raise UsageError(f"--factors names columns of a csv file, and {paths[0]} is none.")
    if kinds == {".csv"} and len(paths) == 1:
        return read_csv(paths[0], factors)
    if kinds == {".npy"}:
        return _read_npy_files(paths), []
    if len(paths) > 1:
        raise UsageError(f"{paths[1]} is one file too many; give one .npz or .csv, or .npy files of codes and factors.")
    return read_npz(paths[0], ARRAYS, needed=("codes", "factors")), _tell_others(paths[0])


def read_npz(path: Path, names: Sequence[str], needed: Sequence[str] = ()) -> dict[str, Any]:
    """Those arrays of an npz file that are there.

    Raises:
        UsageError: it is no such file, or lacks one that is needed.
    """
    import numpy as np

    try:
        if path.is_file() and not zipfile.is_zipfile(path):
            raise ValueError("no archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = {*needed} - {*stored}
            if missing:
                raise UsageError(f"{path} holds no array {min(missing)!r}; {' and '.join(needed)} are needed.")
            return {name: stored[name] for name in names if name in stored}
    except UsageError:
        raise
    except Exception as error:  # a file from elsewhere breaks its reader in any way, memory included
        raise UsageError(f"cannot read {path} as an npz file of plain arrays ({reason_of(error)}).") from error


def _tell_others(path: Path) -> list[str]:
    """A sentence on the arrays of an npz file that nobody looks at."""
    with zipfile.ZipFile(path) as archive:
        others = sorted({name.removesuffix(".npy") for name in archive.namelist()} - {*ARRAYS})
    told = f"{path}: arrays {', '.join(others)} are left out; those that are read are {', '.join(ARRAYS)}"
    return [told] if others else []


def _read_npy_files(paths: Sequence[Path]) -> dict[str, Any]:
    if len(paths) not in (2, 4):
        raise UsageError(
            f"cannot read codes and factors from {', '.join(map(str, paths))} alone; "
            "give two files, CODES.npy FACTORS.npy, or four, those of test rows last."
        )
    return dict(zip(ARRAYS, map(_read_npy, paths), strict=False))


def _read_npy(path: Path) -> "np.ndarray":
    import numpy as np

    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive")
    except Exception as error:
        raise UsageError(f"cannot read {path} as an npy file of a plain array ({reason_of(error)}).") from error
    return array


# --- csv ---------------------------------------------------------------------------------------------


def read_csv(path: Path, factors: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Codes and factors of a table with a header; arguments, result and errors as of `read_files`.

    Columns z0, z1, ... or code_0, code_1, ... are codes, and those that are named, or all others, factors. A column
    `split` may say of each row whether it is to train or to test.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    except (OSError, ValueError, csv.Error) as error:  # the second where no text is there
        raise UsageError(f"cannot read {path} as a csv file with a header ({reason_of(error)}).") from error
    if len(rows) < 2:
        raise UsageError(
            f"{path} {'has no row below its header' if rows else 'is empty'}; a header and rows are needed."
        )
    header, *lines = rows
    names = [name.strip() for name in header[1]]
    if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise UsageError(f"{path} has {other!r} between its columns, where commas are needed.")
    codes, chosen = _choose_columns(path, names, factors)
    for number, row in lines:
        if len(row) != len(names):
            raise UsageError(f"{path}: line {number} has {len(row)} cells, and the header {len(names)}.")
    tests = _read_split(path, names, lines) if SPLIT in names and SPLIT not in chosen else []
    left = [name for name in names if name not in (*codes, *chosen, *[SPLIT] * bool(tests))]
    told = [f"{path}: columns {', '.join(left)} are left out, being neither codes nor among --factors"] if left else []
    return _arrays_of(path, names, lines, codes, chosen, tests), told


def _choose_columns(path: Path, names: list[str], factors: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the columns of codes and of factors."""
    for name, times in Counter(names).items():
        if not name or times > 1:
            odd = f"two columns are called {name!r}" if name else f"column {names.index('') + 1} has no name"
            raise UsageError(one_line(f"{path}: {odd}; each needs a name of its own."))
    for name in factors:
        if name not in names:
            raise UsageError(one_line(f"{path}: {unknown('column', name, names)}"))
    codes = [name for name in names if CODE_COLUMN.fullmatch(name) and name not in factors]
    if not codes:
        raise UsageError(f"{path} has no column of codes; call them z0, z1, ... or code_0, code_1, ...")
    chosen = [*factors] or [name for name in names if name not in (*codes, SPLIT)]
    if not chosen:
        raise UsageError(f"{path} has no column of a factor beside {', '.join(codes[:4])}; add one for each factor.")
    return codes, chosen


def _read_split(path: Path, names: list[str], lines: list[tuple[int, list[str]]]) -> list[bool]:
    """Whether each row is to test."""
    place = names.index(SPLIT)
    for number, row in lines:
        if row[place].strip() not in PARTS:
            raise UsageError(
                one_line(f"{path}: {SPLIT} is {row[place]!r} in line {number}, where train or test is needed.")
            )
    tests = [row[place].strip() == "test" for _, row in lines]
    for part in PARTS:
        if (part == "test") not in tests:
            raise UsageError(f"{path}: {SPLIT} names no {part} row; name some, or leave the column out.")
    return tests


def _arrays_of(
    path: Path,
    names: list[str],
    lines: list[tuple[int, list[str]]],
    codes: list[str],
    factors: list[str],
    tests: list[bool],
) -> dict[str, Any]:
    import numpy as np

    arrays: dict[str, Any] = {"factor_names": factors}
    test = np.array(tests or [False] * len(lines), bool)
    for kind, chosen in (("codes", codes), ("factors", factors)):
        columns = [_read_column(path, names, lines, name) for name in chosen]
        whole = np.array(columns).T.reshape(len(lines), len(chosen))
        arrays[kind] = whole[~test]
        if tests:
            arrays[f"{kind}_test"] = whole[test]
    return arrays


def _read_column(path: Path, names: list[str], lines: list[tuple[int, list[str]]], name: str) -> list[float]:
    place, numbers = names.index(name), []
    for number, row in lines:
        text = row[place].strip()
        try:
            if not text.isascii() or "_" in text:
                raise ValueError
            numbers.append(float(text))
        except ValueError:
            told = f"{path}: {name} is {row[place]!r} in line {number}, where a number is needed"
            raise UsageError(one_line(f"{told}; write a value that has a name as its number.")) from None
    return numbers
