from dataclasses import replace

import pytest

import methods
from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.presets import PRESETS
from benchmark.spec import RunSpec, canonical_json, expand

GOLDEN = {
    "vae-dsprites-quick-s0-": RunSpec("vae"),
    "betavae-beta4-dsprites-quick-s0-": RunSpec("betavae", {"beta": 4}),
    "betavae-beta0.5-dsprites_mini-standard-s3-": RunSpec("betavae", {"beta": 0.5}, "dsprites_mini", "standard", 3),
}


def test_run_ids_never_change():
    assert [spec.run_id for spec in GOLDEN.values()] == [
        "vae-dsprites-quick-s0-d3c3da4877",
        "betavae-beta4-dsprites-quick-s0-20f7112822",
        "betavae-beta0.5-dsprites_mini-standard-s3-767940ef41",
    ]


# A method that is changed so that its results change gets a new version, and so a new key here.
KEYS = {
    "aae": "44d438c38a",
    "adagvae": "2a6b11f601",
    "adamlvae": "cb1ffb0d59",
    "annealedvae": "b27c8072a0",
    "betatcvae": "abe0d8f381",
    "betavae": "754d8a1ca0",
    "constrained_vae": "8d7cb6def0",
    "controlvae": "15ed571867",
    "dava": "286aebce5d",
    "dcign": "149aad3504",
    "dipvae_i": "fd8bbc7baf",
    "dipvae_ii": "2b367b9744",
    "dynamicvae": "197245167d",
    "factorqvae": "3c28346cd9",
    "factorvae": "f47e555ed8",
    "ground_truth": "8ad9f1a1ec",
    "groupvae": "05d79551a4",
    "hfs": "5b251d2ce0",
    "ica": "3a3ad9e68e",
    "infogan": "e0f097fe0c",
    "infogan_cr": "67bf1aadc7",
    "jointvae": "75cdbd5e6a",
    "mlvae": "8ae5ba2b62",
    "pca": "7658d1d1db",
    "pcl": "b498b1c861",
    "pixels": "cd51720f35",
    "qlae": "478dd2b7f1",
    "s2_betatcvae": "9691cc8a28",
    "s2_betavae": "d519444c3e",
    "s2_dipvae_i": "e92b417825",
    "s2_factorvae": "54052236a7",
    "slowvae": "34043f33ff",
    "supervised": "299e61b587",
    "tripod": "f18f501ed1",
    "vae": "bf340d3b83",
    "vae_untrained": "39cb6ffd17",
    "wae_mmd": "1f1dd156d4",
}


@pytest.mark.parametrize("method", KEYS)
def test_keys_of_methods_never_change(method):
    assert RunSpec(method, preset="standard").run_id.endswith(f"-dsprites-standard-s0-{KEYS[method]}")


def test_every_method_has_a_golden_key():
    assert {name for name in methods.REGISTRY if methods.REGISTRY[name].__module__.startswith("methods.")} == {*KEYS}


def test_a_new_version_of_a_method_is_another_run(monkeypatch):
    before = RunSpec("vae").run_id
    monkeypatch.setattr(methods.REGISTRY["vae"], "version", 2)
    assert RunSpec("vae").run_id != before


def test_names_are_readable():
    for start, spec in GOLDEN.items():
        assert spec.run_id.startswith(start)


def test_equal_values_are_one_run():
    same = [RunSpec("betavae", {"beta": 4}), RunSpec("betavae", {"beta": 4.0}), RunSpec("betavae")]
    assert len({spec.run_id for spec in same}) == 1
    assert len(set(same)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"method": "vae", "hyperparameters": {}},
        {"hyperparameters": {"beta": 5}},
        {"dataset": "dsprites_mini"},
        {"preset": "standard"},
        {"seed": 1},
        {"steps": 10},
        {"source": "published"},
        {"hyperparameters": {"beta": 4.0000001}},
    ],
)
def test_what_changes_the_result_changes_the_name(change):
    base = {"method": "betavae", "hyperparameters": {"beta": 4}}
    assert RunSpec(**(base | change)).run_id != RunSpec(**base).run_id


def test_the_presets_own_steps_are_the_same_run():
    assert RunSpec("vae", steps=RunSpec("vae").protocol.steps).run_id == RunSpec("vae").run_id


def test_canonical_json():
    assert canonical_json({"b": 4.0, "a": [1.5, True, (2.0,)]}) == '{"a":[1.5,true,[2]],"b":4}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("inf")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "betvae"}, "unknown method 'betvae'; did you mean 'betavae'"),
        ({"method": "betavae", "preset": "quik"}, "did you mean 'quick'"),
        ({"method": "betavae", "hyperparameters": {"bta": 1}}, "did you mean 'beta'"),
        ({"method": "vae", "hyperparameters": {"beta": 1}}, "vae has no hyperparameters"),
        ({"method": "betavae", "hyperparameters": {"beta": -1}}, "betavae.beta is -1; it takes a number of at least 0"),
        ({"method": "betavae", "hyperparameters": {"beta": float("nan")}}, "betavae.beta is nan"),
        ({"method": "betavae", "hyperparameters": {"beta": "4"}}, "betavae.beta is '4'"),
        ({"method": "vae", "seed": -1}, "seed -1 is negative"),
        ({"method": "vae", "steps": 0}, "steps is 0"),
    ],
)
def test_bad_specifications(arguments, message):
    with pytest.raises(UsageError, match=message):
        RunSpec(**arguments)


def test_expand_crosses_everything_once():
    grids = {("betavae", "beta"): [1, 4, 4.0]}
    specs = expand(["vae", "betavae"], grids, {"dsprites_mini": "rendered"}, [0, 1], "quick", 5)
    assert [(spec.method, dict(spec.hyperparameters), spec.seed) for spec in specs] == [
        ("vae", {}, 0),
        ("betavae", {"beta": 1}, 0),
        ("betavae", {"beta": 4}, 0),
        ("vae", {}, 1),
        ("betavae", {"beta": 1}, 1),
        ("betavae", {"beta": 4}, 1),
    ]


def test_a_grid_for_an_absent_method():
    with pytest.raises(UsageError, match="not among the methods"):
        expand(["vae"], {("betavae", "beta"): [1]}, {"dsprites": "rendered"}, [0], "quick", None)


def test_what_a_preset_says_beside_its_protocol_is_no_part_of_a_run(monkeypatch):
    before = RunSpec("vae").run_id
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], summary="another", left_out=("mig",)))
    assert RunSpec("vae").run_id == before
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], batch=32))
    assert RunSpec("vae").run_id != before


def test_a_new_version_of_the_data_is_another_run(monkeypatch):
    before = RunSpec("vae").run_id
    monkeypatch.setitem(datasets.VERSIONS, "dsprites", 2)
    assert RunSpec("vae").run_id != before
