"""Writes docs/metrics.md, the page on measures, from what metrics declare and from scores of known codes.

python -m tests.benchmarks.metrics_page            # from docs/oracles.csv, as it is
python -m tests.benchmarks.metrics_page mcc r2     # scores the known codes with these first (dci, downstream: minutes)
"""

import csv
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmark.report.display import declared_metrics, first_line
from metrics import REGISTRY, Metric
from tests.metrics.oracles import oracle

DOCS = Path(__file__).parents[2] / "docs"
PAGE, SCORES = DOCS / "metrics.md", DOCS / "oracles.csv"
SHOWN = ("truth", "rotated", "doubled", "cubed", "sin, cos", "relabelled", "missing", "noise")
# What takes minutes is tried on less.
FEW_ROWS = {"dci": (1500, 1000), "downstream": (1500, 1000)}
OPTIONS = {"downstream": {"rows": (10, 100, 1000)}}
HEADER = ("metric", "version", "value", "codes")
Scores = dict[tuple[str, str, str, str], float]  # by metric, its version, the value and the codes

CHOOSING = """\
No one number tells which method is best. They ask different things:

| you ask | take | and mind |
|---|---|---|
| does a code stand for one factor only? | `dci_fast` (or `dci`, the study's), `infomec`, `med` | a factor that two codes hold costs nothing |
| does a factor sit in one code only? | `mig`, `sap`, the completeness of `dci_fast`, `infoc` of `infomec` | a code that holds two factors may cost little |
| both at once? | `jemmig`, `omes` | the first's ceiling; the second needs rows that differ in one factor alone |
| has each factor a code of its own? | `mcc`, `dcimig` | `mcc` gives a random rotation of five factors 0.7; other codes cost nothing |
| are the factors there at all, on whatever axes? | `r2`, `explicitness`, `downstream`, informativeness | a rotation costs nothing |
| does an intervention on a factor show? | `beta_vae_score` at 5 pairs, `factor_vae_score`, `irs` | at 64 pairs nearly any code passes `without_shape` |
| is all of a factor in a code, and nothing else, where factors depend on one another? | `minimality_sufficiency` | never minimality alone: codes that miss factors are minimal |
| does one code do, and is it missed? | `snc`, `nk` | accuracies: chance is not 0 |
| do guesses lean on what they should not? | `fairness` | noise is fair |
| can I choose without labels? | `udr`; the total correlations and `active_latents` say how codes look, not what they hold | linear methods agree between seeds and need not be right |

To compare with papers: on disentanglement since 2019 take the study's (`beta_vae_score`, `factor_vae_score`,
`mig`, `dci`, `sap`, `modularity`, `explicitness`, `irs`); on quantised codes `infomec`, and name its version; on
nonlinear ICA and causal representation learning `mcc` and `r2`, and say whether held out or in sample; of codes by
the hundred or thousand, as of self-supervised networks and sparse autoencoders, the top ones of `med`.

Nominal factors (shape), cyclic ones (orientation) and fine ones (32 positions) are where measures differ for
reasons that have nothing to do with methods. Look at the columns *relabelled* and *sin, cos* below: `mcc`, `r2`
and `dci_es` take the order of values for real, those that bin codes do not. Where a score of the truth is below 1,
compare with it and not with 1.\
"""  # noqa: E501 -- rows of a table

CODES = """\
dSprites' five factors drawn uniformly (3 shapes, 6 scales, 40 orientations, 32 x 32 positions), 10,000 rows to
train and 5,000 to test (`dci` and `downstream`: 1,500 and 1,000, of which the latter learns from 1,000 at most).

- *truth*: the factors themselves, scaled; *rotated*: a random rotation of them; *doubled*: each twice; *cubed*:
  their third powers.
- *sin, cos*: orientation as sine and cosine; *relabelled*: two shapes change numbers; *missing*: no code knows the
  shape; *noise*: ten normal codes.\
"""

# What other code and papers do, and which of it is ours.
IN_THE_WILD = {
    "beta_vae_score": (
        "The paper does not say over how many pairs a point is averaged; 64 are the study's and ours, and "
        "`at_5_pairs` is beside it. The paper averages the better half of thirty scores, three of each of ten "
        "models; here each run has one."
    ),
    "dci": (
        "Boosted trees are the study's, the lasso and the random forest the paper's. Informativeness is accuracy, "
        "as in the study; the paper's is the error of a regression. Codes that never vary are left out here."
    ),
    "dci_fast": "Ours alone, and not to be compared with numbers of `dci`.",
    "downstream": "The study's predictors, rows and cross-validation.",
    "explicitness": "Rescaled from [0.5, 1] to [0, 1] in the paper; not in the study, nor here.",
    "factor_vae_score": (
        "Latents of a standard deviation below 0.05 are pruned, as in the study; code that does not may let a "
        "collapsed latent win every vote. What the study prints as active latents is the number of all; here they "
        "are counted."
    ),
    "fairness": (
        "In the paper new images are made that differ in the sensitive factor alone, which a table does not have; "
        "what rows show by chance is taken off here."
    ),
    "generalisation": (
        "The paper trains networks on the images that were seen; here simple predictors learn from codes."
    ),
    "infomec": (
        "Three published versions disagree on which latents are active and on neighbours: latent_quantization's "
        "present state (ours), its first commit, and tripod's; `version` has all. Published cross-entropies are of "
        "the rows that were fitted; ours are of test rows."
    ),
    "irs": "As in the study, whose number of active codes is the sum of the codes themselves; here they are counted.",
    "mcc": (
        "Mostly in sample: Pearson's correlation in causal representation learning, Spearman's in work on "
        "disentanglement. Held out here, and all four are stored. Some code divides by the number of codes where "
        "these are fewer, or fills up with columns of noise; here a factor without a code counts as 0. Some caps "
        "weak MCC at five components; here there are as many as codes and factors allow."
    ),
    "med": (
        "The published code gives nan where a code never varies. The accuracy that it prints beside is here "
        "`downstream`'s."
    ),
    "mig": (
        "20 bins of codes and none of factors, as in the study. Some code bins factors too, or divides by the "
        "code's entropy."
    ),
    "minimality_sufficiency": (
        "The published code averages minimality over all codes, 0 / 0 where one never varies; here over those that "
        "vary."
    ),
    "modularity": "All codes count, as in the study; `without_dead` leaves nearly dead ones out.",
    "omes": (
        "The published code draws new images, and weighs codes by their association twice, as here; our pairs are "
        "rows of the table."
    ),
    "r2": (
        "Some code fits without an intercept, or on the rows that it scores; a kernel regression on at most some "
        "thousand rows is the usual nonlinear one. R of Lachapelle et al. is `r`."
    ),
    "sap": "The study's classifier; `continuous` is of squared correlations.",
    "snc": (
        "The published code cuts tied codes in two, trains a network for knockout, and prints two accuracies whose "
        "difference it is."
    ),
}


def oracle_scores(names: list[str]) -> Scores:
    """The columns of those metrics, of the codes that are shown."""
    found: Scores = {}
    for name in names:
        metric = REGISTRY[name].with_options(**OPTIONS.get(name, {}))
        for codes in SHOWN:
            values = metric.score(oracle(codes, *FEW_ROWS.get(name, ())), 0)
            found |= {(name, str(metric.version), column, codes): values[column] for column in metric.columns}
    return found


def read_scores() -> Scores:
    """The committed scores."""
    with SCORES.open(newline="") as file:
        rows = csv.DictReader(file)
        return {(row["metric"], row["version"], row["value"], row["codes"]): float(row["score"]) for row in rows}


def write_scores(scores: Scores) -> None:
    """A row a score, by metric, in the order of codes."""
    order = sorted(scores, key=lambda key: (key[0], SHOWN.index(key[3])))
    with SCORES.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*HEADER, "score"])
        rows.writerows([*key, f"{scores[key]:.4f}"] for key in order)


def page(scores: Scores) -> str:
    """The whole page."""
    declared = declared_metrics()
    parts = [
        "# Metrics",
        "<!-- Written by `python -m tests.benchmarks.metrics_page`: change what it reads, and not this. -->",
        "## Which one?",
        CHOOSING,
        "## What known codes score",
        CODES,
        _overview(declared, scores),
        "## One by one",
        *(part for metric in declared.values() for part in _section(metric, scores)),
    ]
    return "\n\n".join(parts) + "\n"


def _overview(declared: dict[str, Metric], scores: Scores) -> str:
    rows = [[f"[{name}](#{name})", *_cells(declared[name], "score", scores)] for name in sorted(REGISTRY)]
    return _table(["score", *SHOWN], rows)


def _cells(metric: Metric, value: str, scores: Scores) -> list[str]:
    found = [scores[metric.name, str(metric.version), value, codes] for codes in SHOWN]
    return [f"{round(score, 3) + 0.0:.3f}" for score in found]  # 0.0 and -0.0 are one to a reader


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in [header, *rows]]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def _section(metric: Metric, scores: Scores) -> Iterator[str]:
    text = inspect.cleandoc(metric.function.__doc__ or "")
    definition, args, returns = (_passage(text, name) for name in ("", "Args", "Returns"))
    yield f"### {metric.name}"
    yield f"**{first_line(text)}** {metric.reference}."
    yield definition
    yield "\n".join(_facts(metric, returns, args))
    if metric.name in REGISTRY:
        yield _table(["", *SHOWN], [[f"`{value}`", *_cells(metric, value, scores)] for value in metric.columns])


def _passage(text: str, name: str) -> str:
    """A docstring's paragraphs between its first line and `Args` or what comes next; or one such passage, indented."""
    head, *rest = re.split(r"^(Args|Returns|Raises|Example|Reference|Warns):(?= |$)", text, flags=re.MULTILINE)
    passages = dict(zip(rest[::2], rest[1::2], strict=True))
    if name:
        return inspect.cleandoc("\n" + passages.get(name, ""))
    return head.partition("\n")[2].strip()


def _facts(metric: Metric, returns: str, args: str) -> Iterator[str]:
    low, high = (f"{end:g}".replace("inf", "infinity") for end in metric.range)
    better = "more" if metric.higher_is_better else "less"
    yield f"- **Score**: {low} to {high}, {better} is better{'' if metric.ranked else '; it takes part in no rank'}."
    yield f"- **Chance**: {metric.chance}. **Ceiling**: {metric.ceiling}."
    yield f"- **Values**: {_joined(returns)}"
    options = [f"`{name}={_written(default)}`" for name, default in metric.options.items()]
    yield f"- **Options**: {', '.join(options) or 'none'}. {_joined(args)}".rstrip()
    told = [f"not {what}: {why}" for what, why in metric.breaks.items()]
    yield f"- **What it does not hold to**: {'; '.join(told) or 'nothing that is tried'}."
    yield f"- **Cost**: {metric.cost} at 10,000 rows of ten codes. Version {metric.version}."
    yield f"- **In the wild**: {IN_THE_WILD.get(metric.name, 'as published.')}"


def _joined(passage: str) -> str:
    """An indented list of names and what they are, on one line, the names as code."""
    told = re.sub(r"\s*\n\s+", " ", passage).splitlines()
    items = [re.sub(r"^([\w<>@, ]+?): ", lambda found: f"`{found[1]}`: ", line.strip()) for line in told]
    return " ".join(item if item.endswith(".") else f"{item}." for item in items if item)


def _written(default: object) -> str:
    return "+".join(map(str, default)) if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    known = read_scores() if SCORES.exists() else {}
    if names := sys.argv[1:]:
        kept = {key: score for key, score in known.items() if key[0] not in names}
        write_scores(kept | oracle_scores(names))
    PAGE.write_text(page(read_scores()))
