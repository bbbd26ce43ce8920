"""Methods on the same labelled images: scores, ranks with paired intervals, and what the scores depend on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.batch import Outcome
from segmetry.competitors import Competitor
from segmetry.errors import OptionError
from segmetry.evaluate.combining import combine, tidy
from segmetry.evaluate.comparison import Comparison, Rank
from segmetry.evaluate.dependence import Trend, trend
from segmetry.evaluate.judgement import HEADLINE, ImageScores, Kind, Rules, score_of
from segmetry.evaluate.paired import Difference, paired_difference
from segmetry.evaluate.scores import Score, score_name
from segmetry.partners import some_names
from segmetry.pipeline import Provenance, make_provenance
from segmetry.recipe import Recipe
from segmetry.trials import Trials
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd


def compare(
    trials: Trials,
    rules: Rules,
    *,
    groups: Sequence[str] | None = None,
    group_name: str = "",
    rank_by: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    properties: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Comparison:
    """Return how methods compare on the same images.

    Parameters
    ----------
    trials : Trials
    rules : Rules
    groups : sequence of str, optional
        The group of each image of `trials`.
    group_name : str
        What the groups are.
    rank_by : str, optional
        Full name of a score; `HEADLINE` of the kind by default.
    settings : mapping of method to mapping, optional
        The options of each method, as data.
    properties : mapping of str to (n,) sequence, optional
        Numbers of each image of `trials` that scores are set against too, such as its dose.
    seed : int
        Of the bootstrap.

    Raises
    ------
    OptionError
        If no image could be judged, or there is no such score.
    """
    import pandas as pd

    if not trials.names:
        raise OptionError("no image could be judged: all of them failed.")
    rank_by = rank_by or HEADLINE[rules.kind]
    score = ranking_score(rank_by, rules.kind)
    estimates = {
        method: {
            f"{family}.{name}": e
            for family, found in combine(images, groups=groups, seed=seed).items()
            for name, e in found.items()
        }
        for method, images in trials.scores.items()
    }
    values = {method: _ranking_values(images, rank_by, score) for method, images in trials.scores.items()}
    ranking = rank(values, {m: found[rank_by] for m, found in estimates.items()}, score, groups=groups, seed=seed)
    methods = tuple(r.method for r in ranking)
    table = pd.concat([_table(trials, method, groups) for method in methods], ignore_index=True)
    objects = pd.concat([_objects(trials, method, groups) for method in methods], ignore_index=True)
    trends = {
        method: (
            *_image_trends(trials, values[method], rank_by, properties or {}, groups, seed),
            *_object_trends(objects[objects["method"] == method] if len(objects) else objects, seed),
        )
        for method in methods
    }
    return Comparison(
        methods,
        rules.kind,
        rank_by,
        table,
        objects,
        estimates,
        ranking,
        trends,
        group_name or "image",
        len(trials.names),
        len(set(groups)) if groups is not None else len(trials.names),
        tuple(trials.failures),
        tuple(_notes(trials, methods)),
        settings or {},
    )


def ranking_score(name: str, kind: Kind) -> Score:
    """Return the record of a score that methods can be ranked by.

    Raises
    ------
    OptionError
        If there is no such score, or it has no value for single images and so no paired differences.
    """
    score = score_of(name, kind)
    family, _, rest = name.partition(".")
    if family.endswith("_pooled"):
        own = f"{family.removesuffix('_pooled')}.{rest}"
        raise OptionError(f"{name} has no value for single images, which ranking compares; rank by {own}.")
    return score


def _notes(trials: Trials, methods: Sequence[str]) -> Iterator[str]:
    """Yield what is to be said of the images of each method: one line for all images of which the same is said."""
    for method in methods:
        said: dict[str, list[str]] = {}
        for one in trials.scores[method]:
            for note in one.notes:
                said.setdefault(note.partition(": the overlap")[0], []).append(one.name)
        for note, names in said.items():
            yield f"{method}: {note}: {some_names(names)} ({len(names)} of {len(trials.names)} images)"


def _ranking_values(images: Sequence[ImageScores], rank_by: str, score: Score) -> np.ndarray:
    """Return the ranking score of each image; of a signed error its size."""
    family, _, name = rank_by.partition(".")
    found = np.array([one.values.get(family, {}).get(name, math.nan) for one in images])
    return np.abs(found) if score.best == "zero" else found


def rank(
    values: Mapping[str, np.ndarray],
    estimates: Mapping[str, Estimate],
    score: Score,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Rank, ...]:
    """Return the methods, best first, each with its paired difference to the best.

    The order is that on the images of which every method has the score.

    Parameters
    ----------
    values : mapping of method to (n,) array
        The ranking score of every image; nan where there is none.
    estimates : mapping of method to Estimate
        Its mean, as it is shown.
    score : Score
        Which way is better.
    groups, seed
        Of the bootstrap.
    """
    sign = -1.0 if score.best == "high" else 1.0
    # Where a method lacks a score it mostly found nothing: on the images that all have, it gains nothing by that.
    scored = [v for v in values.values() if np.isfinite(v).any()]
    shared = np.isfinite(scored).all(axis=0) if scored else np.zeros(0, bool)

    def badness(method: str) -> float:
        seen = np.isfinite(values[method]) & (shared if shared.any() else True)
        return sign * float(values[method][seen].mean()) if seen.any() else math.inf

    order = sorted(values, key=badness)
    ranks: list[Rank] = []
    tier, leader = 1, order[0]
    for place, method in enumerate(order, 1):
        to_best = None
        if place > 1:
            to_best = _difference(values, order[0], method, groups, seed)
            to_leader = to_best if leader == order[0] else _difference(values, leader, method, groups, seed)
            if not to_leader.estimate.low <= 0 <= to_leader.estimate.high and math.isfinite(to_leader.estimate.low):
                tier, leader = tier + 1, method
        ranks.append(Rank(method, place, tier, estimates[method], to_best))
    return tuple(ranks)


def _difference(
    values: Mapping[str, np.ndarray], a: str, b: str, groups: Sequence[str] | None, seed: int
) -> Difference:
    return paired_difference(values[a], values[b], name=f"{b} - {a}", groups=groups, seed=seed)


_COST_UNITS = {"seconds": "s", "peak_memory": "MiB", "megapixels": "Mpx"}


def _table(trials: Trials, method: str, groups: Sequence[str] | None) -> pd.DataFrame:
    import pandas as pd

    owners = groups if groups is not None else trials.names
    costs = [
        (name, group, "cost", key, value, _COST_UNITS[key])
        for name, group, cost in zip(trials.names, owners, trials.costs[method], strict=True)
        for key, value in cost.items()
    ]
    scores = tidy(trials.scores[method], groups=owners)
    both = pd.concat([scores, pd.DataFrame(costs, columns=scores.columns)], ignore_index=True)
    return both.assign(method=method)[["method", *scores.columns]]


def _objects(trials: Trials, method: str, groups: Sequence[str] | None) -> pd.DataFrame:
    """Return what became of each object, with its size and contrast in the truth."""
    import pandas as pd

    owners = groups if groups is not None else trials.names
    parts = []
    for name, group, scores, known in zip(trials.names, owners, trials.scores[method], trials.properties, strict=True):
        if not scores.objects:
            continue
        rows = pd.DataFrame(list(scores.objects))
        if known.get("objects"):
            about = pd.DataFrame(known["objects"]).rename(columns={"label": "truth"})
            rows = rows.merge(about, on="truth", how="left")
        parts.append(rows.assign(method=method, image=name, group=group))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"method": []})


IMAGE_TRENDS = (
    ("contrast_relative", "contrast", ""),
    ("equivalent_diameter", "median diameter", "px"),
    ("crowding", "crowding", ""),
    ("aspect_ratio", "aspect ratio", ""),
    ("noise", "noise", "grey levels"),
)
OBJECT_TRENDS = (("equivalent_diameter", "diameter", "px"), ("contrast_relative", "contrast", ""))
"""What scores of images, and overlaps of objects, are set against: property, its words, its unit."""


def _image_trends(
    trials: Trials,
    values: np.ndarray,
    rank_by: str,
    properties: Mapping[str, Sequence[float]],
    groups: Sequence[str] | None,
    seed: int,
) -> Iterator[Trend]:
    measured = {
        (words, unit): [_number(known["image"].get(key)) for known in trials.properties]
        for key, words, unit in IMAGE_TRENDS
    }
    given = {(words, ""): list(numbers) for words, numbers in properties.items()}
    for (words, unit), numbers in (given | measured).items():
        found = np.array(numbers)
        if np.isfinite(found).any():
            name = score_name(rank_by)
            yield trend(values, found, name=name, against_name=words, unit=unit, groups=groups, seed=seed)


def _object_trends(objects: pd.DataFrame, seed: int) -> Iterator[Trend]:
    for key, words, unit in OBJECT_TRENDS:
        if key not in objects:
            continue
        rows = objects[objects["truth"] > 0]
        yield trend(
            rows["iou"].to_numpy(float),
            rows[key].to_numpy(float),
            name="IoU of objects",
            against_name=words,
            unit=unit,
            groups=rows["group"].to_numpy(),
            seed=seed,
        )


def provenance_of(competitors: Sequence[Competitor], rules: Rules, outcomes: Sequence[Outcome]) -> Provenance:
    """Return what made a comparison that ends now; its recipe is that of all methods and the rules."""
    recipe = next((c.recipe for c in competitors if c.recipe), Recipe())
    made = make_provenance(recipe, input_sha256="", seconds=sum(o.seconds for o in outcomes))
    data = json.dumps([segmetry.__version__, rules.as_dict(), [c.as_dict() for c in competitors]], sort_keys=True)
    return replace(made, recipe_sha256=hashlib.sha256(data.encode()).hexdigest())


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def as_dict(found: Comparison, competitors: Sequence[Competitor], rules: Rules) -> dict[str, Any]:
    """Return a comparison as plain data for JSON."""
    return {
        "segmetry": segmetry.__version__,
        "n_images": found.n_images,
        "n_groups": found.n_groups,
        "groups": found.groups,
        "rules": rules.as_dict(),
        "ranked_by": found.ranked_by,
        "competitors": [one.as_dict() for one in competitors],
        "ranking": [
            {
                "method": r.method,
                "place": r.place,
                "tier": r.tier,
                "estimate": r.estimate.as_dict(),
                "to_best": r.to_best
                and {"difference": r.to_best.estimate.as_dict(), "p_value": r.to_best.p_value, "n": r.to_best.n},
            }
            for r in found.ranking
        ],
        "scores": {
            method: {name: e.as_dict() for name, e in scores.items()} for method, scores in found.estimates.items()
        },
        "trends": {
            method: [
                {
                    "score": t.name,
                    "against": t.against,
                    "unit": t.unit,
                    "scale": t.scale,
                    "slope": t.slope.as_dict(),
                    "rho": t.rho.as_dict(),
                    "sentence": t.sentence,
                }
                for t in trends
            ]
            for method, trends in found.trends.items()
        },
        "failures": [{"method": m, "image": i, "error": e} for m, i, e in found.failures],
        "notes": list(found.notes),
    }
