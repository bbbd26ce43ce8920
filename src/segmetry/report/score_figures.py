"""Figures of scores as matplotlib `Figure` objects: how methods differ, what a setting does, what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.report.figures import (
    ACCENT,
    FAINT,
    INK,
    LINE,
    SECOND,
    axis_label,
    log_axis,
    nothing,
    short_name,
    subplots,
)
from segmetry.report.text import format_count, format_significant, pretty_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from segmetry.types import Estimate

FEW_POINTS = 60
"""Up to so many images a violin shows each as a point."""

_LINES: tuple[tuple[str, Any, str], ...] = (
    (ACCENT, (), "o"), (SECOND, (6, 2), "s"), ("#009e73", (2, 1.5), "^"), ("#cc79a7", (6, 2, 1.5, 2), "D"),
    (INK, (1, 1), "v"), ("#56b4e9", (8, 1.5), "P"), ("#e69f00", (4, 1, 1, 1, 1, 1), "X"), (FAINT, (3, 3), "*"),
)  # fmt: skip
"""Colour, dashes and marker of the curves in one frame, so that they are told apart without colour too."""
MAX_LINES = len(_LINES)
MAX_MARKERS = 30
"""A longer curve has a marker at every second, third, ... point."""
_DARK, _LIGHT = "#101010", "#fefefe"
"""Letters on a coloured ground: not the page's ink, which turns light in the dark."""
_SMALL = 7.5
MAX_WRITTEN = 400
"""A heat map of more cells carries no numbers."""


class Gap(NamedTuple):
    """A method minus the best on the same images: value, interval, and p where it is known (nan where not)."""

    value: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


class Curve(NamedTuple):
    """A score against a setting, with its interval; `low` and `high` may be nan."""

    x: Sequence[float] | np.ndarray
    value: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray
    high: Sequence[float] | np.ndarray


class Spent(NamedTuple):
    """What a method costs (seconds, or seconds per megapixel) and what it scores."""

    seconds: float
    score: float
    low: float = math.nan
    high: float = math.nan


def violins(
    scores: Mapping[str, Any], *, name: str, unit: str = "", means: Mapping[str, Estimate] | None = None
) -> Figure:
    """Return the distribution of a score for each method: a violin with quartiles and median, and mean with interval.

    Parameters
    ----------
    scores : mapping of method to (n,) array
        One value an image, in the order of the methods' rank: the first stands on top. Values that are nan are left
        out, and the figure says how many there were.
    name : str
        What the score is called, for the axis.
    unit : str, optional
    means : mapping of method to Estimate, optional
        Drawn as a diamond with its interval.
    """
    methods = list(scores)
    figure, (axes,) = _rows(len(methods))
    all_values = [_finite(scores[m]) for m in methods]
    if not any(v.size for v in all_values):
        nothing(axes)
    for at, (method, values) in enumerate(zip(methods, all_values, strict=True)):
        if values.size:
            _violin(axes, values, at)
        mean = (means or {}).get(method)
        if mean is not None and math.isfinite(mean.value):
            if math.isfinite(mean.low) and math.isfinite(mean.high):
                axes.hlines(at, mean.low, mean.high, color=SECOND, linewidth=2, zorder=5)
            axes.plot(mean.value, at, marker="D", markersize=4.5, color=SECOND, zorder=6)
    counts = [
        f"n = {format_count(v.size)}" + (f" of {format_count(n)}" if (n := np.size(scores[m])) != v.size else "")
        for m, v in zip(methods, all_values, strict=True)
    ]
    _name_rows(axes, methods, counts)
    axes.set_xlabel(axis_label(name, pretty_unit(unit)))
    return figure


def forest(gaps: Mapping[str, Gap], *, best: str, name: str, unit: str = "") -> Figure | None:
    """Return paired differences to the best method with intervals, and p-values at the right; None without any.

    An open marker is a method whose interval holds 0: these images do not tell it from the best.

    Parameters
    ----------
    gaps : mapping of method to Gap
        In the order of rank, without the best.
    best : str
        The method that the others are compared with.
    name : str
        What the score is called.
    """
    if not any(math.isfinite(g.value) for g in gaps.values()):
        return None
    methods = list(gaps)
    figure, (axes,) = _rows(len(methods))
    axes.axvline(0, color=INK, linewidth=0.9)
    for at, gap in enumerate(gaps.values()):
        if not math.isfinite(gap.value):
            continue
        known = math.isfinite(gap.low) and math.isfinite(gap.high)
        apart = known and not gap.low <= 0 <= gap.high
        if known:
            axes.hlines(at, gap.low, gap.high, color=ACCENT, linewidth=1.4)
        axes.plot(gap.value, at, marker="o", markersize=5, color=ACCENT, markeredgewidth=1.2,
                  markerfacecolor=ACCENT if apart else "none", linestyle="none")  # fmt: skip
    _name_rows(axes, methods, [_p_words(g.p) for g in gaps.values()])
    axes.set_xlabel(axis_label(f"{name}: difference to {short_name(best)}", pretty_unit(unit)))
    return figure


def heat(table: pd.DataFrame, *, name: str, x: str = "", y: str = "", best: str = "high", unit: str = "") -> Figure:
    """Return a score over two settings as a heat map with its numbers; cells without a value are hatched.

    Parameters
    ----------
    table : DataFrame
        One row a value of the first setting, one column a value of the second.
    name : str
        What the score is called, for the scale.
    x, y : str, optional
        Words for columns and rows; the names of the table's axes otherwise.
    best : {"high", "low", "zero"}
        Which values are better, said beside the scale: the palest.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    values = table.to_numpy(float)
    n_rows, n_columns = values.shape
    long = max((len(str(c)) for c in table.columns), default=0)
    figure, (axes,) = subplots(min(9.0, max(3.4, 2.2 + 0.52 * n_columns)), min(9.0, max(1.8, 1.3 + 0.3 * n_rows)))
    ramp = colormaps["cividis" if best == "high" else "cividis_r"]
    goodness = np.abs(values) if best == "zero" else values
    seen = goodness[np.isfinite(goodness)]
    if not seen.size:
        nothing(axes)
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    scale = Normalize(low, high if high > low else low + 1)
    decimals = _decimals(values)
    for row in range(n_rows):
        for column in range(n_columns):
            value = values[row, column]
            if not math.isfinite(value):
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="////", linewidth=0,
                                         edgecolor=LINE))  # fmt: skip
                continue
            colour = ramp(float(scale(goodness[row, column])))
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="none"))
            if values.size <= MAX_WRITTEN:
                dark = float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.5
                axes.text(column, row, f"{value:.{decimals}f}".replace("-", "−"), ha="center", va="center",
                          fontsize=_SMALL, color=_LIGHT if dark else _DARK)  # fmt: skip
    axes.set_xlim(-0.5, max(n_columns, 1) - 0.5)
    axes.set_ylim(max(n_rows, 1) - 0.5, -0.5)
    turn: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long > 7 else {}
    axes.set_xticks(range(n_columns), [short_name(_plain(c)) for c in table.columns], **turn)
    axes.set_yticks(range(n_rows), [short_name(_plain(i)) for i in table.index])
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(x or str(table.columns.name or ""))
    axes.set_ylabel(y or str(table.index.name or ""))
    words = {"high": "higher is better", "low": "lower is better", "zero": "nearer to 0 is better"}[best]
    axes.set_title(f"{axis_label(name, pretty_unit(unit))}, {words}", fontsize=8.5, loc="left", color=INK)
    return figure


def curves(lines: Mapping[str, Curve], *, name: str, against: str, unit: str = "", logarithmic: bool = True) -> Figure:
    """Return learning or capacity curves: a score against the number of training images or parameters, with bands.

    Parameters
    ----------
    lines : mapping of words to Curve
        At most eight are told apart well.
    name, against : str
        What the score and the setting are called.
    logarithmic : bool, optional
        Space the setting by ratio; where a value is not above 0 the axis is linear.
    """
    figure, (axes,) = subplots(5.6, 3.0)
    drawn = False
    smallest = math.inf
    for (words, line), (colour, dashes, marker) in zip(lines.items(), line_styles(len(lines))):
        x, value, low, high = (np.asarray(part, float) for part in line)
        order = np.argsort(x[seen := np.isfinite(x) & np.isfinite(value)], kind="stable")
        x, value, low, high = (part[seen][order] for part in (x, value, low, high))
        if not x.size:
            continue
        drawn, smallest = True, min(smallest, float(x[0]))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, value, color=colour, dashes=dashes, linewidth=1.3, marker=marker, markersize=4.5,
                  markevery=-(-x.size // MAX_MARKERS), label=short_name(words, 30))  # fmt: skip
    if not drawn:
        nothing(axes)
    else:
        if logarithmic and smallest > 0:
            log_axis(axes)
        if len(lines) > 1:
            legend_above(axes)
    axes.set_xlabel(against)
    axes.set_ylabel(axis_label(name, pretty_unit(unit)))
    return figure


def confusion(counts: Any, classes: Sequence[str]) -> Figure:
    """Return a table of truth by prediction: shares of each true class as colour and per cent, with the counts.

    Parameters
    ----------
    counts : (K, K) array
        ``counts[t, p]``: pixels or objects of class t that were found as class p.
    classes : (K,) sequence of str
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    counts = np.asarray(counts, float)
    k = len(classes)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    side = min(9.0, max(2.6, 1.6 + 0.62 * k))
    figure, (axes,) = subplots(side + 0.4, side)
    ramp = colormaps["Blues"]
    for t in range(k):
        for p in range(k):
            if not math.isfinite(share[t, p]):
                axes.add_patch(Rectangle((p - 0.5, t - 0.5), 1, 1, fill=False, hatch="////", linewidth=0,
                                         edgecolor=LINE))  # fmt: skip
                continue
            colour = ramp(0.05 + 0.9 * share[t, p])
            axes.add_patch(Rectangle((p - 0.5, t - 0.5), 1, 1, facecolor=colour, edgecolor="none"))
            if k <= 12:
                ink = _LIGHT if share[t, p] > 0.55 else _DARK
                axes.text(p, t, f"{_per_cent(share[t, p])}\n{_short_count(counts[t, p])}", ha="center", va="center",
                          fontsize=7, color=ink)  # fmt: skip
    axes.set_xlim(-0.5, k - 0.5)
    axes.set_ylim(k - 0.5, -0.5)
    turn: dict[str, Any] = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if max(map(len, classes), default=0) > 7 else {}
    )
    axes.set_xticks(range(k), [short_name(c) for c in classes], **turn)
    axes.set_yticks(range(k), [short_name(c) for c in classes])
    axes.tick_params(length=0)
    for spine in ("left", "bottom"):
        axes.spines[spine].set_visible(False)
    axes.set_xlabel("found as")
    axes.set_ylabel("truth")
    return figure


def cost(spent: Mapping[str, Spent], *, name: str, per: str = "image") -> Figure:
    """Return score against time for each method; the upper left is good.

    Parameters
    ----------
    spent : mapping of method to Spent
    name : str
        What the score is called.
    per : str, optional
        What the seconds are for: ``"image"``, ``"megapixel"``.
    """
    figure, (axes,) = subplots(5.6, 3.2)
    kept = {m: s for m, s in spent.items() if math.isfinite(s.seconds) and math.isfinite(s.score) and s.seconds > 0}
    if not kept:
        nothing(axes)
    for method, (seconds, score, low, high) in kept.items():
        if math.isfinite(low) and math.isfinite(high):
            axes.vlines(seconds, low, high, color=ACCENT, linewidth=1.2)
        axes.plot(seconds, score, marker="o", markersize=5, color=ACCENT)
        axes.annotate(short_name(method), (seconds, score), xytext=(6, 4), textcoords="offset points", fontsize=_SMALL,
                      color=INK)  # fmt: skip
    if kept:
        times = [s.seconds for s in kept.values()]
        axes.set_xlim(min(times) / 1.6, max(times) * 3)
        log_axis(axes)
    axes.set_xlabel(f"median time per {per} (s)")
    axes.set_ylabel(name)
    return figure


def _rows(n: int) -> tuple[Figure, list[Axes]]:
    return subplots(5.6, min(9.0, 0.9 + (0.42 if n <= 8 else 0.3) * n))


def _name_rows(axes: Axes, names: Sequence[str], at_right: Sequence[str]) -> None:
    """Set names at the left and words at the right of rows that run downwards."""
    axes.set_yticks(range(len(names)), [short_name(n, 26) for n in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for at, words in enumerate(at_right):
        axes.annotate(words, (1, at), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=_SMALL, color=FAINT, annotation_clip=False)  # fmt: skip


def _violin(axes: Axes, values: np.ndarray, at: float) -> None:
    low, quarter, middle, three, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    points, room = np.sort(values), np.full(values.size, 0.15)
    if values.size > 2 and high - low > 1e-9 * max(abs(high), abs(low)):
        x = np.linspace(low, high, 129)
        density = _density(values, x)
        half = 0.4 * density / density.max()
        axes.fill_between(x, at - half, at + half, color=ACCENT, alpha=0.25, linewidth=0)
        axes.plot(np.r_[x, x[::-1], x[:1]], at + np.r_[half, -half[::-1], half[:1]], color=ACCENT, linewidth=0.8)
        room = 0.8 * np.interp(points, x, half)
    if values.size <= FEW_POINTS:
        # Spread by the golden ratio: even, and the same every time.
        offset = room * (2 * (np.arange(values.size) * 0.6180339887 % 1) - 1)
        axes.plot(points, at + offset, linestyle="none", marker="o", markersize=2.4, color=ACCENT, alpha=0.7,
                  markeredgewidth=0, zorder=2)  # fmt: skip
    axes.hlines(at, quarter, three, color=INK, linewidth=3.2, alpha=0.45, zorder=3)
    axes.vlines(middle, at - 0.3, at + 0.3, color=INK, linewidth=1.8, zorder=4)


def _density(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return a Gaussian kernel density on `x`, mirrored at the ends of the data so that nothing leaks beyond them.

    Width by Silverman's rule with the smaller of standard deviation and interquartile range.
    """
    quarter, three = np.quantile(values, [0.25, 0.75])
    spread = min(s for s in (float(np.std(values, ddof=1)), (three - quarter) / 1.349, np.inf) if s > 0)
    width = max(0.9 * spread * values.size**-0.2, (x[-1] - x[0]) / 60)
    mirrored = np.concatenate([values, 2 * x[0] - values, 2 * x[-1] - values])
    return np.exp(-0.5 * ((x[:, None] - mirrored) / width) ** 2).sum(axis=1)


def _finite(values: Any) -> np.ndarray:
    values = np.asarray(values, float).ravel()
    return values[np.isfinite(values)]


def legend_above(axes: Axes) -> None:
    """Put the words of the lines above the frame, where they hide nothing."""
    longest = max((len(words) for words in axes.get_legend_handles_labels()[1]), default=0)
    axes.legend(frameon=False, fontsize=8, handlelength=3, loc="lower left", bbox_to_anchor=(0, 1),
                ncols=3 if longest <= 14 else 2, labelcolor=INK, borderaxespad=0.2)  # fmt: skip


def line_styles(n: int) -> list[tuple[str, Any, str]]:
    """Return colour, dashes and marker of `n` lines; after eight they come round again."""
    return [_LINES[i % MAX_LINES] for i in range(n)]


def _p_words(p: float) -> str:
    if not math.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {format_significant(p, 2)}"


def _decimals(values: np.ndarray) -> int:
    """Return the decimals that show a table's differences: two significant digits of its spread, at most three."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return 0
    spread = float(np.ptp(seen)) or float(np.abs(seen).max()) or 1.0
    return int(np.clip(1 - math.floor(math.log10(spread)), 0, 3))


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def _short_count(n: float) -> str:
    return format_count(round(n)) if n < 1e5 else format_significant(n, 2)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
