"""The page of a study: sections of words, tables and figures in one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segmetry.io.atomic import atomic
from segmetry.report import figures as drawing
from segmetry.report.html import environment
from segmetry.report.page import provenance_rows
from segmetry.report.text import plural, print_estimate
from segmetry.types import Estimate

LEFT_OPEN = {"not run": "not run", "stopped": "begun, not ended", "failed": "failed"}
"""What is said of a training that is not done, by its state."""


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the row."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name : str
        For links.
    title : str
    words : sequence of str
        Paragraphs.
    tables : sequence of Table
    figures : mapping of str to (Figure, str)
        Drawings by name, with their captions.
    """

    name: str
    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


def write_study(
    out: Path,
    *,
    title: str,
    verdict: Sequence[str],
    sections: Sequence[Section],
    warnings: Sequence[str] = (),
    failures: Sequence[tuple[str, str]] = (),
    commands: Sequence[str] = (),
    provenance: Mapping[str, Any],
) -> Path:
    """Write ``study.html`` and ``figures/*.svg`` into a folder, and return the path of the page.

    Parameters
    ----------
    out : path
    title : str
    verdict : sequence of str
        What came out, in sentences; the first is the most important.
    sections : sequence of Section
    warnings : sequence of str
        What must be known before the numbers.
    failures : sequence of (name, reason)
    commands : sequence of str
        The command lines that make it again.
    provenance : mapping
        What `Provenance.as_dict` gives.
    """
    from segmetry import __version__

    drawn = {n: (drawing.svg(f), text) for part in sections for n, (f, text) in part.figures.items() if f is not None}
    page = environment().get_template("study.html.j2").render(
        title=title,
        verdict=list(verdict),
        warnings=list(warnings),
        sections=[
            {"part": part, "figures": [(n, drawn[n][1]) for n in part.figures if n in drawn]} for part in sections
        ],
        figures={n: drawing.inline(svg, n) for n, (svg, _) in drawn.items()},
        failures=list(failures),
        commands=list(commands),
        provenance=provenance_rows(provenance),
        software=f"segmetry {__version__}",
    )  # fmt: skip
    (out / "figures").mkdir(parents=True, exist_ok=True)
    files = {out / "study.html": page} | {out / "figures" / f"{n}.svg": svg for n, (svg, _) in drawn.items()}
    for path, text in files.items():
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return out / "study.html"


def told(e: Estimate | None) -> str:
    """Return an estimate with its interval as a text."""
    if e is None:
        return "–"
    printed = print_estimate(e.value, e.low, e.high, e.unit)
    return f"{printed.value} {printed.interval}".strip()


def done_of(states: Sequence[str], what: str) -> str:
    """Return how many trainings are done.

    Examples
    --------
    >>> done_of(["done", "done", "failed"], "training")
    '2 of 3 trainings done'
    """
    return f"{sum(state == 'done' for state in states)} of {plural(len(states), what)} done"


def not_run(runs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each state in which trainings were left, from (words, state) of every training.

    Examples
    --------
    >>> not_run([("seed 0", "done"), ("seed 1", "stopped"), ("seed 2", "not run"), ("seed 3", "not run")])
    ['not run (2 of 4): seed 2; seed 3', 'begun, not ended (1 of 4): seed 1']
    """
    lines = []
    for state, said in LEFT_OPEN.items():
        names = [words for words, own in runs if own == state]
        if names:
            lines.append(f"{said} ({len(names)} of {len(runs)}): {'; '.join(names)}")
    return lines
