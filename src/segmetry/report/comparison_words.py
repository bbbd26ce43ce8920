"""What a comparison says in words: names of scores, the headline, who cannot be told from whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from segmetry.evaluate.scores import score_name
from segmetry.report.text import format_estimate, plural, print_estimate
from segmetry.types import Estimate

if TYPE_CHECKING:
    from segmetry.evaluate.comparison import Comparison, Rank
    from segmetry.evaluate.scores import Score

Families = Mapping[str, Mapping[str, "Score"]]
"""The tables of scores by family: ``{"instance": INSTANCE, "physical": PHYSICAL, ...}``."""

FAMILY_WORDS = {
    "instance": "instances, mean over images",
    "instance_pooled": "instances, all objects of all images together",
    "published_emps": "published EMPS protocol",
    "semantic": "pixels, mean over images",
    "semantic_pooled": "pixels, those of all images together",
    "physical": "physical quantities",
    "cost": "cost",
}
_LISTED = 4


def best_of(key: str, families: Families) -> str:
    """Return which value of a score is better: ``"high"``, ``"low"`` or ``"zero"``; high where nothing is known."""
    family, name = _parts(key)
    score = families.get(family.removesuffix("_pooled"), {}).get(name)
    return score.best if score is not None else "high"


def meaning_of(key: str, families: Families) -> str:
    """Return the line that tells what a score is; empty where nothing is known."""
    family, name = _parts(key)
    score = families.get(family, {}).get(name) or families.get(family.removesuffix("_pooled"), {}).get(name)
    return score.meaning if score is not None else ""


def averaging_of(estimate: Estimate) -> str:
    """Return how a score was averaged, the first words of its method: ``mean over images``."""
    return estimate.method.partition(";")[0].strip()


def gap_of(rank: Rank) -> Estimate:
    """Return a method's paired difference to the best, nan where there is none."""
    return rank.to_best.estimate if rank.to_best is not None else Estimate("difference", math.nan)


def told_apart(rank: Rank) -> bool:
    """Return whether the interval of a method's paired difference to the best leaves 0 out."""
    d = gap_of(rank)
    return math.isfinite(d.low) and math.isfinite(d.high) and not d.low <= 0 <= d.high


def headline(comparison: Comparison) -> list[str]:
    """Return the outcome in plain sentences: which method is best, by how much, and which cannot be told from it.

    A method "is best" only where it is told apart from every other; else it "comes first".
    """
    ranked = [r for r in comparison.ranking if math.isfinite(r.estimate.value)]
    over = plural(comparison.n_images, "image")
    if not ranked:
        return [f"No method could be scored on {over}."]
    name, best = score_name(comparison.ranked_by), ranked[0]
    e = best.estimate
    averaging = averaging_of(e)
    value = format_estimate(e.value, e.low, e.high, e.unit)
    about = f"{name} {value}" + (f", {averaging}" if averaging else "")
    if len(ranked) == 1:
        return [f"{best.method} has {about} ({over}); there is no other method to compare it with."]
    behind = [r for r in ranked[1:] if told_apart(r)]
    equal = [r for r in ranked[1:] if not told_apart(r)]
    said = [f"{best.method} {'comes first' if equal else 'is best'}: {about} ({over})."]
    if equal:
        said.append(f"These images cannot tell it from {_listed([f'{r.method} ({_gap_words(r)})' for r in equal])}.")
    if behind:
        said.append(
            f"It is ahead of {_listed([f'{r.method} by {_lead_words(r)}' for r in behind])}, on the same images."
        )
    else:
        said.append("No method is shown to be worse than it.")
    return said


def _listed(parts: list[str]) -> str:
    """Return a list in words, cut after the first few."""
    if len(parts) > _LISTED:
        parts = [*parts[:_LISTED], f"{len(parts) - _LISTED} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _lead_words(rank: Rank) -> str:
    d = gap_of(rank)
    low, high = sorted((abs(d.low), abs(d.high)))
    return format_estimate(abs(d.value), low, high, rank.estimate.unit)


def _parts(key: str) -> tuple[str, str]:
    family, _, name = key.partition(".")
    return family, name.partition("[")[0]


def _gap_words(rank: Rank) -> str:
    d = gap_of(rank)
    if not math.isfinite(d.value):
        return "no difference known"
    printed = print_estimate(d.value, d.low, d.high, rank.estimate.unit)
    sign = "+" if d.value > 0 else ""
    return f"difference {sign}{printed}"
