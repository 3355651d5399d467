"""Runs of worlds that are not ideal, carried out: what is stored, what stands in tables, what goes on."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmark import datasets
from benchmark.cli import main
from benchmark.report.plots import block_name
from benchmark.report.regenerate import regenerate
from benchmark.running import execution
from benchmark.running.execution import Workplace, execute, is_done, read_encoded, score_encoded
from benchmark.running.scheduler import leave_out, prepare, score_beside_training
from benchmark.scoring.parts import Part, draw_part, tables_of
from benchmark.spec import RunSpec, expand
from benchmark.storage.archive import archive_runs
from benchmark.storage.store import run_folder
from benchmark.training.planner import group_by_shape
from metrics import REGISTRY

pytestmark = pytest.mark.whole

HELD_OUT, CORRELATED = "held_out=shape=2,position_x=2..3", "correlated=shape:scale:0.3"
METRICS = ["mig", "modularity", "beta_vae_score"]
PLAIN = RunSpec("vae", dataset="dsprites_mini", steps=2)
SPECS = [PLAIN, replace(PLAIN, world=CORRELATED), replace(PLAIN, world=HELD_OUT)]
SPECS += [RunSpec(name, dataset="dsprites_mini", steps=2, world=HELD_OUT) for name in ("dcign", "pca")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("worlds")
    for spec in SPECS:
        (outcome,) = execute([spec], Workplace(out, device="cpu", metrics=METRICS))
        assert outcome.finished, outcome.reason
    regenerate(out)
    return out


def _scores(out, spec):
    return run_folder(out, spec.run_id).read_json("scores.json")


def test_a_plain_runs_name_stays_and_a_worlds_is_another():
    assert RunSpec("vae").run_id == "vae-dsprites-quick-s0-d3c3da4877"
    assert "world" not in RunSpec("vae").to_dict()
    ids = {
        replace(RunSpec("vae"), world=world).run_id for world in ("", CORRELATED, HELD_OUT, f"{CORRELATED} {HELD_OUT}")
    }
    assert len(ids) == 4
    assert len(group_by_shape(SPECS[:3])) == 3  # which never train together


def test_each_data_set_of_a_sweep_has_a_world_of_its_own():
    sources = {"dsprites": "rendered", "dsprites_mini": "rendered"}
    specs = expand(["vae"], {}, sources, [0], "quick", 2, worlds={"dsprites": HELD_OUT})
    assert [(spec.dataset, spec.world) for spec in specs] == [("dsprites", HELD_OUT), ("dsprites_mini", "")]
    prepare(specs[1:] + SPECS[1:2], None)
    assert leave_out(SPECS, None) == (SPECS, [])


def test_a_plain_run_has_what_it_always_had(finished):
    scores = _scores(finished, PLAIN)
    assert {*scores} == {"rows", "codes", "metrics", "measures", "left_out"}
    assert {*scores["metrics"]} == {*METRICS}
    names = {path.name for path in run_folder(finished, PLAIN.run_id).path.iterdir()}
    assert not [name for name in names if "seen" in name or "correlated" in name]


def test_runs_of_worlds_are_scored_on_their_parts(finished):
    correlated, held_out = (_scores(finished, spec)["metrics"] for spec in SPECS[1:3])
    assert {*correlated} == {name + part for name in METRICS for part in ("", "@correlated")}
    expected = {name + part for name in METRICS for part in ("", "@seen", "@unseen")}
    assert {*held_out} == expected | {"generalisation@seen", "generalisation@unseen"}
    for name, scored in {**correlated, **held_out}.items():
        assert scored["direction"] == (0 if "@" in name else 1)
    assert {*_scores(finished, SPECS[1])["measures"]} >= {"reconstruction", "reconstruction@correlated"}
    assert {*_scores(finished, SPECS[2])["measures"]} >= {"reconstruction@seen", "reconstruction@unseen"}


def test_the_uniform_grid_is_scored_under_the_usual_names(finished):
    """And by the same rows as in the ideal world."""
    rows = [run_folder(finished, spec.run_id).read_arrays("codes.npz")["rows"] for spec in SPECS[:3]]
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


@pytest.mark.parametrize("part", ["seen", "unseen"])
def test_a_parts_score_is_the_metric_of_its_codes(finished, part):
    world, folder = datasets.load("dsprites_mini", world=HELD_OUT), run_folder(finished, SPECS[2].run_id)
    stored = folder.read_arrays(f"codes-{part}.npz")
    rows = draw_part(part, world, 10_000, 5_000, 0)
    assert np.array_equal(stored["rows"], rows.all)
    table = tables_of({part: Part(rows, stored["codes"].astype(float))}, world)[part]
    again = REGISTRY["modularity"].score(table, 0)["score"]
    assert _scores(finished, SPECS[2])["metrics"][f"modularity@{part}"]["values"]["score"] == pytest.approx(
        again, abs=0.02
    )
    assert _scores(finished, SPECS[2])["parts"][part] == {"train": len(rows.train), "test": len(rows.test)}


def test_tables_have_columns_of_their_own_that_rank_nothing(finished):
    board = pd.read_csv(finished / "leaderboard.csv")
    assert set(board["dataset"]) == {"dsprites_mini", f"dsprites_mini {CORRELATED}", f"dsprites_mini {HELD_OUT}"}
    columns = [name for name in board if "@" in name]
    assert {"mig@seen_mean", "mig@unseen_mean", "mig@correlated_mean", "reconstruction@unseen_mean"} <= {*columns}
    assert {"generalisation@unseen_mean", "generalisation@unseen.boosted_mean"} <= {*columns}
    assert "beta_vae_score@seen.at_5_pairs_mean" in columns
    assert not [name for name in columns if name.endswith("_rank")]
    own = board[board["dataset"] == f"dsprites_mini {HELD_OUT}"]
    assert own["mig@seen_n"].tolist() == [1] * 3
    assert own["mig@correlated_n"].sum() == 0
    ranks = own[["mig_rank", "modularity_rank", "beta_vae_score_rank"]].mean(axis=1).rank(method="min")
    assert own["rank"].tolist() == ranks.tolist()
    runs = pd.read_csv(finished / "runs.csv")
    assert not runs["stale"].ne("none").any()
    assert {"generalisation@unseen.linear_scale", "mig@unseen.gap_scale"} <= {*runs["metric"]}


def test_pictures_of_what_was_not_seen(finished):
    drawn = {path.name for path in run_folder(finished, SPECS[2].run_id).path.glob("*.png")}
    assert drawn == {"traversals.png", "reconstructions.png", "reconstructions_unseen.png"}
    folders = {path.name: {each.name for each in path.iterdir()} for path in (finished / "plots").iterdir()}
    assert [name for name in folders if "reconstructions_unseen.png" in folders[name]] == [
        name for name in folders if "held_out" in name
    ]
    assert len(folders) == 3


def test_worlds_that_a_files_name_cannot_tell_apart_have_folders_of_their_own():
    block = {"source": ["rendered"], "preset": ["quick"], "steps": [2000], "protocol": ["p"]}
    names = [
        block_name(pd.DataFrame({"dataset": [f"dsprites {world}"], **block})) for world in ("a=b:c", "a=b,c", "a" * 500)
    ]
    assert len({*names}) == 3
    assert all(name.endswith("-quick-p") for name in names)
    assert max(map(len, names)) < 180


def test_done_is_done_and_one_metric_more_is_scored_alone(finished, tmp_path):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    workplace = Workplace(tmp_path, device="cpu", metrics=METRICS)
    assert all(is_done(spec, workplace) for spec in SPECS)
    more = replace(workplace, metrics=[*METRICS, "sap"])
    assert not any(is_done(spec, more) for spec in SPECS)
    before = _scores(tmp_path, SPECS[2])["metrics"]
    (outcome,) = execute([SPECS[2]], more)
    assert outcome.finished
    after = _scores(tmp_path, SPECS[2])["metrics"]
    assert {*after} - {*before} == {"sap", "sap@seen", "sap@unseen"}
    assert {name: after[name] for name in before} == before
    assert is_done(SPECS[2], more)


def test_stored_codes_are_scored_on_every_part(finished, tmp_path):
    archive_runs(finished, tmp_path, 1, 1)
    workplace = Workplace(tmp_path, metrics=[*METRICS, "sap"])
    for spec in SPECS[1:3]:
        folder = run_folder(tmp_path, spec.run_id)
        encoded = read_encoded(folder, None)
        (outcome,) = score_encoded([encoded], workplace)
        assert outcome.finished
        scores = folder.read_json("scores.json")
        assert {name for name in scores["metrics"] if name.startswith("sap@")} == {
            f"sap@{part}" for part in encoded.tables if part != "across"
        }
        assert scores["parts"] == _scores(finished, spec)["parts"]
        assert is_done(spec, workplace)


def test_where_a_parts_codes_are_not_kept_its_scores_stay(finished, tmp_path):
    archive_runs(finished, tmp_path, 1, 1)
    folder = run_folder(tmp_path, SPECS[2].run_id)
    (folder.path / "codes-unseen.npz").unlink()
    before = folder.read_json("scores.json")
    (outcome,) = score_encoded([read_encoded(folder, None)], Workplace(tmp_path, metrics=[*METRICS, "sap"]))
    assert outcome.finished
    after = folder.read_json("scores.json")
    assert {*after["metrics"]} - {*before["metrics"]} == {"sap", "sap@seen"}
    assert after["metrics"]["mig@unseen"] == before["metrics"]["mig@unseen"]
    assert after["parts"] == before["parts"]


def test_a_metric_that_does_not_suit_a_part_is_left_out_of_it(tmp_path):
    """As it has sixteen images, eleven of which train."""
    world = "held_out=shape=2,orientation=1,position_x=2..3"
    spec = replace(PLAIN, world=world)
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig", "downstream[estimators=logistic,rows=20]"])
    (outcome,) = execute([spec], workplace)
    assert outcome.finished
    assert "downstream[estimators=logistic,rows=20]@unseen left out" in outcome.note
    scores = _scores(tmp_path, spec)
    assert [*scores["left_out"]] == ["downstream[estimators=logistic,rows=20]@unseen"]
    assert "downstream[estimators=logistic,rows=20]@seen" in scores["metrics"]
    assert is_done(spec, workplace)


def test_another_process_scores_the_parts_too(finished, tmp_path):
    (outcome,) = score_beside_training([[SPECS[2]]], Workplace(tmp_path, device="cpu", metrics=["mig"]))
    assert outcome.finished
    ours, theirs = (_scores(out, SPECS[2])["metrics"] for out in (tmp_path, finished))
    assert {*ours} >= {"mig@seen", "mig@unseen", "generalisation@unseen"}
    for name, scored in ours.items():
        assert scored["values"] == pytest.approx(theirs[name]["values"])


class _BrokenOff(BaseException):
    """As when a process is told to end."""


def test_a_broken_training_goes_on_in_the_same_world(finished, tmp_path, monkeypatch):
    train_pack, places = execution.train_pack, []

    def breaking(specs, dataset, *, save, **named):
        def save_and_stop(step, checkpoints):
            save(step, checkpoints)
            if step == 1:
                raise _BrokenOff

        return train_pack(specs, dataset, save=save_and_stop, **named)

    def watching(specs, dataset, **named):
        places.append(dataset.world)
        return train_pack(specs, dataset, **named)

    spec, workplace = SPECS[2], Workplace(tmp_path, device="cpu", metrics=["mig"], checkpoint_seconds=0)
    with monkeypatch.context() as patch:
        patch.setattr(execution, "train_pack", breaking)
        with pytest.raises(_BrokenOff):
            list(execute([spec], workplace))
    monkeypatch.setattr(execution, "train_pack", watching)
    (outcome,) = execute([spec], workplace)
    assert outcome.finished
    assert places == [HELD_OUT]
    model, unbroken = (run_folder(out, spec.run_id).path / "model.safetensors" for out in (tmp_path, finished))
    assert model.read_bytes() == unbroken.read_bytes()


def test_fitted_methods_see_the_world_too(monkeypatch):
    from benchmark.training import harness

    world, given = datasets.load("dsprites_mini", world=HELD_OUT), []
    spec = SPECS[-1]
    method, networks = harness.build(spec, world)
    monkeypatch.setattr(type(method), "fit", lambda self, networks, images, seed: given.append(images))
    harness.fit(spec, method, networks, world)
    for factors, seen in (([2, 1, 0, 1, 0], True), ([2, 1, 0, 3, 0], False)):
        image = world.images(world.indices([factors]))
        assert (given[0] == image).flatten(1).all(1).any() == seen


COMMAND = ["--datasets", "dsprites_mini", "--methods", "vae", "--steps", "2", "--seeds", "0", "--metrics", "mig"]


def test_the_command_line(tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    again = ["--correlated", "scale:shape:.30", "--correlated", "position_x:position_y:1"]
    assert main([*COMMAND, *out, *again, "--hold-out", "shape>1,position_x=3", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert (
        "vae-dsprites_mini_correlated_shape_scale_0.3_position_x_position_y_1_held_out_shape_2_position_x_3-quick"
        in told
    )
    config = tmp_path / "sweep.toml"
    config.write_text(
        'correlated = ["shape:scale:0.3", "position_y:position_x:1"]\nhold-out = "shape=2,position_x=3"\n'
    )
    assert main([*COMMAND, *out, "--config", str(config), "--dry-run"]) == 0
    assert capsys.readouterr().out == told
    assert main([*COMMAND, *out, "--dry-run"]) == 0
    assert PLAIN.run_id.rpartition("-")[2] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--correlated", "roth2023_1"], "unknown correlation of dsprites_mini 'roth2023_1'; did you mean 'roth2023_"),
        (["--correlated", "shape:scale:x"], "its width is 'x'"),
        (["--correlated", ""], "correlated is ''; it takes one or more values with commas between."),
        (["--hold-out", "shape=9"], "hold-out has 'shape=9'; shape takes whole numbers from 0 to 2"),
        (["--hold-out", "shape=1,"], "hold-out is 'shape=1,'; it takes one or more values"),
        (["--hold-out", "shape>0"], "leaves one value of shape to train on"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, capsys, given, told):
    assert main([*COMMAND, "--out", str(tmp_path), *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_table_tells_the_world_it_is_of(finished, capsys):
    assert main(["leaderboard", "--out", str(finished)]) == 0
    printed = capsys.readouterr().out
    assert f"dsprites_mini {HELD_OUT} (rendered), quick: 2 steps" in printed
    assert f"dsprites_mini {CORRELATED} (rendered), quick: 2 steps" in printed
    assert "generalis" in printed
    assert main(["list", "datasets"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "roth2023_conf_shape" in listed
    assert "montero2021_range" in listed
