"""The page of a comparison of methods: one HTML file that needs no network."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.evaluate.scores import NAMES, score_name
from segmetry.report import figures, score_figures, trust_figures
from segmetry.report.agreement import (
    Key,
    Palette,
    four_colours,
    four_colours_key,
    hit_map,
    hit_map_key,
    outcome_key,
    outcome_map,
    with_key,
)
from segmetry.report.comparison_words import (
    FAMILY_WORDS,
    Families,
    averaging_of,
    best_of,
    gap_of,
    headline,
    meaning_of,
    told_apart,
)
from segmetry.report.drawn import data_uri
from segmetry.report.html import environment
from segmetry.report.legend import Swatch
from segmetry.report.overlay import overlay
from segmetry.report.picture import encode_jpeg
from segmetry.report.text import MINUS, NOTHING, format_number, format_significant, plural, print_estimate

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.evaluate.comparison import Comparison
    from segmetry.evaluate.dependence import Trend
    from segmetry.evaluate.paired import Difference

KEY_SCORES = {
    "instance": (
        "instance.ap50", "instance.map", "instance.pq", "physical.d50_error", "physical.d50_deviation",
        "physical.count_deviation", "instance.f1",
    ),
    "semantic": ("semantic.mean_iou", "semantic.iou", "semantic.dice", "semantic.boundary_f1", "semantic.mcc"),
}  # fmt: skip
"""What the table of ranks shows beside the ranking score, where it is there."""
MAX_COLUMNS = 6
WORST = 10
PANEL_SIDE = 640
FEW_GROUPS = 20
"""With fewer images or groups than this a page warns of the intervals."""


class Panel(NamedTuple):
    """A picture of a case with its key."""

    caption: str
    picture: np.ndarray
    key: Key


class WorstCase(NamedTuple):
    """An image on which a method did badly, with pictures that show why."""

    method: str
    image: str
    panels: Sequence[Panel]
    words: str = ""


def worst_images(comparison: Comparison, *, families: Families, n: int = WORST) -> list[tuple[str, float]]:
    """Return the images on which the best method scores worst, the worst first, with that score.

    Images on which the score is nan come last of all, and only where there are fewer than `n` others.
    """
    if not comparison.methods:
        return []
    scores = values_of(comparison, comparison.ranked_by)[comparison.methods[0]]
    badness = {"high": -scores, "low": scores, "zero": scores.abs()}[best_of(comparison.ranked_by, families)]
    order = badness.sort_values(ascending=False, kind="stable", na_position="last").index[:n]
    return [(str(image), float(scores[image])) for image in order]


def worst_case(
    method: str,
    image: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    pixels: np.ndarray | None = None,
    outcomes: pd.DataFrame | None = None,
    others: Sequence[np.ndarray] = (),
    ignore: int | np.ndarray | None = None,
    palette: Palette = "classic",
    words: str = "",
) -> WorstCase:
    """Return the pictures of one method on one image.

    Parameters
    ----------
    method, image : str
    truth, prediction : (M, N) arrays of int
    pixels : (M, N) array, optional
        The image; with it come the outlines of what was found.
    outcomes : DataFrame, optional
        What `evaluate.objects.object_outcomes` says of this pair; with it comes the map of outcomes.
    others : sequence of (M, N) arrays, optional
        What other methods found here; with them comes the hit map.
    ignore, palette
        As for `four_colours`.
    words : str, optional
        A sentence on what is to be seen.
    """
    several = outcomes is None and max(len(np.setdiff1d(one, [0])) for one in (truth, prediction)) > 1
    panels = [
        Panel(
            "Pixel by pixel, background against all other classes" if several else "Pixel by pixel",
            four_colours(truth, prediction, ignore=ignore, palette=palette),
            four_colours_key(truth, prediction, ignore=ignore, palette=palette),
        )
    ]
    if outcomes is not None:
        panels.append(
            Panel(
                "What became of every object",
                outcome_map(outcomes, truth, prediction, pixels, ignore=ignore),
                outcome_key(outcomes),
            )
        )
    if pixels is not None:
        panels.append(
            Panel(
                f"Outlines that {method} found, in colours that only tell neighbours apart",
                overlay(pixels, prediction, numbers=False, max_side=PANEL_SIDE),
                [],
            )
        )
    if others:
        every = [prediction, *others]
        panels.append(
            Panel(
                "How many of the methods were right",
                hit_map(truth, every, ignore=ignore),
                hit_map_key(truth, every, ignore=ignore),
            )
        )
    return WorstCase(method, image, [p._replace(picture=with_key(p.picture, [], max_side=PANEL_SIDE)) for p in panels],
                     words)  # fmt: skip


def values_of(comparison: Comparison, key: str) -> pd.DataFrame:
    """Return a score as a table: one row an image, one column a method, in the order of rank; nan where there is none.

    Raises
    ------
    ValueError
        If an image has a score twice.
    """
    family, _, name = key.partition(".")
    rows = comparison.table
    rows = rows[(rows["family"] == family) & (rows["score"] == name)]
    table = rows.pivot(index="image", columns="method", values="value")
    return table.reindex(columns=list(comparison.methods)).astype(float)


def comparison_figures(comparison: Comparison, *, families: Families) -> dict[str, str]:
    """Return the figures of a comparison as SVG, by name."""
    name = score_name(comparison.ranked_by)
    values = values_of(comparison, comparison.ranked_by)
    ranked = {r.method: r for r in comparison.ranking}
    unit = next((r.estimate.unit for r in comparison.ranking), "")
    drawings: dict[str, Any] = {}
    if len(values):
        means = {m: r.estimate for m, r in ranked.items()}
        drawings["scores"] = score_figures.violins(
            {m: values[m].to_numpy() for m in comparison.methods}, name=name, unit=unit, means=means
        )
    gaps = {r.method: _gap(r.to_best) for r in comparison.ranking if r.to_best is not None}
    if gaps:
        drawings["differences"] = score_figures.forest(gaps, best=comparison.methods[0], name=name, unit=unit)
    best = best_of(comparison.ranked_by, families)
    for number, grid in enumerate(comparison.grids()):
        drawings[f"settings-{number}"] = score_figures.heat(grid, name=name, best=best, unit=unit)
    seconds = values_of(comparison, "cost.seconds").median()
    spent = {
        m: score_figures.Spent(float(seconds[m]), r.estimate.value, r.estimate.low, r.estimate.high)
        for m, r in ranked.items()
        if math.isfinite(seconds.get(m, math.nan))
    }
    if spent:
        drawings["cost"] = score_figures.cost(spent, name=name)
    for number, trends in enumerate(trends_by_subject(comparison).values()):
        drawings[f"trend-{number}"] = trust_figures.trends(trends)
    return {n: figures.svg(f) for n, f in drawings.items() if f is not None}


def comparison_page(
    comparison: Comparison,
    cases: Sequence[WorstCase] = (),
    provenance: Sequence[tuple[str, str]] = (),
    *,
    families: Families,
    commands: Sequence[str] = (),
    drawn: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a comparison.

    Parameters
    ----------
    comparison : Comparison
    cases : sequence of WorstCase
        The worst first.
    provenance : sequence of (name, text)
        How it was made: software, versions, seed, hashes, time; see `segmetry.report.page.provenance_rows`.
    families : mapping of family to table of scores
        ``{"instance": INSTANCE, ...}``: where the meanings of the scores come from, and which way is better.
    commands : sequence of str, optional
        The command lines that make it again.
    drawn : mapping of str to str, optional
        What `comparison_figures` gave, where that was done before.

    Returns
    -------
    page : str
        HTML that loads nothing.
    """
    from segmetry import __version__

    drawn = comparison_figures(comparison, families=families) if drawn is None else drawn
    columns = _columns(comparison)
    lead = comparison.ranking[0].estimate if comparison.ranking else None
    shown = list(dict.fromkeys([*columns, *_all_keys(comparison)]))
    return environment().get_template("comparison.html.j2").render(
        title=f"{plural(len(comparison.methods), 'method')} on {plural(comparison.n_images, 'image')}",
        headline=headline(comparison),
        kind=comparison.kind,
        ranked_by=score_name(comparison.ranked_by),
        n_methods=len(comparison.methods),
        n_images=comparison.n_images,
        n_groups=comparison.n_groups,
        groups=comparison.groups,
        warnings=_warnings(comparison),
        notes=list(comparison.notes),
        averaging=averaging_of(lead) if lead is not None else "",
        level=lead.level if lead is not None else 0.95,
        how=lead.method if lead is not None else "",
        heads=[_head(key, families) for key in columns],
        ranks=_rank_rows(comparison, columns),
        gaps=_gap_rows(comparison),
        figures={n: figures.inline(f, n) for n, f in drawn.items()},
        trends=_trend_rows(comparison),
        cost=_cost_rows(comparison),
        cases=[_case_row(case, comparison) for case in cases],
        case_heads=[score_name(key) for key in _case_columns(comparison, columns)],
        failures=comparison.failures,
        every=_every(comparison),
        methods=comparison.methods,
        definitions=_definitions(shown, families),
        commands=list(commands),
        provenance=list(provenance),
        software=f"segmetry {__version__}",
    )  # fmt: skip


def _definitions(keys: Sequence[str], families: Families) -> list[dict[str, str]]:
    """Return what scores mean, family by family in the order of their tables, each score once.

    Pooled scores and those of single classes mean what the plain ones mean.
    """
    asked = {key.partition("[")[0] for key in keys}
    asked |= {key.replace("_pooled.", ".") for key in asked}
    order = [
        f"{family}.{name}" for family in FAMILY_WORDS for name in families.get(family, ()) if "_pooled" not in family
    ]
    return [d for key in order if key in asked and (d := _head(key, families))["meaning"]]


def trends_by_subject(comparison: Comparison) -> dict[tuple[str, str], dict[str, Trend]]:
    """Return trends by score and what it is set against, then by method in the order of rank.

    What cannot be told of any method, for want of images, is left out.
    """
    found: dict[tuple[str, str], dict[str, Trend]] = {}
    for method in comparison.methods:
        for trend in comparison.trends.get(method, ()):
            found.setdefault((trend.name, trend.against), {})[method] = trend
    return {key: trends for key, trends in found.items() if any(math.isfinite(t.slope.low) for t in trends.values())}


def _gap(difference: Difference) -> score_figures.Gap:
    e = difference.estimate
    return score_figures.Gap(e.value, e.low, e.high, difference.p_value)


def _columns(comparison: Comparison) -> list[str]:
    """Return the scores of the table of ranks: the one that ranks, then those that are usual and there."""
    there = list(dict.fromkeys(key for scores in comparison.estimates.values() for key in scores))
    single = [key for key in there if key.startswith("semantic.iou[")] if comparison.kind == "semantic" else []
    wanted = [comparison.ranked_by, *single, *(k for k in KEY_SCORES.get(comparison.kind, ()) if k in there)]
    if single:  # the plain ones are means of these
        wanted = [key for key in wanted if key not in ("semantic.iou", "semantic.dice")]
    return list(dict.fromkeys(wanted))[:MAX_COLUMNS]


def _all_keys(comparison: Comparison) -> list[str]:
    """Return every score that any method has, family by family."""
    keys = dict.fromkeys(key for method in comparison.methods for key in comparison.estimates.get(method, {}))
    order = list(FAMILY_WORDS)

    def place(key: str) -> int:
        family = key.partition(".")[0]
        return order.index(family) if family in order else len(order)

    return sorted(keys, key=place)


def _head(key: str, families: Families) -> dict[str, str]:
    family = key.partition(".")[0]
    best = {"high": "higher is better", "low": "lower is better", "zero": "nearer to 0 is better"}
    return {
        "key": key,
        "name": score_name(key),
        "family": FAMILY_WORDS.get(family, family.replace("_", " ")),
        "meaning": meaning_of(key, families),
        "best": best[best_of(key, families)],
    }


def _printed(comparison: Comparison, method: str, key: str) -> dict[str, str]:
    e = comparison.estimates.get(method, {}).get(key)
    if e is None:
        return {"value": NOTHING, "interval": "", "unit": "", "note": ""}
    printed = print_estimate(e.value, e.low, e.high, e.unit)
    note = "; ".join(part for part in (e.method, e.note) if part)
    return {"value": printed.value, "interval": printed.interval, "unit": printed.unit, "note": note}


def _rank_rows(comparison: Comparison, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    tier = None
    for rank in comparison.ranking:
        cells = [_printed(comparison, rank.method, key) for key in columns]
        if not comparison.estimates.get(rank.method, {}).get(comparison.ranked_by):
            e = rank.estimate
            printed = print_estimate(e.value, e.low, e.high, e.unit)
            cells[0] = {"value": printed.value, "interval": printed.interval, "unit": printed.unit, "note": e.method}
        rows.append({"method": rank.method, "place": rank.place, "tier": rank.tier, "cells": cells,
                     "first": rank.tier != tier})  # fmt: skip
        tier = rank.tier
    return rows


def _gap_rows(comparison: Comparison) -> list[dict[str, Any]]:
    from segmetry.evaluate.paired import holm

    ranks = [r for r in comparison.ranking if r.to_best is not None]
    p_values = [r.to_best.p_value for r in ranks if r.to_best is not None]
    rows = []
    for rank, p, adjusted in zip(ranks, p_values, holm(p_values), strict=True):
        e = gap_of(rank)
        printed = print_estimate(e.value, e.low, e.high, rank.estimate.unit)
        rows.append({"method": rank.method, "gap": printed, "p": _p(p), "holm": _p(float(adjusted)),
                     "verdict": "worse" if told_apart(rank) else "not told apart"})  # fmt: skip
    return rows


def _p(p: float) -> str:
    if not math.isfinite(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else format_significant(p, 2)


def _trend_rows(comparison: Comparison) -> list[dict[str, Any]]:
    rows = []
    for number, ((name, against), trends) in enumerate(trends_by_subject(comparison).items()):
        lines = [{"method": m, "sentence": re.sub(r"(?<!\w)-(?=\d)", MINUS, t.sentence)} for m, t in trends.items()]
        rows.append({"figure": f"trend-{number}", "name": NAMES.get(name, name), "against": against, "lines": lines})
    return rows


def _cost_rows(comparison: Comparison) -> list[dict[str, str]]:
    seconds, memory = (values_of(comparison, f"cost.{k}") for k in ("seconds", "peak_memory"))
    if not len(seconds):
        return []
    megapixels = values_of(comparison, "cost.megapixels")
    rows = []
    for method in comparison.methods:
        spent = seconds[method]
        per = spent / megapixels[method].reindex(spent.index) if len(megapixels) else spent * math.nan
        rows.append(
            {
                "method": method,
                "seconds": format_significant(float(spent.median()), 2),
                "slowest": format_significant(float(spent.max()), 2),
                "per_megapixel": format_significant(float(per.median()), 2) if len(megapixels) else "",
                "memory": format_significant(float(memory[method].max()), 3) if len(memory) else NOTHING,
            }
        )
    return rows


def _case_columns(comparison: Comparison, columns: Sequence[str]) -> list[str]:
    """Return the scores of the table of ranks that single images have too."""
    rows = comparison.table
    there = set(zip(rows["family"], rows["score"], strict=True))
    return [key for key in columns if tuple(key.split(".", 1)) in there]


def _case_row(case: WorstCase, comparison: Comparison) -> dict[str, Any]:
    keys = _case_columns(comparison, _columns(comparison))
    rows = comparison.table
    own = rows[rows["image"] == case.image]
    value = {(m, f"{f}.{s}"): v for m, f, s, v in own[["method", "family", "score", "value"]].itertuples(index=False)}
    scores = [
        {"method": m, "own": m == case.method, "cells": [_plain(value.get((m, k), math.nan)) for k in keys]}
        for m in comparison.methods
    ]
    return {
        "method": case.method,
        "image": case.image,
        "words": case.words,
        "scores": scores,
        "panels": shown_panels(case),
    }


def shown_panels(case: WorstCase) -> list[dict[str, Any]]:
    """Return the pictures of a case as a template shows them."""
    shown = []
    for panel in case.panels:
        words = [text for _, text in panel.key]
        shown.append(
            {
                "caption": panel.caption,
                "picture": picture_uri(panel.picture),
                "alt": f"{panel.caption}: {', '.join(words)}" if words else panel.caption,
                "key": [(data_uri("png", _sample(swatch)), text) for swatch, text in panel.key],
                "height": panel.picture.shape[0],
                "width": panel.picture.shape[1],
            }
        )
    return shown


def _plain(value: float) -> str:
    """Return a score of one image: three decimals, so that a column can be compared, unless it is large."""
    return format_number(value, 3) if abs(value) < 10 else format_significant(value)


def picture_uri(picture: np.ndarray) -> str:
    """Return an RGB picture as a data URI: exact where it has few colours, as JPEG where it is a photograph."""
    from PIL import Image

    packed = (picture.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)).ravel()
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return data_uri("jpeg", encode_jpeg(picture, 75))
    indexed = Image.frombytes("P", picture.shape[1::-1], index.astype(np.uint8).tobytes())
    indexed.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    indexed.save(buffer, "PNG", optimize=True)
    return data_uri("png", buffer.getvalue())


def _sample(swatch: Swatch) -> bytes:
    """Return one sample of a key as PNG."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (27, 15), "white")
    swatch(ImageDraw.Draw(image), 0, 7, 26, 15)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _every(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the table of all scores: one row a score, one cell a method."""
    return [
        {"name": score_name(key), "key": key, "cells": [_printed(comparison, m, key) for m in comparison.methods]}
        for key in _all_keys(comparison)
    ]


def _warnings(comparison: Comparison) -> list[str]:
    """Return what a reader must know before the numbers."""
    loud = []
    if comparison.failures:
        n = len({(m, i) for m, i, _ in comparison.failures})
        loud.append(
            f"{plural(n, 'run')} failed and count as if nothing had been found there; see the list of failures."
        )
    if comparison.n_groups < FEW_GROUPS:
        what = "image" if comparison.groups == "image" else comparison.groups
        few = f"Only {plural(comparison.n_groups, what)}"
        if any(math.isfinite(r.estimate.low) for r in comparison.ranking):
            few += ": intervals over so few may be too narrow, and the ranking may change with other images."
        else:
            few += ": too few for intervals, so nothing here tells one method from another."
        loud.append(few)
    return loud
