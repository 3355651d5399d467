"""Bad input of every kind: one sentence, no stack trace, nothing accepted in silence, nothing written elsewhere."""

import csv
import hashlib
import io
import json
import pickle
import re
import shutil
import tempfile
import zipfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from benchmark import datasets
from benchmark.cli import main
from benchmark.errors import one_line
from benchmark.options import BACKENDS, DEVICES, GREATEST
from benchmark.presets import PRESETS
from methods import REGISTRY as METHODS
from metrics import REGISTRY as METRICS

pytestmark = pytest.mark.whole

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "runs"
BAD, DONE = 2, 0


def tries(whole, everyday=None):
    """So many inputs, the same ones every time; with `--hypothesis-profile whole` all, on other days a fifth."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    phases = [Phase.explicit, Phase.generate]  # nothing to learn from a smaller example
    number = whole if settings.get_current_profile_name() == "whole" else everyday or whole // 5
    return settings(
        max_examples=number, deadline=None, derandomize=True, database=None, phases=phases, suppress_health_check=checks
    )


# --- what every answer holds to ----------------------------------------------------------------------


def answer(arguments):
    """The exit code, and what streams as strict as a terminal's were given."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = io.TextIOWrapper(out, "utf-8"), io.TextIOWrapper(err, "utf-8", "backslashreplace")
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = main(arguments)
        for stream in streams:
            stream.flush()
    printed, told = out.getvalue().decode(), err.getvalue().decode()
    assert "Traceback" not in printed + told
    if code == BAD:
        assert printed == ""
        assert told.startswith("error: ")
        assert told[:-1].isprintable()
        assert told.endswith("\n")
    return code, printed, told


def snapshot(folder, besides=None):
    """What stands under a folder, besides one folder in it: sizes, times and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if besides is None or not path.is_relative_to(besides):
            content = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
            status = path.stat()
            # A folder's time tells of what came and went in it.
            found[path] = (status.st_size, status.st_mtime_ns, content) if path != (besides and besides.parent) else ()
    return found


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder to stand in, with neighbours that nobody may touch."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "kept.txt").write_text("kept")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@contextmanager
def untouched(folder, besides=None):
    before = snapshot(folder, besides)
    yield
    assert snapshot(folder, besides) == before


# --- texts -------------------------------------------------------------------------------------------

NASTY = (
    *("", " ", ",", ",,", "\t", "\n", "\r\n", "\x00", "a\x00b", "\x1b[31m", "\x7f", "\ud800", "\udcff", "\u202e"),
    *("\ufeff", "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1e999", "-0", "-1", "+1", "0x10", "1_000", "1e3"),
    *("1.5", "½", "²", "٣", "\uff11", "Ⅷ", "1 2", "0-", "-", "--", "1-2-3", "4-2", str(10**400)),
    *("True", "None", "null", "[]", "{}", "grid", "all", "../../x", "..", "/", "~", "<script>x</script>", "=1+1"),
    *("0-99999999999999999999", "@SUM(1)", "$x_{", "[red]", "[/red]", ":boom:", "%s%n", "{0}", "a" * 300),
    *("9" * 5000, "b" * 5000, "é", "日本", "🙂", "vae\n"),
)  # fmt: skip
ANY_TEXT = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=12), st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010))
)


@st.composite
def misspelt(draw, words):
    """A good word with something put in, taken out or written twice."""
    word = draw(st.sampled_from(words))
    place, size = draw(st.integers(0, len(word))), draw(st.integers(0, 2))
    return word[:place] + draw(ANY_TEXT) + word[place + size :]


def garbage(words, good):
    """Texts that are not good, many of them near to one that is."""
    return st.one_of(ANY_TEXT, misspelt(words)).filter(lambda text: not good(text))


def _listed(known):
    return lambda text: all(item.strip() in known for item in text.split(","))


def _whole(least):
    return lambda text: re.fullmatch(r"[0-9]{1,30}", text) is not None and least <= int(text) <= GREATEST


def _is_seeds(text):
    items = [item.strip() for item in text.split(",")]
    return all(re.fullmatch(r"[0-9]{1,30}(-[0-9]{1,30})?", item) and _in_order(*item.split("-")) for item in items)


def _in_order(first, last=None):
    low, high = int(first), int(first if last is None else last)
    return low <= high < low + 100_000 and high <= GREATEST


def _is_beta(text):
    number = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
    items = [item.strip() for item in text.split(",")]
    return text == "grid" or all(number.fullmatch(item) and 0 <= float(item) <= 1e30 for item in items)


def _is_setting(text):
    target, _, values = text.partition("=")
    return target == "betavae.beta" and _is_beta(values)


NO_PATHS = st.sampled_from(["", "\x00", "a\x00b", "\ud800", "a" * 300, "b/" * 5000, "c" * 5000])
MISSING = st.one_of(NO_PATHS, ANY_TEXT.map(lambda text: f"missing{text}"))
# Of each option: values that are good, and a strategy of such as are not.
OPTIONS = {
    "methods": (["betavae", "vae,betavae", " betavae , pca"], garbage(["betavae", "vae"], _listed({*METHODS, "all"}))),
    "betas": (["1", "1,4.5,16", "grid", "0", "-0", "1e3"], garbage(["1,4", "2.5", "grid"], _is_beta)),
    "set": (["betavae.beta=3", "betavae.beta=grid"], garbage(["betavae.beta=3", "betavae.beta=grid"], _is_setting)),
    "datasets": (["dsprites", "dsprites_mini"], garbage(["dsprites"], _listed(datasets.REGISTRY))),
    "seeds": (["0", "0-4", "3,1", "1000000000"], garbage(["0-4", "7", "1,2"], _is_seeds)),
    "preset": (sorted(PRESETS), garbage(sorted(PRESETS), PRESETS.__contains__)),
    "steps": (["1", "500", "1000000000"], garbage(["500", "3"], _whole(1))),
    "metrics": (["mig", "all", "sap,mig"], garbage(["mig", "sap"], _listed({*METRICS, "all"}))),
    "device": (["auto", "cpu"], garbage(["cpu", "auto"], DEVICES.__contains__)),
    "jobs": (["1", "12"], garbage(["2"], _whole(1))),
    "pack": (["auto", "1", "64"], garbage(["8", "auto"], lambda text: text == "auto" or _whole(1)(text))),
    "backend": (["local"], garbage(["local", "dask"], BACKENDS.__contains__)),
    "threads": (["1"], garbage(["2"], lambda text: _whole(1)(text) and int(text) < 10_000)),
    "timeout": (["1", "60"], garbage(["60"], _whole(1))),
    "checkpoint": (["0", "60"], garbage(["60"], _whole(0))),
    "out": (["o", "../../x", "<script>", "=1+1", "[red]", "new\nline", "\udcff", "日本"], NO_PATHS),
    "data-dir": ([], MISSING),
    "plugin": ([], MISSING),
    "config": ([], MISSING),
    "dask-scheduler": ([], ANY_TEXT),
}
GOOD = {name: good for name, (good, _) in OPTIONS.items() if good}


def written(name, value, apart=False):
    return [f"--{name}", value] if apart and not value.startswith("-") else [f"--{name}={value}"]


@st.composite
def good_options(draw):
    """Options that go together, by name."""
    names = draw(st.sets(st.sampled_from(sorted(GOOD)), max_size=5))
    if names & {"betas", "set"}:
        names.add("methods")
    if "set" in names:
        names.discard("betas")
    return {name: draw(st.sampled_from(GOOD[name])) for name in sorted(names)}


@st.composite
def broken_commands(draw):
    """A command with one thing wrong in it, and the words of which the answer must hold one."""
    options = draw(good_options())
    name = draw(st.sampled_from(sorted(OPTIONS)))
    value = draw(OPTIONS[name][1])
    options.pop(name, None)
    words = [word for option, good in options.items() for word in written(option, good)]
    words += written(name, value, draw(st.booleans()))
    # What is no finite number is named as it is read.
    return [*words, "--dry-run"], [
        name,
        "inf",
        "nan",
        *re.split("[,.=]", value),
        *value.split(","),
        *value.split("="),
        str(Path(value)),
    ]


@st.composite
def unknown_words(draw):
    """A command with a word in it that no parser knows."""
    options = draw(good_options())
    flags = sorted(f"--{name}" for name in OPTIONS)
    near = misspelt(flags).map(lambda text: f"--{text.lstrip('-')}")
    word = draw(st.one_of(near, ANY_TEXT).filter(lambda text: not _is_known(text, flags)))
    command = [word for option, good in options.items() for word in written(option, good)]
    command.insert(draw(st.integers(0, len(command))), word)
    return [*command, "--dry-run"], [word, word.partition("=")[0]]


def _is_known(text, flags):
    bare = text.partition("=")[0]
    helped = text.startswith("-h") or bare == "--help"
    return (
        bare in flags
        or helped
        or text in ("--", "--dry-run", "run", "list", "score", "leaderboard", "check", "check-data", "check-metric")
    )


def _names_one(told, words):
    """Whether the answer names one of the words, as Python writes it, and as far as it goes."""
    shown = [repr(word.strip())[1:-1] for word in words]
    return any(text[:100] in told or one_line(text)[:100] in told for text in shown)


@tries(750)
@given(broken_commands())
def test_commands_with_one_thing_wrong(work, command):
    given_words, named = command
    with untouched(work.parent):
        code, _, told = answer(given_words)
    assert code == BAD
    assert _names_one(told, named), told


@tries(400)
@given(unknown_words())
def test_commands_with_a_word_that_nobody_knows(work, command):
    given_words, named = command
    with untouched(work.parent):
        code, _, told = answer(given_words)
    assert code == BAD
    assert _names_one(told, named), told


@tries(200)
@given(good_options())
def test_good_commands_are_taken(work, options):
    command = [word for name, value in options.items() for word in written(name, value)]
    with untouched(work.parent):
        code, printed, told = answer([*command, "--dry-run"])
    assert (code, told) == (DONE, "")
    assert printed.endswith(" to do\n")


@st.composite
def broken_subcommands(draw):
    """Of the other commands, each with a bad word."""
    lists, metrics = ["methods", "metrics", "datasets", "presets"], ["mig", "sap"]
    return draw(
        st.one_of(
            garbage(lists, lists.__contains__).map(lambda text: ["list", text]),
            garbage(["betavae"], {*METHODS, "all"}.__contains__).map(lambda text: ["check", text]),
            garbage(["dsprites"], {*datasets.REGISTRY, "all"}.__contains__).map(lambda text: ["check-data", text]),
            garbage(["mig"], {*METRICS, "all"}.__contains__).map(lambda text: ["check-metric", text]),
            MISSING.map(lambda text: ["leaderboard", f"--out={text}"]),
            MISSING.map(lambda text: ["score", text]),
            garbage(metrics, _listed({*METRICS, "all"})).map(lambda text: ["score", "x.npz", f"--metrics={text}"]),
            garbage(["7"], _whole(0)).map(lambda text: ["score", "x.npz", f"--seed={text}"]),
        ).filter(lambda words: not words[1].startswith("-"))
    )


@tries(150)
@given(broken_subcommands())
def test_other_commands_with_a_bad_word(work, command):
    with untouched(work.parent):
        assert answer(command)[0] == BAD


# --- TOML files --------------------------------------------------------------------------------------

NEVER = (
    *("true", "false", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "[[1], [2]]", "[true]", "[{a = 1}]"),
    *("{a = {b = 1}}", "{}", "[[]]", '""', "''", '["", ""]', '["a", "b\\u0000"]', "[1979-05-27]", '"\\u0000"'),
)
NO_NUMBERS = (
    *("-1", "-5.5", "inf", "-inf", "nan", "1e999", "1" * 400, f"0x{'f' * 5000}", "9" * 5000, '"²"', '"٣"', '"1_0"'),
    *('"[red]"', '"<script>"', '"=1+1"', '"../../x"', '"\\n"', '"\\u202e"'),
)
NO_TOML = (
    *(
        "",
        "=",
        "[",
        "{",
        '"',
        "'''",
        "1979-13-45",
        "0x",
        "1__0",
        "tru",
        "[1,, 2]",
        "{a = 1, a = 2}",
        '"\\ud800"',
        '"\\q"',
    ),
    *("[" * 500, "[" * 5000, "{a=" * 500, '"\x00"', "1 = 2"),
)
NUMERIC = ("betas", "seeds", "steps", "jobs", "pack", "threads", "timeout", "checkpoint")
TOML_LINES = ('methods = ["vae", "betavae"]', "seeds = 3", 'preset = "quick"', "[set]\nbetavae.beta = [1, 4]", "# told")


@st.composite
def broken_toml(draw):
    """A TOML file with one line that is wrong."""
    kind = draw(st.sampled_from(["never", "number", "no toml", "key", "twice", "bytes", "deep", "set"]))
    known = st.sampled_from(sorted({*OPTIONS} - {"set", "config"}))
    if kind == "never":
        # No texts to choose from are dates, nothing is a table, and an empty one stands for no file.
        line = f"{draw(known)} = {draw(st.sampled_from(NEVER))}"
    elif kind == "number":
        line = f"{draw(st.sampled_from(NUMERIC))} = {draw(st.sampled_from(NO_NUMBERS))}"
    elif kind == "no toml":
        line = f"{draw(known)} = {draw(st.sampled_from(NO_TOML))}"
    elif kind == "key":
        line = f"{json.dumps(draw(garbage(['seeds', 'steps'], _is_option)))} = 1"
    elif kind == "twice":
        line = "seeds = 1\nseeds = 2"
    elif kind == "bytes":
        line = draw(st.binary(min_size=1, max_size=20).filter(lambda raw: not _is_blank(raw)))
    elif kind == "deep":
        line = f"set{'.a' * draw(st.sampled_from([1, 3, 300, 3000]))} = 1"
    else:
        line = f"[set]\nbetavae.{draw(st.sampled_from(['beta', 'bta', 'a.b']))} = {draw(st.sampled_from(NEVER))}"
    before = draw(st.sets(st.sampled_from(TOML_LINES[:-2]), max_size=3)) if kind != "twice" else ()
    head = "".join(f"{each}\n" for each in before if each.split()[0] != str(line).split()[:1])
    return head.encode() + (line if isinstance(line, bytes) else line.encode(errors="surrogatepass"))


def _is_option(text):
    return text.replace("-", "_") in {name.replace("-", "_") for name in OPTIONS} | {"dry_run"}


def _is_blank(raw):
    return all(not line.strip(b" \t") or line.strip(b" \t").startswith(b"#") for line in re.split(rb"\r?\n", raw))


@tries(200)
@given(broken_toml())
@example(b"\xff\xfe")
def test_config_files_with_one_thing_wrong(work, content):
    (work / "sweep.toml").write_bytes(content)
    with untouched(work.parent):
        assert answer(["--config", "sweep.toml", "--dry-run"])[0] == BAD


@tries(30)
@given(st.sets(st.sampled_from(TOML_LINES)).map(sorted))
def test_good_config_files_are_taken(work, lines):
    ordered = sorted(lines, key=lambda line: line.startswith("["))
    (work / "sweep.toml").write_text("\n".join(ordered))
    with untouched(work.parent):
        code, _, told = answer(["--config", "sweep.toml", "--dry-run"])
    assert (code, told) == (DONE, "")


# --- npz files ---------------------------------------------------------------------------------------

QUICK = ("mig", "active_latents", "sap", "modularity", "dcimig", "irs", "gaussian_total_correlation", "explicitness")
QUICK = tuple(name for name in QUICK if name in METRICS)
ROWS = 24
RNG = np.random.default_rng(0)
CODES, FACTORS = RNG.normal(size=(ROWS, 3)), np.stack([np.arange(ROWS) % 3, np.arange(ROWS) // 2 % 3], 1)
PLAIN = {"codes": CODES, "factors": FACTORS, "codes_test": CODES, "factors_test": FACTORS}
WRONG = {  # in place of codes or factors
    "object": np.array([{}] * ROWS, dtype=object),
    "text": np.full((ROWS, 2), "1"),
    "bytes": np.full((ROWS, 2), b"1"),
    "complex": CODES.astype(complex),
    "time": np.zeros((ROWS, 2), "datetime64[s]"),
    "span": np.zeros((ROWS, 2), "timedelta64[s]"),
    "structured": np.zeros((ROWS, 2), [("a", float), ("b", int)]),
    "void": np.zeros((ROWS, 2), "V8"),
    "nan": np.full((ROWS, 2), np.nan),
    "inf": np.full((ROWS, 2), -np.inf),
    "huge": np.full((ROWS, 2), 1e300) * RNG.normal(size=(ROWS, 2)),
    "long": np.full((ROWS, 2), np.longdouble("1e4000")),
    "unsigned": np.full((ROWS, 2), 2**64 - 1, np.uint64) - np.arange(2 * ROWS, dtype=np.uint64).reshape(ROWS, 2),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((ROWS, 0)),
    "one row": np.zeros((1, 3)),
    "few rows": np.zeros((2, 3)),
    "flat": np.zeros(ROWS),
    "single": np.array(3.0),
    "deep": np.zeros((ROWS, 2, 2)),
}
WRONG_FACTORS = {
    "constant": np.stack([np.arange(ROWS) % 3, np.ones(ROWS, int)], 1),
    "fractions": FACTORS + 0.5,
    "far": FACTORS * 10**17,
    "tiny": FACTORS * 1e-300,
}
ODD_CODES = {  # which have values, or none with a reason
    "constant": np.ones((ROWS, 3)),
    "tiny": CODES * 1e-300,
    "large": CODES * 1e29,
    "shifted": CODES + 1e15,
    "half": CODES.astype(np.float16),
    "bool": CODES > 0,
    "whole": (CODES * 100).astype(np.int8),
    "one": CODES[:, :1],
    "wide": RNG.normal(size=(ROWS, 150)),
    "one that never varies": CODES * [1, 0, 1],
    "fortran": np.asfortranarray(CODES),
    "foreign": CODES.astype(">f8"),
}
ODD_FACTORS = {
    "negative": FACTORS - 7,
    "float": FACTORS.astype(float),
    "bool": FACTORS > 0,
    "far apart": FACTORS * 10**15,
    "all different": np.stack([np.arange(ROWS), np.arange(ROWS) % 2], 1),
    "one": FACTORS[:, :1],
}
WRONG_NAMES = (["a"], ["a", "a"], ["a", ""], [1, 2], [b"a", b"b"], [["a"], ["b"]], ["a", "b\n"], ["a", "\ud800"])
WRONG_NAMES += (["a", "\x1b[31m"], 3.0, [True, False], [[]], ["a", "b", "c"])
ODD_NAMES = (["[red]", "[/red]"], [":boom:", "=1+1"], ["日本", "$x_{"])
chosen_quick = st.sets(st.sampled_from(QUICK), min_size=1, max_size=3).map(sorted)


@st.composite
def wrong_arrays(draw):
    """The name of an array and what is wrong with it; None: it is missing."""
    name = draw(st.sampled_from([*PLAIN, "factor_names"]))
    if name == "factor_names":
        return name, draw(st.sampled_from(WRONG_NAMES))
    kinds = WRONG | (WRONG_FACTORS if name == "factors" else {})
    return name, draw(st.none() | st.sampled_from(sorted(kinds)))


@tries(90)
@given(wrong_arrays(), chosen_quick)
def test_arrays_one_of_them_wrong(work, change, names):
    name, kind = change
    array = np.array(kind) if name == "factor_names" else (WRONG | WRONG_FACTORS | {None: None})[kind]
    arrays = {key: value for key, value in (PLAIN | {name: array}).items() if value is not None}
    np.savez(work / "codes.npz", **arrays)
    with untouched(work.parent):
        assert answer(["score", "codes.npz", "--metrics", ",".join(names)])[0] == BAD


def _odd(codes, factors, tested, factor_names):
    """Arrays that a table can be made of, if barely."""
    arrays = {"codes": (ODD_CODES | PLAIN)[codes], "factors": (ODD_FACTORS | PLAIN)[factors]}
    if tested:
        arrays |= {"codes_test": arrays["codes"][:9], "factors_test": arrays["factors"][:9]}
    named = factor_names is not None and arrays["factors"].shape[1] == len(factor_names)
    return arrays | ({"factor_names": np.array(factor_names)} if named else {})


TOLD_OF_A_METRIC = re.compile(r"\[\d/\d\] [a-z_]+ (-?[\d.]+|(left out|could not score this): .+) \(.+ s\)")
odd_codes, odd_factors = st.sampled_from([*ODD_CODES, "codes"]), st.sampled_from([*ODD_FACTORS, "factors"])
odd_names = st.none() | st.sampled_from(ODD_NAMES)


@tries(60)
@given(st.tuples(odd_codes, odd_factors, st.booleans(), odd_names), chosen_quick, st.booleans())
def test_odd_arrays_have_values_or_a_reason(work, odd, names, table):
    np.savez(work / "codes.npz", **_odd(*odd))
    with untouched(work.parent):
        code, printed, told = answer(["score", "codes.npz", "--metrics", ",".join(names), *["--json"] * (not table)])
    if odd[1] == "all different":
        assert code == BAD
        return
    lines = [line for line in told.splitlines() if not line.startswith("warning: of ")]
    assert all(TOLD_OF_A_METRIC.fullmatch(line) for line in lines)
    assert code == (1 if "could not score" in told else DONE), told
    assert len(lines) == len(names)
    if not table:
        scores = json.loads(printed)
        assert len(scores) + told.count("could not score this") + told.count("left out") == len(names)
        assert all(np.isfinite(value) for values in scores.values() for value in values.values())


class _Bomb:
    """Unpickling it writes a file."""

    def __reduce__(self):
        return (exec, ("open('hit.txt', 'w').write('hit')",))


def _header(text):
    """An array file that holds the header alone."""
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def _archive(codes):
    content, factors = io.BytesIO(), io.BytesIO()
    np.save(factors, FACTORS)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", codes)
        archive.writestr("factors.npy", factors.getvalue())
    return content.getvalue()


LYING = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
WHOLE = io.BytesIO()
np.savez(WHOLE, codes=CODES, factors=FACTORS)
TRAP = np.empty((ROWS, 2), dtype=object)
TRAP[:] = _Bomb()


@st.composite
def broken_archives(draw):
    """Bytes that are no npz file of plain arrays."""
    kinds = st.sampled_from(["header", "cut", "flipped", "random", "member", "pickle", "bare pickle", "zip of garbage"])
    kind, whole = draw(kinds), WHOLE.getvalue()
    if kind == "header":
        shapes = [
            "(10**12,)",
            "(1000000000000,)",
            "(10, -1)",
            f"({10**30},)",
            "'a'",
            "None",
            "(1.5,)",
            "((1,),)",
            "()()",
        ]
        kinds_of = ["'<f8'", "'|O'", "'<U1000000000'", "'nonsense'", "[('a', '<f8')]", "3", "None", "'V0'"]
        return _archive(_header(LYING.format(draw(st.sampled_from(kinds_of)), draw(st.sampled_from(shapes)))))
    if kind == "cut":
        return whole[: draw(st.integers(0, len(whole) - 30))]
    if kind == "flipped":
        place = draw(st.integers(0, 99))  # in the first member's own header
        return whole[:place] + draw(st.binary(min_size=8, max_size=20)) + whole[place + 100 :]
    if kind in ("random", "zip of garbage"):
        raw = draw(st.binary(max_size=60))
        return raw if kind == "random" else _archive(raw)
    if kind == "member":
        return _archive(
            _header(draw(st.sampled_from(["{", "(" * 300, "[" * 99, "{'descr': '<f8'}", "1", "\x00", "'''"])))
        )
    if kind == "bare pickle":
        return pickle.dumps(_Bomb())
    content = io.BytesIO()
    np.savez(content, codes=TRAP, factors=FACTORS)
    return content.getvalue()


@tries(80)
@given(broken_archives())
def test_files_that_are_no_npz(work, content):
    (work / "codes.npz").write_bytes(content)
    with untouched(work.parent):
        assert answer(["score", "codes.npz", "--metrics", "mig"])[0] == BAD


# --- stored runs -------------------------------------------------------------------------------------

FILES = ("spec.json", "scores.json", "status.json", "environment.json", "agreement.json", "history.csv", "pictures.npz")
FILES += ("probe.npz",)
HURT = "betavae-beta4-dsprites_mini-quick-s0-a65309492a"
STORED = (HURT, "betavae-beta4-dsprites_mini-quick-s1-ebd6d9b533", "vae-dsprites_mini-quick-s0-c66627d703")
JSON_TEXTS = (
    *('"a"', "null", "true", "[]", "{}", "[[1]]", '{"a": {"b": []}}', "NaN", "Infinity", "-Infinity", "1e999", "1e308"),
    *(
        "9" * 400,
        "9" * 5000,
        "-1",
        "0",
        "0.5",
        '""',
        '"\\ud800"',
        '"\\u0000"',
        '"../../x"',
        '"/x"',
        '"<script>"',
        '"=cmd"',
    ),
    *(
        '"$x_{$"',
        '"/../../../../x"',
        '"[red]"',
        '"[/red]"',
        '"new\\nline"',
        '"\\u001b[31m"',
        '"finished"',
        f'"{"a" * 300}"',
        "[" * 90 + "]" * 90,
    ),
    *("[" * 5000 + "]" * 5000, "12345678901234567890", '"日本"', '["score", 3]'),
)
KEYS = (
    "../../x",
    "/x",
    "<script>",
    "=cmd",
    "$x_{$",
    "[/red]",
    "new\nline",
    "",
    "rank",
    "kl_per_latent_x",
    "seeds",
    "\x00",
)
HISTORIES = (
    "",
    "step\n",
    "a,b\n1,2\n",
    "step,kl_per_latent_0\n1,x\n",
    "step,kl_per_latent_0\n1,1e999\n2,nan\n",
    "\x00",
)
HISTORIES += (
    "step,kl_per_latent_0\n1,2,3\n1,2\n",
    "step,kl_per_latent_$x_{\n1,2\n",
    "step,step\n1,2\n",
    '"',
    "1" * 400,
)


@st.composite
def other_json(draw, content):
    """The JSON text with one value, key or more of it replaced."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(JSON_TEXTS))
    holder = content
    while True:
        key = draw(st.sampled_from(sorted(holder)))
        if not isinstance(holder[key], dict) or not holder[key] or draw(st.integers(0, 3)) == 0:
            break
        holder = holder[key]
    change = draw(st.integers(0, 4))
    if change == 0:
        del holder[key]
    elif change == 1:
        holder[draw(st.sampled_from(KEYS))] = holder.pop(key)
    else:
        holder[key] = "@"
    return json.dumps(content).replace('"@"', draw(st.sampled_from(JSON_TEXTS)))


@st.composite
def other_arrays(draw, name):
    """An npz file of other arrays than the run's, or of none."""
    if draw(st.integers(0, 3)) == 0:
        return draw(broken_archives())
    arrays = [
        *WRONG.values(),
        *ODD_CODES.values(),
        np.zeros((2, 1, 8, 8), np.uint8),
        np.zeros((3, 9, 2, 8, 8), np.uint8),
    ]
    pictured = ("originals", "reconstructions", "reconstructions_unseen", "traversals")
    names = st.sampled_from(["codes", *pictured, "x", "../../x"])
    kept = {} if draw(st.booleans()) else _arrays_of(name)
    content = io.BytesIO()
    np.savez(content, **(kept | {draw(names): arrays[draw(st.integers(0, len(arrays) - 1))]}))
    return content.getvalue()


@st.composite
def damages(draw):
    """A file of a run, and its new content; None deletes it."""
    name = draw(st.sampled_from(FILES))
    kind = draw(st.sampled_from(["gone", "cut", "raw", "other", "other", "other", "other"]))
    whole = _content_of(name)
    if kind == "gone":
        return name, None
    if kind == "cut":
        return name, whole[: draw(st.integers(0, len(whole)))]
    if kind == "raw":
        return name, draw(st.binary(max_size=40))
    if name.endswith(".json"):
        return name, draw(other_json(json.loads(whole))).encode()
    return name, draw(other_arrays(name)) if name.endswith(".npz") else draw(st.sampled_from(HISTORIES)).encode()


def _arrays_of(name):
    rng = np.random.default_rng(0)
    if name == "probe.npz":
        return {"codes": rng.normal(size=(20, 10))}
    images = rng.integers(256, size=(8, 1, 8, 8), dtype=np.uint8)
    return {"originals": images, "reconstructions": images, "traversals": images[:, :, None].repeat(9, 1)}


def _content_of(name, run=HURT):
    """What that file of that run holds before it is damaged."""
    if (GOLDEN / run / name).exists():
        return (GOLDEN / run / name).read_bytes()
    if name == "history.csv":
        return b"step,loss,kl_per_latent_0,kl_per_latent_1\n1,9.0,2.0,1.0\n2,8.0,3.0,0.5\n"
    if name == "agreement.json":
        return json.dumps({"models": [run], "version": 1, "values": {"score": 0.5, "spearman": 0.5}}).encode()
    content = io.BytesIO()
    np.savez(content, **_arrays_of(name))
    return content.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder of three whole runs."""
    out = tmp_path_factory.mktemp("sound") / "out"
    for run in STORED:
        (out / "runs" / run).mkdir(parents=True)
        for name in FILES:
            (out / "runs" / run / name).write_bytes(_content_of(name, run))
    return out


def _rows(out):
    """What the tables say of the runs that were not hurt, agreement with that one aside."""
    with (out / "runs.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] != HURT]
    return sorted((row["run"], row["metric"], row["value"]) for row in rows if not row["metric"].startswith("udr"))


def _tables_of_damaged(sound, damage, names=STORED):
    """Make the tables of a copy in which one file is damaged; nothing else may change."""
    name, content = damage
    with tempfile.TemporaryDirectory() as top:
        out = Path(top, "work", "out")
        shutil.copytree(sound, out)
        Path(top, "beside.txt").write_text("kept")
        path = out / "runs" / HURT / name
        path.unlink() if content is None else path.write_bytes(content)
        with untouched(Path(top), out):
            code, _, told = answer(["leaderboard", "--out", str(out)])
        assert code == DONE
        assert told == "" or re.fullmatch(rf"warning: {HURT} is damaged and does not count: its .+\n", told)
        assert {path.name for path in (out / "runs").iterdir()} == set(names)
        return _rows(out)


@pytest.fixture(scope="module")
def rows(sound):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.report.regenerate.draw_all", lambda *_: [])
        return _tables_of_damaged(sound, ("spec.json", _content_of("spec.json")))


@pytest.fixture
def without_plots(monkeypatch):
    """Most of the time goes into them."""
    monkeypatch.setattr("benchmark.report.regenerate.draw_all", lambda *_: [])


@tries(700, everyday=10)
@given(damages())
def test_a_damaged_run_costs_no_other(sound, rows, without_plots, damage):
    assert _tables_of_damaged(sound, damage) == rows


def _with(name, **changes):
    """That file with some of its values replaced."""
    return name, json.dumps(json.loads(_content_of(name)) | changes).encode()


@tries(70, everyday=1)
@given(damages())
@example(_with("spec.json", source="/../../../../x"))
@example(_with("spec.json", hyperparameters={"beta": "$x_{$", "[/red]": "[red]"}))
def test_a_damaged_run_leaves_the_plots(sound, rows, damage):
    assert _tables_of_damaged(sound, damage) == rows
