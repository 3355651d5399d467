import json
import zipfile
from dataclasses import replace

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


def test_without_test_rows_a_random_third_tests(tmp_path, capsys):
    path = _file(tmp_path, codes_test=None, factors_test=None)
    assert main(["score", path, "--metrics", "mig", "--json", "--seed", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == metrics.score(ARRAYS["codes"], ARRAYS["factors"], metrics=["mig"], seed=2)


def test_continuous_factors_are_binned_where_asked(tmp_path, capsys):
    continuous = np.random.default_rng(0).uniform(-1, 1, (900, 3))
    path = _file(tmp_path, codes=continuous, factors=continuous, codes_test=None, factors_test=None)
    assert main(["score", path, "--metrics", "mig"]) == 2
    assert "--bin-factors 10" in capsys.readouterr().err
    assert main(["score", path, "--metrics", "mig", "--json", "--bin-factors", "10"]) == 0
    assert json.loads(capsys.readouterr().out)["mig"]["score"] > 0.85
    numbered = np.argsort(np.argsort(continuous, axis=0), axis=0)
    path = _file(tmp_path, codes=continuous, factors=numbered, codes_test=None, factors_test=None)
    assert main(["score", path, "--metrics", "mig"]) == 2
    assert "takes 600 values in 600 training rows" in capsys.readouterr().err
    assert main(["score", path, "--bin-factors", "1"]) == 2
    assert "bin-factors is '1'; it takes a whole number from 2 to 1,000" in capsys.readouterr().err
    assert main(["score", path, "--bin-factors", "1001"]) == 2
    assert "bin-factors is '1001'; it takes a whole number from 2 to 1,000" in capsys.readouterr().err


def test_test_rows_of_values_never_trained_on_are_told(tmp_path, capsys):
    factors = ARRAYS["factors_test"].copy()
    factors[:7, 0] = 99
    assert main(["score", _file(tmp_path, factors_test=factors), "--metrics", "mig"]) == 0
    assert "(7 of factor 'factor_0')" in capsys.readouterr().err


def test_options_of_metrics(tmp_path, capsys):
    given = ["score", _file(tmp_path), "--metrics", "mig", "--json"]
    assert main([*given, "--set", "mig.bins=5,20"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["mig[bins=5]", "mig"]  # 20 is the default
    of_five = metrics.score(**ARRAYS, metrics=["mig"], options={"mig": {"bins": 5}})
    assert printed == of_five | metrics.score(**ARRAYS, metrics=["mig"])
    named = "irs[bins=5,quantile=0.9],mig[bins=5]"
    assert main(["score", _file(tmp_path), "--metrics", named, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["irs[bins=5,quantile=0.9]", "mig[bins=5]"]
    assert (
        printed["mig[bins=5]"] == metrics.score(**ARRAYS, metrics=["mig"], options={"mig": {"bins": 5}})["mig[bins=5]"]
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("mig.bin=5", "did you mean 'bins'?"),
        ("mig.bins=few", "mig's bins is 'few'; a whole number of at least 1 is needed."),
        ("mgi.bins=5", "unknown method or metric 'mgi'; did you mean 'mig'?"),
        ("infomec.estimator=exact", "infomec has options set, but is not among the metrics; add --metrics infomec."),
        ("mig.bins", "--set takes"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path, capsys, setting, message):
    assert main(["score", _file(tmp_path), "--metrics", "mig", "--set", setting]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_interrupt_prints_what_is_scored_and_how_to_score_the_rest(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(metrics.REGISTRY, "mig", replace(metrics.REGISTRY["mig"], function=_interrupt))
    assert main(["score", _file(tmp_path), "--metrics", "beta_vae_score,mig,irs", "--json"]) == 130
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)) == ["beta_vae_score"]
    lines = printed.err.splitlines()
    assert lines[0].startswith("[1/3] beta_vae_score 0.")
    assert lines[1] == "interrupted; --metrics mig,irs scores the rest."


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
    assert "FILE" in capsys.readouterr().err


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


def _refuse(*_, **__):
    raise ValueError("not today")


def test_a_metric_that_cannot_score_leaves_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(metrics.REGISTRY, "irs", replace(metrics.REGISTRY["irs"], function=_refuse))
    assert main(["score", _file(tmp_path), "--metrics", "irs,mig", "--json"]) == 1
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)) == ["mig"]
    assert "[1/2] irs could not score this: not today" in printed.err


def test_what_does_not_apply_is_left_out_and_no_failure(tmp_path, capsys):
    path = _file(tmp_path, factors=ARRAYS["factors"][:, :1], factors_test=ARRAYS["factors_test"][:, :1])
    assert main(["score", path, "--metrics", FAST, "--json"]) == 0
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)) == ["mig"]
    assert "beta_vae_score left out: beta_vae_score needs at least 2 factors" in printed.err


def test_the_quick_metrics_are_told_first(tmp_path, capsys, monkeypatch):
    slow = replace(metrics.REGISTRY["beta_vae_score"], cost="minutes")
    monkeypatch.setitem(metrics.REGISTRY, "beta_vae_score", slow)
    assert main(["score", _file(tmp_path), "--metrics", "beta_vae_score,sap,mig"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["mig", "sap", "beta_vae_score"]
