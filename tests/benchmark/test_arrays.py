"""Codes and factors in csv and npy files, given to `score`."""

import json

import numpy as np
import pytest

import metrics
from benchmark.arrays import read_csv, read_groups
from benchmark.cli import main
from benchmark.errors import UsageError

RNG = np.random.default_rng(0)
FACTORS = RNG.integers(3, size=(300, 2))
CODES = np.round(FACTORS @ RNG.normal(size=(2, 3)) + RNG.normal(size=(300, 3)), 3)
HEADER = "z0,z1,z2,shape,scale"


def _csv(tmp_path, header=HEADER, rows=None, name="table.csv"):
    lines = [*CODES.astype(str).T.tolist(), *FACTORS.astype(str).T.tolist()]
    told = rows if rows is not None else [",".join(row) for row in zip(*lines, strict=True)]
    (tmp_path / name).write_text("\n".join([header, *told]) + "\n", encoding="utf-8")
    return str(tmp_path / name)


def _npy(tmp_path, **arrays):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return [str(tmp_path / f"{name}.npy") for name in arrays]


def _scores(capsys, *words):
    assert main(["score", *words, "--metrics", "mig", "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_a_csv_table_is_what_its_arrays_are(tmp_path, capsys):
    expected = metrics.score(CODES, FACTORS, factor_names=["shape", "scale"], metrics=["mig"])
    assert _scores(capsys, _csv(tmp_path))[0] == expected
    for header in ("code_0,code_1,code_2,shape,scale", "z_7,code9,z10,shape,scale", "\ufeffz0, z1 ,z2,shape,scale"):
        assert _scores(capsys, _csv(tmp_path, header))[0] == expected


def test_factors_are_named_and_other_columns_told(tmp_path, capsys):
    printed, told = _scores(capsys, _csv(tmp_path), "--factors", "scale")
    assert printed == metrics.score(CODES, FACTORS[:, 1:], factor_names=["scale"], metrics=["mig"])
    assert "warning: " in told
    assert "columns shape are left out" in told
    # What is named is a factor, whatever its name.
    _, told = _scores(capsys, _csv(tmp_path), "--factors", "z2,shape", "--bin-factors", "10")
    assert "columns scale" in told


def test_a_column_says_which_rows_test(tmp_path, capsys):
    rows = [
        ",".join(map(str, [*c, *f, "test" if i % 3 == 0 else "train"]))
        for i, (c, f) in enumerate(zip(CODES, FACTORS, strict=True))
    ]
    printed, told = _scores(capsys, _csv(tmp_path, f"{HEADER},split", rows))
    tests = np.arange(300) % 3 == 0
    parts = (CODES[~tests], FACTORS[~tests], CODES[tests], FACTORS[tests])
    assert printed == metrics.score(*parts, factor_names=["shape", "scale"], metrics=["mig"])
    assert "left out" not in told


def test_pairs_of_npy_files(tmp_path, capsys):
    expected = metrics.score(CODES, FACTORS, metrics=["mig"])
    assert _scores(capsys, *_npy(tmp_path, codes=CODES, factors=FACTORS))[0] == expected
    parts = {"a": CODES[:200], "b": FACTORS[:200], "c": CODES[200:], "d": FACTORS[200:]}
    assert _scores(capsys, *_npy(tmp_path, **parts))[0] == metrics.score(*parts.values(), metrics=["mig"])


def test_vectors_of_codes(tmp_path, capsys):
    printed, told = _scores(capsys, _csv(tmp_path), "--groups", "0-1,2")
    assert printed == metrics.score(
        CODES, FACTORS, factor_names=["shape", "scale"], metrics=["mig"], groups=[[0, 1], [2]]
    )
    assert "2 groups of columns, each scored by its first principal component over the training rows" in told


def test_groups_are_read():
    assert read_groups("0-3, 4-5 ,6") == ((0, 1, 2, 3), (4, 5), (6,))
    for text in ("", "a", "3-1", "1-", "-1", "0,,1", "0-999999", "0..3", "1.5", "٣"):
        with pytest.raises(UsageError, match="it takes groups of columns from 0, such as 0-3,4-7,8"):
            read_groups(text)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("a,b,c", ["1,2,3"], "has no column of codes; call them z0, z1, ... or code_0, code_1, ..."),
        ("z0,z1", ["1,2"], "has no column of a factor beside z0, z1; add one for each factor."),
        ("z0,z0,shape", ["1,2,3"], "two columns are called 'z0'; each needs a name of its own."),
        ("z0,,shape", ["1,2,3"], "column 2 has no name; each needs a name of its own."),
        ("z0,shape", ["1,2", "1,2,3"], "line 3 has 3 cells, and the header 2."),
        ("z0,shape", ["1,2", "1"], "line 3 has 1 cells, and the header 2."),
        (
            "z0,shape",
            ["1,square"],
            "shape is 'square' in line 2, where a number is needed; write a value that has a name",
        ),
        ("z0,shape", ["1,"], "shape is '' in line 2"),
        ("z0,shape", ["1_0,2"], "z0 is '1_0' in line 2"),
        ("z0,shape", ["\x1b[31m,2"], r"z0 is '\x1b[31m' in line 2"),
        ("z0,shape,split", ["1,2,valid"], "split is 'valid' in line 2, where train or test is needed."),
        ("z0,shape", ["nan,1"] * 9, "codes holds nan"),
        ("z0;z1;shape", ["1;2;3"], "has ';' between its columns, where commas are needed."),
        ("z0,shape", [], "has no row below its header; a header and rows are needed."),
        ("z0,shape", ["1,0.5", "2,1"] * 9, "factors holds fractions"),
    ],
)
def test_odd_tables_are_one_sentence(tmp_path, capsys, header, rows, message):
    assert main(["score", _csv(tmp_path, header, rows), "--metrics", "mig"]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def _answer(capsys, *words):
    assert main(["score", *map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_arrays_that_nobody_reads_are_told(tmp_path, capsys):
    path = tmp_path / "codes.npz"
    np.savez(path, codes=CODES, factors=FACTORS, Codes_test=CODES)
    assert main(["score", str(path), "--metrics", "mig"]) == 0
    told = capsys.readouterr().err
    assert "warning: " in told
    assert "arrays Codes_test are left out; those that are read are codes, factors, codes_test" in told


def test_files_that_do_not_go_together(tmp_path, capsys):
    table, (codes, factors) = _csv(tmp_path), _npy(tmp_path, codes=CODES, factors=FACTORS)
    np.savez(tmp_path / "codes.npz", codes=CODES, factors=FACTORS)
    assert "give two files, CODES.npy FACTORS.npy, or four" in _answer(capsys, codes)
    assert "alone; give two files" in _answer(capsys, codes, factors, codes)
    for words in ((codes, table), (table, table), (tmp_path / "codes.npz", table)):
        assert "one file too many; give one .npz or .csv" in _answer(capsys, *words)
    assert "codes.npz is none" in _answer(capsys, tmp_path / "codes.npz", "--factors", "shape")
    assert "unknown column 'shap'; did you mean 'shape'?" in _answer(capsys, table, "--factors", "shap")
    assert "groups is '3-1'; it takes groups" in _answer(capsys, table, "--groups", "3-1")
    assert "column 2 of 3 is in no group" in _answer(capsys, table, "--groups", "0-1")
    assert "factors is ','; it takes" in _answer(capsys, table, "--factors", ",")


def test_files_that_cannot_be_read(tmp_path, capsys):
    (_, factors) = _npy(tmp_path, codes=CODES, factors=FACTORS)
    np.save(tmp_path / "pickled.npy", np.array([{}] * 3, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "archive.npz", codes=CODES)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "text.npy").write_text("text")
    for name in ("pickled.npy", "archive.npy", "text.npy", "none.npy"):
        assert f"{name} as an npy file of a plain array (" in _answer(capsys, tmp_path / name, factors)
    (tmp_path / "latin.csv").write_bytes("z0,größe\n1,2\n".encode("latin-1"))
    (tmp_path / "long.csv").write_text(f"z0,{'a' * 200_000}\n")
    for name in ("latin.csv", "long.csv", "none.csv"):
        assert f"{name} as a csv file with a header (" in _answer(capsys, tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a header and rows are needed."),
        ("z0,shape\n", "has no row below its header; a header and rows are needed."),
        ("z0,shape,split\n1,2,train\n", "split names no test row"),
        ("z0,shape,split\n1,2,test\n", "split names no train row"),
    ],
)
def test_tables_without_rows_say_so(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_csv(path)
