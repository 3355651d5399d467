import json
import zipfile

import numpy as np
import pytest

import metrics
from benchmark.cli import main
from tests.metrics.representations import NAMES, make

ARRAYS = dict(zip(("codes", "factors", "codes_test", "factors_test"), make("rotated", 600, 300), strict=True))
FAST = "mig,beta_vae_score"


def _file(tmp_path, **changes):
    path = tmp_path / "codes.npz"
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(path, **arrays)
    return str(path)


def test_json_is_what_python_gives(tmp_path, capsys):
    assert main(["score", _file(tmp_path), "--metrics", FAST, "--json", "--seed", "3"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == metrics.score(**ARRAYS, metrics=FAST.split(","), seed=3)
    assert set(printed) == {"mig", "beta_vae_score"}
    assert all("score" in values for values in printed.values())


def test_factor_names_and_a_table(tmp_path, capsys):
    assert main(["score", _file(tmp_path, factor_names=np.array(NAMES)), "--metrics", "mig"]) == 0
    printed = capsys.readouterr().out
    for word in ("mig", "score", "ceiling", "gap_orientation"):
        assert word in printed


def test_without_test_rows_the_last_third_tests(tmp_path, capsys):
    path = _file(tmp_path, codes_test=None, factors_test=None)
    assert main(["score", path, "--metrics", "mig", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == metrics.score(ARRAYS["codes"][:400], ARRAYS["factors"][:400], *(
        ARRAYS["codes"][400:], ARRAYS["factors"][400:]), metrics=["mig"])  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.full((600, 5), np.nan)}, "codes holds nan or infinity"),
        ({"codes": ARRAYS["codes"][:1], "factors": ARRAYS["factors"][:1]}, "too few rows"),
        ({"codes": ARRAYS["codes"][:9]}, "codes has 9 rows and factors 600"),
        ({"factors": ARRAYS["factors"] * 0}, "takes one value only"),
        ({"factors": ARRAYS["factors"] + 0.5}, "factors holds fractions"),
        ({"codes": np.array([{}] * 600, dtype=object)}, "npz file of plain arrays"),
        ({"codes": None}, "holds no array 'codes'"),
        ({"codes_test": None}, "go together"),
        ({"factor_names": np.array(["a", "a", "b", "c", "d"])}, "factor_names"),
        ({"factor_names": np.array(3)}, "factor_names"),
        ({"factor_names": np.arange(5)}, "a list of printable texts is needed"),
        ({"factor_names": np.array([["a"], ["b"], ["c"], ["d"], ["e"]])}, "a list of printable texts is needed"),
        ({"factor_names": np.array(["a", "b", "c", "d", "e\n"])}, "a list of printable texts is needed"),
        ({"factor_names": np.array(["a", "b", "c", "d", "\ud800"])}, "a list of printable texts is needed"),
        ({"codes": np.full((600, 5), 1e300)}, "codes holds numbers as large as 1e+300; at most 1e+100 is possible"),
        ({"codes_test": np.full((300, 5), 1e300)}, "codes_test holds numbers as large as 1e+300; at most 1e+100"),
        ({"factors": ARRAYS["factors"] * 10**17}, "factors holds numbers as large as"),
    ],
)
def test_bad_arrays_are_one_sentence(tmp_path, capsys, changes, message):
    assert main(["score", _file(tmp_path, **changes)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_files_that_are_no_npz(tmp_path, capsys):
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "array.npy", np.zeros(3))
    whole = (tmp_path / "codes.npz", _file(tmp_path))[0].read_bytes()
    (tmp_path / "torn.npz").write_bytes(whole[: len(whole) // 2])
    for path in (tmp_path / "text.npz", tmp_path / "array.npy", tmp_path / "torn.npz", tmp_path / "none.npz", tmp_path):
        assert main(["score", str(path)]) == 2
        printed = capsys.readouterr().err
        assert "cannot read" in printed
        assert printed.count("\n") == 1
    assert main(["score"]) == 2
    assert "FILE.npz" in capsys.readouterr().err


def _archive(path, member):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("factors.npy", member)
        archive.writestr("codes.npy", member)
    return path


@pytest.mark.parametrize("shape", ["(10**12,)", "(1000000000000000,)", f"({10**30},)", "(1.5,)"])
def test_a_header_that_promises_too_much(tmp_path, capsys, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    path = _archive(tmp_path / "codes.npz", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert main(["score", str(path)]) == 2
    printed = capsys.readouterr().err
    assert "cannot read" in printed
    assert printed.count("\n") == 1


def test_markup_in_names_is_text(tmp_path, capsys):
    names = np.array(["[red]", "[/red]", ":boom:", "=1+1", "$x_{"])
    assert main(["score", _file(tmp_path, factor_names=names), "--metrics", "mig"]) == 0
    printed = capsys.readouterr().out
    for name in names:
        assert f"gap_{name} " in printed


def test_codes_too_faint_for_a_variance_have_values(tmp_path, capsys):
    path = _file(tmp_path, codes=ARRAYS["codes"] * 1e-300, codes_test=ARRAYS["codes_test"] * 1e-300)
    assert main(["score", path, "--metrics", "mig,explicitness", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"mig", "explicitness"}


def test_constant_codes_and_one_code_have_values(tmp_path, capsys):
    for codes in (np.zeros((600, 4)), ARRAYS["codes"][:, :1]):
        path = _file(tmp_path, codes=codes, codes_test=codes[:300])
        assert main(["score", path, "--metrics", FAST, "--json"]) == 0
        for values in json.loads(capsys.readouterr().out).values():
            assert all(np.isfinite(value) for value in values.values())


def test_a_metric_that_cannot_score_leaves_the_others(tmp_path, capsys):
    factors = np.stack([np.arange(600), np.arange(600) % 2], axis=1)  # no two rows share the first factor
    path = _file(tmp_path, factors=factors, factors_test=factors[:300])
    assert main(["score", path, "--metrics", FAST, "--json"]) == 1
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)) == ["mig"]
    assert "beta_vae_score could not score this: no two rows share a value" in printed.err
