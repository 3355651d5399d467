"""What runs of a world are scored on beside the uniform grid."""

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.datasets.worlds import held_out_of
from benchmark.scoring import draw_pictures, measure
from benchmark.scoring.parts import (
    ACROSS,
    Part,
    draw_part,
    encode_parts,
    measure_parts,
    parts_of_run,
    scored_on_parts,
    tables_of,
)
from benchmark.spec import RunSpec
from benchmark.training.harness import build
from metrics import REGISTRY

HELD_OUT, CORRELATED = "held_out=shape=2,position_x=2..3", "correlated=shape:scale:0.3"


@pytest.fixture(scope="module", params=[HELD_OUT, CORRELATED, f"{CORRELATED} {HELD_OUT}"])
def world(request):
    return datasets.load("dsprites_mini", world=request.param)


def _spec(world, **given):
    return RunSpec("vae", dataset="dsprites_mini", steps=1, world=world.world, **given)


def test_parts_hold_what_they_should(world):
    parts = parts_of_run(_spec(world), world)
    held_out = held_out_of(world)
    assert [*parts] == (["correlated"] if held_out is None else ["seen", "unseen"])
    for part, rows in parts.items():
        assert len(rows.train) > len(rows.test) > 10
        inside = held_out is not None and np.isin(rows.all, held_out).all()
        assert inside == (part == "unseen")
        if part != "unseen":
            assert (world.population.probabilities(torch.from_numpy(rows.all)) > 0).all()
        if part == "unseen" or CORRELATED not in world.world:
            assert len(np.unique(rows.all)) == len(rows.all)


def test_parts_are_decided_by_the_seed_alone(world):
    one, again, other = (parts_of_run(_spec(world, seed=seed), world) for seed in (0, 0, 1))
    for part, rows in one.items():
        assert np.array_equal(rows.all, again[part].all)
        assert not np.array_equal(rows.all, other[part].all)


def test_an_ideal_world_has_no_parts(mini):
    assert parts_of_run(RunSpec("vae", dataset="dsprites_mini"), mini) == {}
    assert scored_on_parts(REGISTRY, "") == {}


def test_all_of_little_is_taken_two_thirds_to_train_on():
    world = datasets.load("dsprites_mini", world=HELD_OUT)
    rows = draw_part("unseen", world, 10_000, 5_000, 0)
    assert (len(rows.train), len(rows.test)) == (43, 21)
    assert sorted(rows.all) == held_out_of(world).tolist()
    seen = draw_part("seen", world, 10_000, 5_000, 0)
    assert sorted(np.concatenate([seen.all, rows.all])) == [*range(384)]
    assert [len(each) for each in (draw_part("seen", world, 20, 10, 0).train, draw_part("unseen", world, 8, 4, 0).test)]


def test_correlated_rows_are_of_what_training_draws():
    world = datasets.load("dsprites", world="correlated=shape:scale:0.3")
    rows = draw_part("correlated", world, 10_000, 5_000, 0)
    shapes, scales = world.factors(rows.all)[:, :2].T.numpy()
    seen = np.zeros((3, 6))
    np.add.at(seen, (shapes, scales), 1 / 15_000)
    expected = np.exp(-((np.arange(3)[:, None] / 2 - np.arange(6) / 5) ** 2) / (2 * 0.3**2))
    np.testing.assert_allclose(seen, expected / expected.sum(), atol=0.012)  # four standard errors


def test_factors_of_one_value_are_not_in_a_table():
    world = datasets.load("dsprites_mini", world=HELD_OUT)
    rows = parts_of_run(_spec(world), world)
    codes = {part: Part(own, world.factors(own.all).double().numpy()) for part, own in rows.items()}
    tables = tables_of(codes, world)
    assert [*tables] == ["seen", "unseen", ACROSS]
    assert tables["seen"].factor_names == tables[ACROSS].factor_names == world.factor_names
    assert tables["unseen"].factor_names == ("scale", "orientation", "position_x", "position_y")
    assert tables["unseen"].codes.shape == (43, 5)
    assert len(tables[ACROSS].codes_test) == 64
    assert np.array_equal(tables[ACROSS].codes, tables["seen"].codes)
    np.testing.assert_array_equal(tables[ACROSS].codes_test, tables[ACROSS].factors_test)
    np.testing.assert_array_equal(tables["seen"].codes_test, tables["seen"].factors_test)


def test_metrics_of_parts_cannot_be_confused():
    chosen = {"mig": REGISTRY["mig"], "mig[bins=10]": REGISTRY["mig"].with_options(bins=10)}
    names = {name: part for name, (_, part) in scored_on_parts(chosen, HELD_OUT).items()}
    assert names == {
        "mig@seen": "seen",
        "mig@unseen": "unseen",
        "mig[bins=10]@seen": "seen",
        "mig[bins=10]@unseen": "unseen",
        "generalisation@seen": "seen",
        "generalisation@unseen": ACROSS,
    }
    assert [*scored_on_parts({"mig": REGISTRY["mig"]}, CORRELATED)] == ["mig@correlated"]


def test_a_models_codes_measures_and_pictures_of_parts(world):
    spec = _spec(world)
    method, networks = build(spec, world)
    rows = parts_of_run(spec, world)
    parts = encode_parts(method, networks, world, rows)
    measures = measure_parts(method, networks, world, rows, spec)
    assert {*measures} == {f"reconstruction@{part}" for part in rows}
    for part, own in parts.items():
        with torch.inference_mode():
            means = networks["encoder"](world.images(rows[part].all))[:, :10]
        np.testing.assert_allclose(own.codes, means.numpy(), atol=1e-5)
        alone = measure(method, networks, world, rows[part], spec)["reconstruction"]
        assert measures[f"reconstruction@{part}"] == alone
    if "unseen" in rows:
        pictures = draw_pictures(method, networks, world, rows["seen"], rows["unseen"])
        images = world.images(rows["unseen"].test[:8])
        np.testing.assert_array_equal(pictures["originals_unseen"], (images * 255).byte().numpy())
        assert pictures["reconstructions_unseen"].shape == (8, 1, 64, 64)
