"""What outsiders send: stored as a run like any other, with how its scores are known; what is wrong is one sentence."""

import copy
import csv
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import metrics
from benchmark.cli import main
from benchmark.report import paper
from benchmark.report.leaderboard import write_tables
from benchmark.running import submissions
from benchmark.running.execution import Workplace, score
from benchmark.scoring.encoding import as_table
from benchmark.scoring.fixed_rows import fixed_images, fixed_rows
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder, stored_runs
from benchmark.training.harness import build

pytestmark = pytest.mark.whole

SPEC = {
    "who": "A. Stranger",
    "method": "random projections",
    "paper": "Stranger 2026",
    "dataset": "dsprites_mini",
    "dataset_version": 1,
}
METRICS = ("mig", "sap")
WEIGHTS = {"method": "betavae", "architecture": "small_fc", "latents": 10}


@pytest.fixture(scope="module")
def model(mini):
    """Networks of ours with weights of nobody's, and their codes of the fixed rows."""
    method, networks = build(RunSpec("betavae", {"beta": 4}, "dsprites_mini"), mini)
    images = torch.from_numpy(np.concatenate([*fixed_images(mini, fixed_rows(mini).all)])).float() / 255
    with torch.inference_mode():
        return networks, method.encode(networks, images).numpy()


@pytest.fixture
def codes(model):
    return model[1]


@pytest.fixture
def send(tmp_path):
    """Writes the folder of a submission."""

    def write(arrays=None, networks=None, spec=None, **said):
        folder = tmp_path / "sent"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        told = {key: value for key, value in (SPEC | said).items() if value is not None}
        (folder / "spec.json").write_text(json.dumps(told) if spec is None else spec, encoding="utf-8")
        for name, own in (arrays or {}).items():
            np.savez(folder / f"{name}.npz", **(own if isinstance(own, dict) else {"codes": own}))
        for name, network in (networks or {}).items():
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / name)
        return folder

    return write


def store(folder, out, name="Stranger's", tables=True):
    """What `submit` does, in this process and by two metrics."""
    runs, workplace = submissions.receive(folder, name, out, None), Workplace(out, "cpu", metrics=METRICS)
    encoded = [run for run in (submissions.store(received, workplace) for received in runs) if run]
    assert all(score(each, workplace).finished for each in encoded)
    if tables:
        write_tables(out)
    return [run_folder(out, received.run_id) for received in runs]


def rows_of(out, name="leaderboard.csv"):
    return pd.read_csv(out / name)


# --- what is stored ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_figures")
def test_submit_end_to_end(send, codes, mini, tmp_path, capsys):
    out, folder = (
        tmp_path / "out",
        send({"codes-0": codes[:, :4], "codes-3": codes[:, 4:]}, hyperparameters={"beta": 4}),
    )
    command = ["submit", str(folder), "--name", "Stranger's", "--out", str(out), "--metrics", "mig,sap", "--jobs", "1"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "Stranger_s-beta4-dsprites_mini-submitted-s3-" in printed.err
    assert "Stranger's (recomputed)" in printed.out
    runs = rows_of(out, "runs.csv")
    assert set(runs["evidence"]) == {"recomputed"}
    assert set(runs["preset"]) == {"submitted"}
    assert set(runs["seed"]) == {0, 3}
    rows = fixed_rows(mini)
    table = as_table(codes[:, :4], mini, rows)
    own = runs[(runs["seed"] == 0) & (runs["metric"] == "mig")]["value"]
    assert own.tolist() == [metrics.find("mig").score(table, 0)["score"]]
    board = rows_of(out)
    assert board[["seeds", "rank", "train_rows", "test_rows", "codes"]].to_numpy().tolist() == [[2, 1, 256, 128, 6]]
    assert not board["udr_mean"].isna().any()  # of the codes of rows that are the same for all
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(command) == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

    # Like any other run it is scored with more, and archived.
    assert main(["score-stored", str(out), "--metrics", "modularity", "--jobs", "1"]) == 0
    assert (rows_of(out)["modularity_n"] == 2).all()
    assert main(["archive", "--out", str(out), "--to", str(tmp_path / "to")]) == 0
    for name in ("runs.csv", "leaderboard.csv"):
        assert (tmp_path / "to" / name).read_bytes() == (out / name).read_bytes()


def test_parts_and_whole_are_one(send, codes, tmp_path):
    parts = store(send({"codes": {"codes_train": codes[:256], "codes_test": codes[256:]}}), tmp_path / "a")
    whole = store(send({"codes": codes}), tmp_path / "b")
    assert parts[0].path.name == whole[0].path.name
    assert parts[0].read_json("scores.json") == whole[0].read_json("scores.json")


@pytest.mark.parametrize("part", ["all networks", "the encoder alone"])
def test_weights_that_give_the_codes_verify_them(send, model, tmp_path, part):
    networks, codes = model
    kept = networks if part == "all networks" else torch.nn.ModuleDict({"encoder": networks["encoder"]})
    (folder,) = store(
        send({"codes": codes.astype(np.float16)}, {"encoder.safetensors": kept}, weights=WEIGHTS), tmp_path
    )
    assert folder.read_json("submission.json")["evidence"] == "verified"
    assert rows_of(tmp_path)["evidence"].tolist() == ["verified"]
    # Sent again without them it is in the same place, and less is known of it.
    (again,) = store(send({"codes": codes}), tmp_path)
    assert again.path == folder.path
    assert rows_of(tmp_path)["evidence"].tolist() == ["recomputed"]


def test_what_weights_give_is_scored_and_not_what_was_sent(send, mini, tmp_path):
    """A code that hardly varies could hide labels, too small to be told from rounding."""
    rows, networks = fixed_rows(mini), build(RunSpec("betavae", dataset="dsprites_mini"), mini)[1]
    with torch.no_grad():
        networks["encoder"][-1].weight[0] *= 1e-9  # which silences a code
        images = torch.from_numpy(np.concatenate([*fixed_images(mini, rows.all)])).float() / 255
        honest = networks["encoder"](images)[:, :10].double().numpy()
    forged = honest.copy()
    forged[:, 0] += 1e-6 * honest.std() * mini.factors(rows.all)[:, 4].numpy()
    (folder,) = store(send({"codes": forged}, {"encoder.safetensors": networks}, weights=WEIGHTS), tmp_path)
    assert folder.read_json("submission.json")["evidence"] == "verified"
    scored = folder.read_json("scores.json")["metrics"]["mig"]["values"]["score"]
    fair, unfair = (metrics.find("mig").score(as_table(own, mini, rows), 0)["score"] for own in (honest, forged))
    assert scored == pytest.approx(fair, abs=1e-3)
    assert unfair > fair + 0.02


def test_seeds_have_weights_of_their_own(send, model, tmp_path):
    networks, codes = model
    store(send({"codes-0": codes, "codes-1": codes**2}, {"encoder-0.safetensors": networks}, weights=WEIGHTS), tmp_path)
    assert rows_of(tmp_path, "runs.csv").groupby("seed")["evidence"].first().tolist() == ["verified", "recomputed"]
    assert rows_of(tmp_path)["evidence"].tolist() == ["recomputed"]  # the weakest


@pytest.mark.usefixtures("without_figures")
def test_claims_stand_apart_and_are_never_ranked(send, codes, tmp_path):
    store(send({"codes": codes}), tmp_path)
    store(send(scores={"mig": 0.99, "sap": 0.9}, seed=1, dataset="dsprites_mini"), tmp_path)
    board = rows_of(tmp_path).set_index("evidence")
    assert board.loc["claimed", "mig_mean"] == 0.99
    assert board.loc["claimed", "preset"] == "claimed"
    assert board.loc["claimed", ["rank", "mig_rank", "sap_rank", "train_rows"]].isna().all()
    assert board.loc["recomputed", ["rank", "mig_rank", "sap_rank"]].tolist() == [1, 1, 1]
    assert set(rows_of(tmp_path, "runs.csv")["stale"]) == {"none"}
    assert main(["leaderboard", "--out", str(tmp_path)]) == 0
    assert main(["score-stored", str(tmp_path), "--metrics", "mig", "--jobs", "1"]) == 0


def test_what_is_known_of_a_run_and_lost_counts_for_nothing(send, codes, tmp_path):
    (folder,) = store(send({"codes": codes}), tmp_path)
    for spoil in (lambda path: path.write_text('{"evidence": "measured?"}'), lambda path: path.unlink()):
        spoil(folder.path / "submission.json")
        write_tables(tmp_path)
        assert rows_of(tmp_path)["evidence"].tolist() == ["claimed"]
        assert rows_of(tmp_path)["rank"].isna().all()


def test_vectors_of_codes_are_told_in_the_row(send, codes, tmp_path):
    (folder,) = store(send({"codes": codes}, groups="0-3,4-7,8,9", hyperparameters={"k": 2}), tmp_path)
    assert rows_of(tmp_path)["hyperparameters"].tolist() == ["k=2 groups=0-3,4-7,8,9"]
    assert folder.read_json("scores.json")["codes"] == 4
    assert "4 groups of columns" in folder.read_json("submission.json")["notes"][0]


@pytest.mark.usefixtures("without_figures")
def test_odd_codes_are_told_and_kept(send, mini, tmp_path, capsys):
    factors = mini.factors(fixed_rows(mini).all).numpy().astype(float)
    out = tmp_path / "out"
    given = ["submit", str(send({"codes": factors})), "--name", "Oracle", "--out", str(out)]
    assert main([*given, "--metrics", "mig", "--jobs", "1"]) == 0
    assert re.search(
        "^warning: each of codes .* follows from the factors all but exactly", capsys.readouterr().err, re.M
    )
    assert rows_of(out)["remarks"].str.contains("as made of labels").all()
    (folder,) = stored_runs(out)
    checks = folder.read_json("submission.json")["checks"]
    assert all(check["limits"] for check in checks)
    assert len(checks) == 7


NASTY = [
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A0",
    "../../escape",
    "-rf",
    "@SUM(1)",
    "nan",
    "日本",
    "[red]x[/red]",
]


def test_names_from_outside_are_text(send, codes, tmp_path):
    out = tmp_path / "out"
    for name in NASTY:
        said = {"who": name, "method": name, "paper": name, "source": name, "hyperparameters": {name: name}}
        (folder,) = store(send({"codes": codes}, **said), out, name, tables=False)
        assert folder.path.resolve().parent == (out / "runs").resolve()
        assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", folder.path.name)
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out", "sent"}
    board = rows_of(out)
    assert board["method"].str.removeprefix("'").sort_values().tolist() == sorted(NASTY)
    for table in ("runs.csv", "leaderboard.csv"):
        with (out / table).open(newline="") as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+")) or cell == "-rf"]


def test_a_name_that_is_taken(send, codes, tmp_path):
    store(send({"codes": codes}), tmp_path)
    with pytest.raises(
        ValueError, match=r"name \"Stranger's\" is taken in .*, by A. Stranger, random .*or delete .*runs"
    ):
        store(send({"codes": codes}, who="Another"), tmp_path)
    shutil.copytree("tests/data/golden/runs", tmp_path / "golden" / "runs")
    folder = next(stored_runs(tmp_path / "golden"))
    folder.write_json("spec.json", folder.read_json("spec.json") | {"method": "plugged"})
    with pytest.raises(ValueError, match=r"name 'plugged' is taken in .*, by a method; choose another, or delete"):
        store(send({"codes": codes}), tmp_path / "golden", "plugged")


def test_the_papers_table_takes_none_of_them(send, codes, tmp_path):
    (folder,) = store(send({"codes": codes}), tmp_path)
    spec = folder.read_json("spec.json") | {"method": "vae", "hyperparameters": {}}
    folder.write_json("spec.json", spec)
    assert paper._row(folder) == ""
    del spec["submission"]
    folder.write_json("spec.json", spec)
    assert paper._row(folder) == "VAE"


def test_codes_too_many_to_keep(send, tmp_path):
    wide = np.random.default_rng(0).normal(size=(384, 120))
    (folder,) = store(send({"codes": wide}), tmp_path)
    assert not folder.keeps_codes
    assert folder.finished


@pytest.mark.usefixtures("without_figures")
def test_seeds_that_are_not_sent_any_more_are_removed(send, codes, tmp_path, capsys):
    old = store(send({"codes-0": codes, "codes-1": codes**2}), tmp_path)
    words = ["--name", "Stranger's", "--out", str(tmp_path), "--metrics", "mig", "--jobs", "1"]
    assert main(["submit", str(send({"codes-0": codes}, paper="Stranger 2027")), *words]) == 0
    told = capsys.readouterr().err
    assert all(f"removed: {folder.path.name}, which is not sent any more" in told for folder in old)
    assert [folder.read_json("spec.json")["seed"] for folder in stored_runs(tmp_path)] == [0]
    assert not any(folder.path.exists() for folder in old)


@pytest.mark.parametrize("kind", ["equal", "all but equal", "reordered", "negated"])
def test_equal_codes_are_no_seeds(send, codes, tmp_path, capsys, kind):
    noise = np.random.default_rng(0).normal(size=codes.shape) * codes.std(0) / 1_000
    other = {"equal": codes, "all but equal": codes + noise, "reordered": codes[:, ::-1], "negated": -codes}[kind]
    folder = send({"codes-0": codes, "codes-1": other})
    assert "hold the same codes, so that they are no seeds" in refused(
        capsys, tmp_path, "submit", str(folder), "--name", "x"
    )


# --- what is refused ---------------------------------------------------------------------------------


def refused(capsys, tmp_path, *words):
    before = sorted(tmp_path.rglob("*"))
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err[:-1].isprintable()
    assert sorted(tmp_path.rglob("*")) == before
    return printed.err


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"spec": "{"}, "as JSON ("),
        ({"spec": "[" * 5000}, "as JSON ("),
        ({"spec": "[]"}, "holds list, where an object is needed."),
        ({"spec": '{"seed": ' + "9" * 5000 + "}"}, "as JSON ("),
        ({"whom": "me"}, "unknown key 'whom'; did you mean 'who'?"),
        ({"who": None}, "does not say 'who'; who, method, paper, dataset, dataset_version are needed."),
        ({"paper": ""}, "paper is ''; it takes a printable text"),
        ({"who": "\x1b[31m"}, r"who is '\x1b[31m'; it takes a printable text"),
        ({"who": "\ud800"}, r"who is '\ud800'; it takes"),
        ({"method": "a" * 301}, "it takes a printable text of at most 300 characters"),
        ({"method": ["a"]}, "method is ['a']; it takes"),
        ({"dataset": "dsprite"}, "unknown data set 'dsprite'; did you mean 'dsprites'?"),
        ({"dataset": "../../etc"}, "unknown data set '../../etc'"),
        ({"dataset_version": 2}, "is of version 2 of dsprites_mini, which is at version 1 here; encode it anew."),
        ({"dataset_version": True}, "dataset_version is True; it takes a whole number of at least 0."),
        ({"rows": "r0123456789"}, "is of rows 'r0123456789', and those of dsprites_mini are r31654c697a"),
        ({"seed": -1}, "seed is -1; it takes a whole number of at least 0."),
        ({"seed": 10**400}, "it takes a whole number"),
        ({"hyperparameters": {"beta": float("nan")}}, "it takes an object of numbers and texts"),
        ({"hyperparameters": {"beta": [1]}}, "it takes an object of numbers and texts"),
        ({"hyperparameters": [4]}, "it takes an object of numbers and texts"),
        ({"hyperparameters": {"groups": "x"}}, "hyperparameters.groups is where `groups` of spec.json stands"),
        ({"groups": "0-99"}, "groups name column 10, and the codes' columns are 0 to 9."),
        ({"groups": "0-99"}, "spec.json: groups name"),
        ({"groups": "0-"}, "spec.json: groups is '0-'; it takes groups of columns from 0"),
        ({"scores": {"mig": 0.5}}, "holds codes, of which scores are recomputed; leave scores out"),
        ({"weights": WEIGHTS}, "tells of weights, but there is no encoder.safetensors."),
        ({"weights": 3}, "weights is 3; it takes an object such as"),
        ({"weights": WEIGHTS | {"architecture": "resnet"}}, "architecture is 'resnet'; it takes one of locatello2019"),
        ({"weights": WEIGHTS | {"latents": 10**6}}, "latents is 1000000; it takes a whole number from 1 to 4,096."),
        ({"weights": {"method": "vae"}}, "weights does not say 'architecture'"),
    ],
)
def test_odd_specifications_are_one_sentence(send, codes, tmp_path, capsys, said, message):
    assert message in refused(capsys, tmp_path, "submit", str(send({"codes": codes}, **said)), "--name", "x")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no codes.npz, nor does its spec.json claim scores; `rows` says what to encode."),
        ({"codes": {"code": np.zeros(3)}}, "holds neither; codes_train and codes_test, or codes alone, are needed."),
        (
            {"codes": {"codes_train": np.zeros((256, 2))}},
            "holds codes_train; codes_train and codes_test, or codes alone",
        ),
        (
            {"codes": {"codes_train": np.zeros((256, 2)), "codes_test": np.zeros((128, 3))}},
            "codes_train and codes_test have different numbers of columns.",
        ),
        ({"codes": np.zeros((383, 2))}, "codes is float64 of shape (383, 2); numbers (384, D) are needed"),
        ({"codes": np.zeros(384)}, "codes is float64 of shape (384,); numbers (384, D) are needed"),
        ({"codes": np.full((384, 2), "1")}, "codes is <U1 of shape (384, 2)"),
        ({"codes": np.zeros((384, 0))}, "codes has shape (256, 0)"),
        ({"codes": np.full((384, 2), np.nan)}, "codes holds nan or infinity."),
        ({"codes": np.full((384, 2), 1e300)}, "codes holds numbers as large as 1e+300"),
        ({"codes": np.array([{}] * 384, dtype=object)}, "as an npz file of plain arrays ("),
        ({"codes": np.zeros((384, 2)), "codes-01": np.zeros((384, 2))}, "'codes-01.npz', which is not looked at"),
        ({"Codes": np.zeros((384, 2))}, "'Codes.npz', which is not looked at; call files codes.npz, codes-0.npz"),
        (
            {"codes": np.zeros((384, 2)), "codes-1": np.zeros((384, 2))},
            "holds both codes.npz and codes-1.npz; number all",
        ),
    ],
)
def test_odd_codes_are_one_sentence(send, tmp_path, capsys, arrays, message):
    assert message in refused(capsys, tmp_path, "submit", str(send(arrays)), "--name", "x")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"migg": 0.5}, "spec.json: unknown metric 'migg'; did you mean 'mig'?"),
        ({"all": 0.5}, "all is several metrics; name each."),
        ({"mig": 1.5}, "mig is 1.5; it runs from 0 to 1."),
        ({"mig": "1"}, 'it takes an object of metrics and numbers, such as {"mig": 0.3}.'),
        ({}, "it takes an object of metrics and numbers"),
    ],
)
def test_odd_claims_are_one_sentence(send, tmp_path, capsys, scores, message):
    assert message in refused(capsys, tmp_path, "submit", str(send(scores=scores)), "--name", "x")


def test_weights_that_are_others_are_one_sentence(send, model, codes, tmp_path, capsys):
    networks, given = model

    def told(codes=given, saved=networks, name="encoder.safetensors", **said):
        folder = send({"codes": codes}, {name: saved}, **said)
        return refused(capsys, tmp_path, "submit", str(folder), "--name", "x")

    assert "gives other codes: " in told(codes[::-1], weights=WEIGHTS)
    spoilt = copy.deepcopy(networks)
    with torch.no_grad():
        spoilt["encoder"][-1].bias[0] = float("nan")
    assert "encoder.safetensors gives codes that are not finite" in told(saved=spoilt, weights=WEIGHTS)
    assert "gives 10 codes, and there are 9 in the file of codes." in told(codes[:, :9], weights=WEIGHTS)
    assert "architecture is ['vae']; it takes one of" in told(weights=WEIGHTS | {"architecture": ["vae"]})
    assert "holds no weights of betavae (" in told(weights=WEIGHTS | {"latents": 9})
    assert "holds no weights of betavae (" in told(weights=WEIGHTS | {"architecture": "locatello2019"})
    assert "holds no weights of pixels (" in told(weights=WEIGHTS | {"method": "pixels"})
    assert "ground_truth encodes no images" in told(
        saved=torch.nn.Identity(), weights=WEIGHTS | {"method": "ground_truth"}
    )
    assert "no network or hyperparameter 'bta'" in told(weights=WEIGHTS | {"hyperparameters": {"bta": 1}})
    assert "unknown method 'vay'" in told(weights=WEIGHTS | {"method": "vay"})
    assert "no network or hyperparameter 'encoder'" in told(
        saved=torch.nn.ModuleDict({"decoder": networks["decoder"]}), weights=WEIGHTS
    )
    assert "say in spec.json what they are of, by weights" in told()
    assert "encoder-3.safetensors, but no codes of the same number." in told(
        name="encoder-3.safetensors", weights=WEIGHTS
    )
    assert "and weights are tried on 'rendered' here; name --data-dir." in told(weights=WEIGHTS, source="published")


def test_weights_are_never_executed(send, codes, tmp_path, capsys):
    folder = send({"codes": codes}, weights=WEIGHTS)
    torch.save({"encoder": torch.nn.Linear(2, 2)}, folder / "encoder.safetensors")
    assert "holds no weights of betavae (" in refused(capsys, tmp_path, "submit", str(folder), "--name", "x")


def test_seeds_are_told_once(send, codes, tmp_path, capsys):
    folder = send({"codes-1": codes}, seed=1)
    assert "codes-1.npz, which tells its seed" in refused(capsys, tmp_path, "submit", str(folder), "--name", "x")


def test_factors_of_another_source_are_refused(send, tmp_path, capsys):
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    arrays = {"images": rng.integers(256, size=(60, 8, 8), dtype=np.uint8), "factors": np.arange(60)[:, None] % 3}
    np.savez(data / "faces.npz", **arrays, factor_names=np.array(["look"]))
    folder = send({"codes": rng.normal(size=(60, 3))}, dataset="faces", source="own-0123456789")
    words = ("submit", str(folder), "--name", "x", "--data-dir", str(data))
    assert "is of source 'own-0123456789', and faces is of 'own-" in refused(capsys, tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["submit", "nowhere", "--name", "x"], "nowhere is no folder; name one with spec.json and codes.npz."),
        (["submit", "{sent}", "--name", "betavae"], "name 'betavae' is that of a method here; choose another"),
        (["submit", "{sent}", "--name", ""], "name is ''; it takes a printable text of at most 80 characters"),
        (["submit", "{sent}", "--name", "a\nb"], r"name is 'a\nb'; it takes a printable text"),
        (["submit", "{sent}", "--name", "x" * 81], "it takes a printable text of at most 80 characters"),
        (["submit", "{sent}", "--name", "x (Verified)"], "(verified) is what tables say of a row, so choose another"),
        (["submit", "{sent}"], "the following arguments are required: --name"),
        (["submit", "{sent}", "--name", "x", "--metrics", "migg"], "unknown metric 'migg'"),
    ],
)
def test_odd_commands_are_one_sentence(send, codes, tmp_path, capsys, words, message):
    folder = str(send({"codes": codes}))
    assert message in refused(capsys, tmp_path, *(word.replace("{sent}", folder) for word in words))


# --- rows --------------------------------------------------------------------------------------------


def test_rows_are_written(tmp_path, capsys):
    to = tmp_path / "rows.npz"
    assert main(["rows", "dsprites_mini", "--to", str(to), "--images", "--factors"]) == 0
    printed = capsys.readouterr().out
    assert '256 + 128 rows of 384, rendered; in spec.json: "dataset": "dsprites_mini", "dataset_version": 1' in printed
    assert '"rows": "r31654c697a"' in printed
    assert len(np.load(to)["images_train"]) == 256


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dsprite", "--to", "rows.npz"], "unknown data set 'dsprite'; did you mean 'dsprites'?"),
        (["dsprites_mini"], "the following arguments are required: --to"),
        (["dsprites_mini", "--to", "."], "--to is ., which is a folder; name a file in it, such as rows.npz."),
        (["dsprites_mini", "--to", ""], "to is '', which is no path"),
        (["dsprites_mini", "--to", "file/rows.npz"], "name another folder with --to"),
        (["dsprites_mini", "--to", "file"], "cannot read file as an npz file"),
        (["cars3d", "--to", "rows.npz", "--images"], "data set cars3d is read from"),
    ],
)
def test_odd_requests_for_rows_are_one_sentence(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    assert main(["rows", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
