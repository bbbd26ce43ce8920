"""Figures of what a score depends on, and of how far a stated probability or uncertainty can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segmetry.evaluate.scores import NAMES
from segmetry.report.figures import (
    ACCENT,
    FAINT,
    INK,
    SECOND,
    axis_label,
    log_axis,
    nothing,
    short_name,
    subplots,
)
from segmetry.report.score_figures import MAX_LINES, legend_above, line_styles
from segmetry.report.text import format_count, format_significant, pretty_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from segmetry.evaluate.dependence import Trend
    from segmetry.evaluate.reliability import Reliability
    from segmetry.evaluate.risk import RiskCoverage

_SMALL = 7.5


def trend(of: Trend, *, points: tuple[np.ndarray, np.ndarray] | None = None) -> Figure:
    """Return medians and quartiles of a score in classes of a property, and the line that was fitted.

    The numbers above the frame count the rows of each class.

    Parameters
    ----------
    of : Trend
        What `evaluate.dependence` gives.
    points : pair of (n,) arrays, optional
        Values of the setting and of the score, drawn faintly behind; of more than 800 evenly spaced ones.
    """
    figure, (axes,) = subplots(5.6, 3.0)
    centres, median, low, high = (np.asarray(part, float) for part in (of.centres, of.median, of.low, of.high))
    seen = np.isfinite(centres) & np.isfinite(median)
    if not seen.any():
        nothing(axes)
    if points is not None:
        x, y = (np.asarray(part, float) for part in points)
        kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), 800)).astype(int)] if len(kept) else kept
        axes.plot(x[kept], y[kept], linestyle="none", marker="o", markersize=2, color=ACCENT, alpha=0.25,
                  markeredgewidth=0)  # fmt: skip
    axes.fill_between(centres[seen], low[seen], high[seen], color=ACCENT, alpha=0.2, linewidth=0)
    axes.plot(centres[seen], median[seen], color=ACCENT, marker="o", markersize=4.5, linewidth=1.3)
    _line(axes, of)
    for x, n in zip(centres[seen], np.asarray(of.n_bin)[seen], strict=True):
        axes.annotate(format_count(int(n)), (x, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom",
                      fontsize=7, color=INK)  # fmt: skip
    _scale(axes, of)
    axes.set_xlabel(axis_label(of.against.replace("_", " "), pretty_unit(of.unit)))
    axes.set_ylabel(NAMES.get(of.name, of.name.replace("_", " ")))
    return figure


def trends(of: Mapping[str, Trend]) -> Figure | None:
    """Return the binned medians of several methods in one frame; one alone with its band and line; None without any.

    The first eight are drawn.
    """
    if len(of) == 1:
        return trend(next(iter(of.values())))
    shown = dict(list(of.items())[:MAX_LINES])
    if not shown:
        return None
    figure, (axes,) = subplots(5.6, 3.2)
    drawn = False
    for (method, one), (colour, dashes, marker) in zip(shown.items(), line_styles(len(shown))):
        x, y = np.asarray(one.centres, float), np.asarray(one.median, float)
        seen = np.isfinite(x) & np.isfinite(y)
        drawn |= bool(seen.any())
        axes.plot(x[seen], y[seen], color=colour, dashes=dashes, marker=marker, markersize=4.5, linewidth=1.3,
                  label=short_name(method))  # fmt: skip
    first = next(iter(shown.values()))
    if drawn:
        _scale(axes, first)
        legend_above(axes)
    else:
        nothing(axes)
    axes.set_xlabel(axis_label(first.against.replace("_", " "), pretty_unit(first.unit)))
    axes.set_ylabel(NAMES.get(first.name, first.name.replace("_", " ")))
    return figure


def reliability_diagram(of: Reliability | Mapping[str, Reliability], *, name: str = "stated probability") -> Figure:
    """Return observed share against stated probability with intervals, and how often each was stated.

    On the diagonal probabilities are right; below it they are too high.

    Parameters
    ----------
    of : Reliability, or mapping of words to Reliability
        One diagram, or several in one frame.
    name : str, optional
        What was stated.
    """
    many = dict(of) if isinstance(of, Mapping) else {"": of}
    figure, (top, bottom) = subplots(4.0, 4.6, rows=2, sharex=True, height_ratios=(3.2, 1))
    top.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, dashes=(4, 3))
    said = []
    for (words, one), (colour, dashes, marker) in zip(many.items(), line_styles(len(many))):
        x, y, low, high = (np.asarray(part, float) for part in (one.predicted, one.observed, one.low, one.high))
        if not x.size:
            continue
        top.vlines(x, low, high, color=colour, linewidth=1.3)
        top.plot(x, y, color=colour, dashes=dashes, marker=marker, markersize=4.5, linewidth=0.9, label=words)
        for left, right, n in zip(one.lower, one.upper, one.n, strict=True):
            thin = 0.004 if right - left < 0.008 else 0.0  # a bin of one probability has no width
            bottom.fill_between([left - thin, right + thin], 0, int(n), color=colour, alpha=0.4, linewidth=0)
        told = ", ".join(
            f"{k.upper()} {format_significant(one.scores[k], 2)}" for k in ("ece", "mce") if k in one.scores
        )
        said.append(f"{words}: {told}" if words else told)
    if said:
        bottom.set_ylim(0, 1.08 * max(int(np.max(one.n, initial=0)) for one in many.values()))
        top.set_title("\n".join(said), fontsize=_SMALL, color=INK, loc="left")
        if len(many) > 1:
            top.legend(frameon=False, fontsize=_SMALL, loc="upper left", labelcolor=INK)
    else:
        nothing(top)
    top.set_xlim(-0.01, 1.01)
    top.set_ylim(-0.01, 1.01)
    top.set_ylabel("observed share")
    bottom.set_ylabel("cases")
    bottom.set_xlabel(name)
    return figure


def risk_coverage_curve(of: RiskCoverage | Mapping[str, RiskCoverage], *, error: str = "mean error") -> Figure:
    """Return the error of what is kept against the share that is kept, surest first, with that of the best order.

    Parameters
    ----------
    of : RiskCoverage, or mapping of words to RiskCoverage
        One filter, or up to eight on the same objects.
    error : str, optional
        What the risk is the mean of.
    """
    many = dict(of) if isinstance(of, Mapping) else {"": of}
    figure, (axes,) = subplots(5.6, 2.9)
    highest = 0.0
    for (words, one), (colour, dashes, _) in zip(many.items(), line_styles(len(many))):
        coverage, risk = np.asarray(one.coverage, float), np.asarray(one.risk, float)
        if not coverage.size:
            continue
        kept = np.unique(np.linspace(0, coverage.size - 1, min(coverage.size, 800)).astype(int))
        label = (
            f"{words}: area {format_significant(one.aurc, 2)}" if words else f"area {format_significant(one.aurc, 2)}"
        )
        axes.plot(coverage[kept], risk[kept], color=colour, dashes=dashes, linewidth=1.3, label=label)
        highest = max(highest, float(np.max(risk)))
        if len(many) == 1:
            axes.plot(coverage[kept], np.asarray(one.best, float)[kept], color=FAINT, linewidth=1, dashes=(4, 3),
                      label="best possible order")  # fmt: skip
    if axes.lines:
        legend_above(axes)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.05 * highest if highest > 0 else 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    else:
        nothing(axes)
    axes.set_xlabel("kept, surest first (%)")
    axes.set_ylabel(f"{error} of the kept")
    return figure


def _line(axes: Axes, of: Trend) -> None:
    """Draw the fitted line over the range of the classes."""
    edges = np.asarray(of.edges, float)
    edges = edges[np.isfinite(edges)]
    if len(edges) < 2 or not np.isfinite([of.slope.value, *of.through]).all():
        return
    x = np.array([edges[0], edges[-1]])
    middle, level = of.through
    moved = np.log2(x / middle) if _is_log(of) else x - middle
    axes.plot(x, level + of.slope.value * moved, color=SECOND, linewidth=1.3, dashes=(6, 2))


def _is_log(of: Trend) -> bool:
    return of.scale == "log2" and bool((np.asarray(of.edges, float) > 0).all())


def _scale(axes: Axes, of: Trend) -> None:
    if _is_log(of):
        log_axis(axes)
