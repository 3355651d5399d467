"""Writes docs/methods.md, the page on methods, from what they declare and do.

python -m tests.benchmarks.methods_page
"""

import inspect
import re
from dataclasses import Field
from pathlib import Path
from types import FunctionType
from typing import Any

import methods
from benchmark import datasets
from benchmark.report.display import first_line
from benchmark.spec import RunSpec, format_value
from benchmark.training.harness import make_method
from methods.base import Labelled, Method, hyperparameter_fields, name_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods.md"
TESTS = ROOT / "tests" / "methods"

CHOOSING = """\
What a method may be told decides most ([what the field has asked for](../results/reference/since_2021/README.md)), so ask that first:

| you have | take | and mind |
|---|---|---|
| images alone | `betavae` over its grid, `betatcvae`, `factorvae`, `dipvae_i`, `annealedvae`: the study's; `hfs`, `qlae`, `tripod`, `factorqvae` since | no one choice of a hyperparameter does for all data; `udr` may help to choose without labels |
| a KL that you want | `constrained_vae`, `controlvae`, `dynamicvae` | the constraint of the paper itself, found by the training in place of a grid of beta |
| pairs of images that share factors | `adagvae`, `adamlvae`; told which: `groupvae`, `mlvae` | that pairs share factors is information, and these methods stand in no contest with the first row |
| images in time | `slowvae`, `pcl` | factors must move by themselves; `pcl` has no decoder |
| batches in which one factor varies | `dcign` | it is told which |
| a hundred or a thousand labels | `s2_betavae`, `s2_factorvae`, `s2_betatcvae`, `s2_dipvae_i` | `s2_betavae.labels` says how many |
| all labels | `supervised` | what encoders of this size can do at all |
| images alone, and another view of the matter | `infogan`, `infogan_cr`, `aae`, `wae_mmd`, `dava`, `jointvae` | adversaries, other distances from the prior, a category among the codes |
| a table that wants a floor and a ceiling | `pca`, `ica`, `pixels`, `vae_untrained`; `ground_truth` | the last are the factors themselves, and take part in no contest |\
"""  # noqa: E501 -- rows of a table

KEPT = """\
Each is one file in `methods/`. All pass `python run_benchmark.py check all`, as `tests/benchmark/test_conformance.py`
holds them to: what is trained has gradients where it should, learns 32 images by heart, trains in a pack as it does
alone to rounding, and goes on from a checkpoint as if it had never stopped, among twenty things.

*sees*: what a step's losses are given. *decodes*: whether it makes images of codes. *cost*: processor time of a step
beside `vae`'s in the preset `quick`, on one core. *lines*: of code in its own file, without comments, docstrings and
blank lines. *tests*: where its loss is held against an independent computation.\
"""


def page() -> str:
    """The whole page."""
    names = sorted(methods.names())
    parts = [
        "# Methods",
        "<!-- Written by `python -m tests.benchmarks.methods_page`: change what it reads, and not this. -->",
        "## Which one?",
        CHOOSING,
        "## What they are made of",
        KEPT,
        _table(["method", "sees", "decodes", "cost", "lines", "tests"], [_row(name) for name in names]),
        "## One by one",
        *(_section(name) for name in names),
    ]
    return "\n\n".join(parts) + "\n"


def _row(name: str) -> list[str]:
    method = _made(name)
    cost = vars(type(method)).get("cost")
    told = _sees(method) if method.players() else "no steps"
    decodes = "yes" if _overrides(method, "decode") else "no"
    return [f"[{name}](#{name})", told, decodes, f"{cost:.1f}" if cost else "", str(lines_of(name)), _tests_of(name)]


def _made(name: str) -> Method:
    dataset = datasets.load("dsprites_mini")
    return make_method(RunSpec(name, dataset=dataset.name), dataset)


def _sees(method: Method) -> str:
    batches = method.batches()
    if isinstance(batches, Labelled):
        return f"{name_of(batches)} ({f'{batches.images:,}' if batches.images else 'all'})"
    return name_of(batches)


def _overrides(method: Method, hook: str) -> bool:
    own = getattr(type(method), hook)
    return isinstance(own, FunctionType) and own is not getattr(Method, hook)


def _tests_of(name: str) -> str:
    """The file of tests that is called like the method, or else the one that names it most often."""
    own = TESTS / f"test_{name}.py"
    told = re.compile(rf"\b{name}\b")
    most = max(sorted(TESTS.glob("test_*.py")), key=lambda path: len(told.findall(path.read_text())))
    path = own if own.exists() else most
    return f"[{path.stem.removeprefix('test_')}](../{path.relative_to(ROOT)})"


def lines_of(name: str) -> int:
    """Lines of code in the method's file, without comments, docstrings and blank lines."""
    text = inspect.getsource(inspect.getmodule(methods.REGISTRY[name]))  # type: ignore[arg-type]
    text = re.sub(r'^ *"""(?:.|\n)*?"""$', "", text, flags=re.MULTILINE)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def _section(name: str) -> str:
    cls = methods.REGISTRY[name]
    text = inspect.cleandoc(cls.__doc__ or "")
    head, _, reference = text.partition("Reference: ")
    body = head.partition("\n")[2].strip()
    settings = [f"- {_setting(each)}" for each in hyperparameter_fields(cls).values()]
    parts = [f"### {name}", f"**{first_line(text)}**", body, f"Reference: {reference}", "\n".join(settings)]
    return "\n\n".join(filter(None, parts))


def _setting(told: Field[Any]) -> str:
    grid = ", ".join(map(format_value, told.metadata["grid"]))
    text = f"`{told.name}`: {told.metadata['meaning']}; {format_value(told.default)} by default"
    return f"{text}, literature's grid {grid}" if grid else text


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in [header, *rows]]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


if __name__ == "__main__":
    PAGE.write_text(page())
