"""What stands on a page: plain data for the templates, made from results. No HTML here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.measure.phases import MEANINGS
from segmetry.report.picture import class_colours
from segmetry.report.prose import pixel_words
from segmetry.report.text import (
    NOTHING,
    Printed,
    format_count,
    format_share,
    format_significant,
    plural,
    pretty_unit,
    print_count,
    print_estimate,
)
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.measure.phases import Phase
    from segmetry.measure.uncertainty import ParticlesNeeded
    from segmetry.pipeline import Result

FEW = 30
"""Fewer counted particles than this are said loudly."""

TABLE_ROWS = 20
TABLE_COLUMNS = (
    "label", "class", "equivalent_diameter", "area", "feret_max", "feret_min", "aspect_ratio", "circularity",
    "solidity", "intensity_mean", "contrast", "nearest_neighbour_distance", "shape", "score", "uncertainty",
)  # fmt: skip
FLAGS = {
    "touches_edge": "touches the frame",
    "few_pixels": "few pixels",
    "saturated": "saturated",
    "over_text": "over text",
}
HEADS = {"label": "no.", "equivalent_diameter": "diameter", "nearest_neighbour_distance": "to nearest",
         "intensity_mean": "mean grey"}  # fmt: skip

ESTIMATES = {
    "d10": ("D10", "a tenth of the particles are smaller"),
    "d50": ("D50", "median: half of the particles are smaller"),
    "d90": ("D90", "nine tenths of the particles are smaller"),
    "span": ("Span", "(D90 − D10) / D50"),
    "mean": ("Mean diameter", "arithmetic mean"),
    "d32": ("D32 (Sauter)", "mean size weighted by surface"),
    "d43": ("D43 (De Brouckere)", "mean size weighted by volume"),
    "std": ("Standard deviation", "of the diameters"),
    "mode": ("Mode", "the most frequent diameter"),
    "gsd": ("Geometric standard deviation", "exp of the standard deviation of the logarithms"),
    "geometric_mean": ("Geometric mean", "exp of the mean of the logarithms"),
    "lognormal_median": ("Log-normal median", "of the log-normal law that fits best"),
    "lognormal_gsd": ("Log-normal geometric standard deviation", "of the log-normal law that fits best"),
    "lognormal_distance": ("Distance to the log-normal", "largest gap between the two cumulative curves"),
    "count": ("Number of particles", "all that are in view, also those that the frame cuts"),
    "number_density": ("Number density", "particles per area (volume)"),
    "area_fraction": ("Area fraction", "share of the area that particles cover"),
    "volume_fraction": ("Volume fraction", "share of the volume that particles fill"),
    "nearest_neighbour_distance": ("Nearest neighbour", "mean distance from centre to nearest centre"),
    "clark_evans": ("Clark–Evans index", "mean nearest distance over that of points without order"),
    "aspect_ratio": ("Aspect ratio", "mean of long axis by short axis"),
    "circularity": ("Circularity", "mean of 4π area / perimeter²"),
    "roundness": ("Roundness", "mean of 4 area / (π largest Feret diameter²)"),
    "solidity": ("Solidity", "mean of area / convex area"),
    "feret_max": ("Largest Feret diameter", "mean"),
    "feret_min": ("Smallest Feret diameter", "mean"),
}
"""Words and meaning of the statistics; one that is not here shows under its own name."""

PHASE_HEADS = {
    "area_fraction": "area fraction",
    "volume_fraction": "volume fraction",
    "mean_chord": "mean chord",
    "boundary_per_area": "boundary per area",
    "surface_per_volume": "surface per volume",
    "d50": "D50 of its regions",
}
"""Columns of the table of phases."""

CAUSES = ("counting", "segmentation", "border", "calibration")


class Row(NamedTuple):
    """A line of the table of estimates."""

    name: str
    meaning: str
    printed: Printed
    this_image: str
    shares: list[tuple[str, float]]  # cause, per cent
    n: int
    note: str


class Head(NamedTuple):
    """A column's head in the table of particles."""

    name: str
    unit: str
    meaning: str


def estimate_rows(estimates: Mapping[str, Estimate]) -> list[Row]:
    """Return the lines of the table of estimates: the known ones in their order, then the others."""
    order = [k for k in ESTIMATES if k in estimates] + [k for k in estimates if k not in ESTIMATES]
    if "d50" in estimates and not math.isfinite(estimates["d50"].value):
        order = [k for k in order if math.isfinite(estimates[k].value)]  # a column of dashes says nothing
    return [estimate_row(key, estimates[key]) for key in order]


def estimate_row(key: str, estimate: Estimate) -> Row:
    """Return the line of one estimate."""
    name, meaning = ESTIMATES.get(key, (key.replace("_", " ").capitalize(), ""))
    narrow = estimate.this_image
    shown = print_count if key == "count" else print_estimate
    own = ""
    if narrow is not None and math.isfinite(narrow.low) and math.isfinite(narrow.high):
        own = shown(estimate.value, narrow.low, narrow.high, estimate.unit).interval
    shares = [(c, 100 * estimate.contributions[c]) for c in (*CAUSES, *estimate.contributions)
              if c in estimate.contributions and math.isfinite(estimate.contributions[c])]  # fmt: skip
    note = estimate.note or estimate.method
    printed = shown(estimate.value, estimate.low, estimate.high, estimate.unit)
    return Row(name, meaning, printed, own, list(dict(shares).items()), estimate.n, note)


class PhaseCell(NamedTuple):
    """An estimate of a phase."""

    printed: Printed
    this_image: str
    note: str


class PhaseTable(NamedTuple):
    """The phases of an image: heads with their meanings, and a line for each phase."""

    heads: list[tuple[str, str]]
    rows: list[tuple[str, str, int, list[PhaseCell | None]]]  # name, colour, regions, cells


def table_of_phases(phases: Sequence[Phase]) -> PhaseTable:
    """Return the table of an image's phases."""
    keys = [key for key in PHASE_HEADS if any(key in p.estimates for p in phases)]
    meanings = MEANINGS | {"d50": "median diameter of the connected regions, by number; none of the first class"}
    rows = [
        (p.name, colour, p.n_regions, [_phase_cell(k, p.estimates[k]) if k in p.estimates else None for k in keys])
        for p, colour in zip(phases, class_colours(len(phases)), strict=True)
    ]
    return PhaseTable([(PHASE_HEADS[key], meanings[key]) for key in keys], rows)


def _phase_cell(key: str, e: Estimate) -> PhaseCell:
    """Return an estimate of a phase as text, fractions in per cent."""

    def shown(low: float, high: float) -> Printed:
        if key.endswith("fraction"):
            return print_estimate(100 * e.value, 100 * low, 100 * high, "%")
        return print_estimate(e.value, low, high, e.unit)

    own = shown(*e.this_image).interval if e.this_image else ""
    return PhaseCell(shown(e.low, e.high), own, e.note or e.method)


def needed_sentence(needed: ParticlesNeeded, relative: float, d50: Estimate) -> str:
    """Return how many particles bring D50's interval down to a share of D50, in words.

    Examples
    --------
    >>> from segmetry.measure.uncertainty import ParticlesNeeded
    >>> needed_sentence(ParticlesNeeded(1234, 834, ""), 0.05, Estimate("d50", 10.0, n=400))
    'D50 within ±5 % (95 % interval) takes about 1200 particles, 830 more than the 400 counted.'
    """
    wish = f"D50 within ±{100 * relative:g} % ({format_share(d50.level)} interval)"
    if needed.more == 0:
        return f"{wish} is reached: of the {format_count(d50.n)} counted, about {_about(needed.total)} would do."
    if math.isfinite(needed.total):
        more = f"{_about(needed.more)} more than the {format_count(d50.n)} counted"
        return f"{wish} takes about {_about(needed.total)} particles, {more}."
    return f"{wish} is out of reach: {needed.note}." if needed.total == math.inf else f"{wish}: {needed.note}."


def table_head(table: pd.DataFrame, meanings: Mapping[str, str]) -> tuple[list[Head], list[list[str]]]:
    """Return heads and the first rows of the table of particles as text: the columns that most people look for."""
    units = table.attrs.get("units", {})
    columns = [c for c in TABLE_COLUMNS if c in table]
    if len(columns) < 4:
        columns = [c for c in table.columns if c not in FLAGS][:12]
    heads = [Head(HEADS.get(c, c.replace("_", " ")), pretty_unit(_shown_unit(units.get(c, ""))), meanings.get(c, ""))
             for c in columns]  # fmt: skip
    top = table.head(TABLE_ROWS)
    cells = [[_cell(v) for v in row] for row in top[columns].itertuples(index=False)]
    flags = [c for c in FLAGS if c in table]
    if flags:
        heads.append(Head("flags", "", "doubts about this one"))
        for row, marks in zip(cells, top[flags].itertuples(index=False), strict=True):
            row.append(", ".join(FLAGS[c] for c, mark in zip(flags, marks, strict=True) if mark))
    return heads, cells


def warnings_of(result: Result) -> list[str]:
    """Return what a reader must know before the numbers: lines of the pipeline that begin with WARNING, and our own."""
    loud = [note.partition("WARNING")[2].lstrip(": ") for note in notes_of(result) if note.startswith("WARNING")]
    calibration, bar, table = result.image.calibration, result.annotations.scale_bar, result.table
    if not calibration.known:
        loud.append(
            "No pixel size: every length on this page is in pixels. Give one with --pixel-size, for example "
            "--pixel-size “0.52 nm”."
        )
    elif bar is not None and calibration.source in ("metadata", "user") and not any("scale bar" in n for n in loud):
        # Along the rows, where the bar lies.
        difference = _disagreement(calibration.spacing[-1], calibration.unit, bar)
        if difference > 0.05:
            loud.append(
                f"The {calibration.source} pixel size ({pixel_words(calibration)}) and the scale bar "
                f"({format_significant(bar.pixel_size, 4)} {bar.unit}) differ by {format_share(difference)}. "
                "The former is used; check which one is right."
            )
    if result.phases:
        return list(dict.fromkeys(loud))
    number = result.distributions.get("number")
    n = number.n if number is not None else len(table)
    if len(table) == 0:
        loud.append(
            "No particles were found. Look at the image below; another method or another polarity may find them."
        )
    elif n == 0:
        loud.append(f"Nothing could be counted: of {plural(len(table), 'particle')} none is seen whole.")
    elif n < FEW:
        loud.append(
            f"Only {plural(n, 'particle')} counted: the intervals are wide, and a few odd ones can move every number."
        )
    doubts = [
        ("saturated", 0.1, "hold saturated pixels: grey values and edges there are cut off"),
        ("few_pixels", 0.2, "consist of few pixels: their shapes and sizes are coarse"),
    ]
    if n:
        doubts.append(("touches_edge", 0.4, "touch the frame: a larger field of view would help"))
    for flag, share, words in doubts:
        marked = int(table[flag].sum()) if flag in table else 0
        if len(table) and marked > share * len(table):
            loud.append(f"{marked} of {plural(len(table), 'particle')} {words}.")
    return list(dict.fromkeys(loud))


def notes_of(result: Result) -> list[str]:
    """Return all notes of a result and its parts, each once."""
    parts: Iterable[Sequence[str]] = (
        result.notes,
        result.image.notes,
        result.annotations.notes,
        result.segmentation.notes,
        *(d.notes for d in result.distributions.values()),
        result.radial.notes if result.radial is not None else (),
    )
    return list(dict.fromkeys(note for part in parts for note in part))


def method_words(result: Result) -> list[str]:
    """Return which method found the particles and why, and what it says of itself, as sentences."""
    info = result.segmentation.info
    said = [f"{result.recipe.method.name}, {result.why_method}."]
    model = info.get("model") or {}
    if "version" in model:
        mean = f"Mean of {len(info['ensemble'])} trained models, the first" if "ensemble" in info else "Trained model"
        run = f", run by {info['engine']}" if "engine" in info else ""
        said.append(f"{mean} {model['name']} {model['version']}{run}.")
    if info.get("expected_right") is not None:
        n = result.segmentation.n_regions
        said.append(
            f"Of {plural(n, 'particle')} about {format_share(info['expected_right'])} are expected to be right."
        )
    if contours := info.get("contours"):
        placed, drawn = contours["on_edge"], contours["as_labelled"]
        said.append(f"Contours: {placed} on the edge of the grey, {drawn} as the network drew them.")
    n = len(result.segmentation.samples)
    if n > 1:
        said.append(f"{n} Monte Carlo samples: the intervals hold the segmentation’s share.")
    elif info.get("can_sample"):
        few = f"{'Only one' if n else 'No'} Monte Carlo sample{'' if n else 's'}"
        said.append(f"{few}, so the intervals lack the segmentation’s share: --set samples=8 adds it.")
    elif "version" in model:
        said.append("The intervals lack the segmentation’s share.")
    if promise := info.get("promise"):
        what = "false" if promise["kind"] == "false" else "missed"
        said.append(f"Promised: at most {format_share(promise['alpha'])} {what} particles; see the notes.")
    return said


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what made the result as pairs of words, hashes whole."""
    packages = ", ".join(f"{name} {version}" for name, version in provenance.get("packages", {}).items())
    rows = [
        ("Software", f"{provenance['software']} {provenance['version']}"),
        ("Python", f"{provenance['python']} on {provenance['platform']}"),
        ("Packages", packages),
        ("Time", f"{provenance['time']} (took {format_significant(provenance['seconds'], 2)} s)"),
        ("Seed", str(provenance["seed"])),
        ("SHA-256 of the input", provenance.get("input_sha256", "")),
        ("SHA-256 of the recipe", provenance.get("recipe_sha256", "")),
    ]
    return [(name, text) for name, text in rows if text]


def row_estimate(row: Mapping[str, Any], key: str) -> Printed:
    """Return an estimate of an image's summary as text."""
    data = row.get(key) or {}
    value, low, high = (math.nan if data.get(k) is None else float(data[k]) for k in ("value", "low", "high"))
    return print_estimate(value, low, high, data.get("unit", ""))


def _disagreement(pixel_size: float, unit: str, bar: Any) -> float:
    from segmetry.units import convert

    return abs(convert(bar.pixel_size, bar.unit, unit) / pixel_size - 1)


def _about(n: float) -> str:
    """Return a number that is itself an estimate: two digits."""
    return format_significant(n, 2) if n >= 10 else format_count(round(n))


def _shown_unit(unit: str) -> str:
    return "" if unit == "intensity" else unit


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return format_significant(float(value), 4) if np.isfinite(value) else NOTHING
    return "" if value is None else str(value)
