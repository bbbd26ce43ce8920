"""What the judge shows in a terminal: the scores that most people ask for, in columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmetry.evaluate.comparison import Comparison
    from segmetry.judging import Evaluation
    from segmetry.types import Estimate

SHOWN: Mapping[str, Mapping[str, str]] = {
    "instance": {
        "instance": "ap50 ap75 ap90 map precision recall f1 pq count_error splits merges",
        "instance_pooled": "ap50 map precision recall f1 pq",
        "published_emps": "ap ap50 ap75 mean_iou",
        "semantic": "iou dice boundary_f1 hausdorff95",
        "semantic_pooled": "iou",
        "physical": "count_error d10_error d50_error d90_error mean_error fraction_error count_deviation d50_deviation "
        "size_wasserstein size_ks rdf_rmse d50_covered",
    },
    "semantic": {
        "semantic": "accuracy mean_iou mean_dice precision recall iou dice mcc boundary_f1 hausdorff95 "
        "mean_surface_distance surface_dice cldice roc_auc pr_auc ece brier",
        "semantic_pooled": "accuracy mean_iou iou dice mcc",
    },
}
"""What the terminal shows of each family, by the kind of labels; files and --json hold everything."""
PER_CLASS = ("iou", "precision", "recall")
"""What is shown of each class."""
ASIDE = {
    "published_emps": "recall is no part of it",
    "physical": "errors: found / true - 1",
    "semantic": "all objects as one class",
    "semantic_pooled": "all objects as one class",
}
"""What is to be known of a family beside objects."""
WORST = 5


def verdict_lines(found: Evaluation, *, saved: bool = False) -> Iterator[str]:
    """Yield what came out, line by line.

    Parameters
    ----------
    found : Evaluation
    saved : bool
        Whether all scores were written to files.
    """
    from segmetry.evaluate.judgement import FAMILIES, HEADLINE
    from segmetry.report.text import format_estimate, plural

    kind, n = found.rules.kind, len(found.images)
    family, headline = HEADLINE[kind].split(".")
    of_groups = f" of {plural(found.n_groups, found.group_name)}" if found.groups is not None else ""
    unit = found.group_name if found.groups is not None else "image"
    yield f"{plural(n, 'image')}{of_groups}; {_brackets(found.estimates[family][headline], unit)}"
    for key, scores in found.estimates.items():
        aside = f"; {ASIDE[key]}" if key in ASIDE and kind == "instance" else ""
        yield f"{key} ({FAMILIES[key].averaging}{aside})"
        chosen = [name for name in SHOWN[kind].get(key, "").split() if name in scores]
        yield from _indented(_aligned([[name, *_cells(scores[name], n)] for name in chosen]))
        yield from _indented(_aligned(_class_rows(scores)))
    for name, beside in found.agreement.items():
        if name == HEADLINE[kind]:
            c = beside.ceiling
            yield f"two annotators agree by {name} {format_estimate(c.value, c.low, c.high)} (A: TRUTH, B: --second)"
            yield from (f"  {sentence}" for sentence in beside.sentences)
    if n > WORST:
        best = [(one.values[family][headline], one.name) for one in found.images]
        worst = sorted(pair for pair in best if math.isfinite(pair[0]))[:WORST]
        yield "worst: " + ", ".join(f"{name} ({headline} {value:.2f})" for value, name in worst)
    if not saved:
        yield "more scores, and those of each image: -o FOLDER or --json"


def rank_lines(found: Comparison) -> Iterator[str]:
    """Yield the ranking, line by line: place, tier, score, difference to the best, time."""
    from segmetry.report.comparison_words import headline
    from segmetry.report.text import format_significant, plural, print_estimate

    of_groups = f" of {plural(found.n_groups, found.groups)}" if found.groups != "image" else ""
    brackets = _brackets(found.ranking[0].estimate, found.groups)
    yield f"{plural(found.n_images, 'image')}{of_groups}, ranked by {found.ranked_by} (mean over images); {brackets}"
    cost = found.table[(found.table["family"] == "cost") & (found.table["score"] == "seconds")]
    seconds = cost.groupby("method")["value"].median().to_dict()
    rows = [["", "tier", "method", found.ranked_by.partition(".")[2], f"minus {found.ranking[0].method}", "p"]]
    rows[0] += ["s per image"] if seconds else []
    for r in found.ranking:
        gap, p = "", ""
        if r.to_best is not None:
            d = r.to_best.estimate
            gap, p = str(print_estimate(d.value, d.low, d.high, d.unit)), f"{r.to_best.p_value:.2g}"
        e = r.estimate
        row = [f"{r.place}.", str(r.tier), r.method, str(print_estimate(e.value, e.low, e.high, e.unit)), gap, p]
        rows.append(row + ([format_significant(seconds.get(r.method, math.nan), 2)] if seconds else []))
    yield from _aligned(rows)
    yield " ".join(headline(found))
    if len(found.ranking) > 1:
        yield "minus: the same images, with interval; p: chance of so large a difference between methods equally good"


def _brackets(e: Estimate, unit: str) -> str:
    """Return what the brackets mean, or why there are none."""
    if math.isfinite(e.low):
        few = f" ({e.note})" if e.note else ""
        return f"[low, high]: {e.level:.0%} interval for the population of {unit}s{few}".replace("%", " %")
    return f"no intervals ({e.note})" if e.note else "no intervals"


def _cells(e: Estimate, n_images: int) -> list[str]:
    """Return value, interval with unit, and how many images have the score where not all do."""
    from segmetry.report.text import print_estimate

    printed = print_estimate(e.value, e.low, e.high, e.unit)
    few = f"{e.n} of {n_images} images have it" if 0 < e.n < n_images else ""
    return [printed.value, f"{printed.interval} {printed.unit}".strip(), few]


def _class_rows(scores: Mapping[str, Estimate]) -> list[list[str]]:
    """Return a table of classes: a row for each, with a few scores; empty where no score is of single classes."""
    from segmetry.report.text import format_estimate

    classes = [name.partition("[")[2].rstrip("]") for name in scores if name.startswith(f"{PER_CLASS[0]}[")]
    if not classes:
        return []
    rows = [["class", *PER_CLASS]]
    for one in classes:
        found = [scores.get(f"{name}[{one}]") for name in PER_CLASS]
        rows.append([one, *("" if e is None else format_estimate(e.value, e.low, e.high, e.unit) for e in found)])
    return rows


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text in columns.

    Examples
    --------
    >>> _aligned([["a", "0.5"], ["long", "1"]])
    ['a     0.5', 'long  1']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines)
