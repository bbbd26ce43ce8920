"""Figures of a report as matplotlib `Figure` objects, and their SVG: the same bytes every time, editable text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import SegmetryError
from segmetry.report.text import format_count, format_significant, pretty_unit, print_estimate
from segmetry.units import METRES, PIXEL, best_unit, convert

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from segmetry.measure import Distribution, RadialDistribution
    from segmetry.types import Calibration

INK, FAINT, LINE, ACCENT, SECOND = "#1f2933", "#6b7783", "#c5ccd3", "#0072b2", "#d55e00"
"""Text, quiet text, axes; blue and vermilion of the Okabe-Ito palette, which the colour-blind tell apart."""

_VARIABLES = {INK: "--ink", FAINT: "--faint", LINE: "--line", ACCENT: "--accent", SECOND: "--second"}
_FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segmetry",
    "font.family": "DejaVu Sans",  # wider than what is shown, so that nothing is cut
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.unicode_minus": True,
    "path.simplify_threshold": 0.3,
}
MAX_POINTS = 800
WIDE = 30.0
"""Ratio of sizes from which on an axis is logarithmic."""
MAX_NAMES = 40

NAMES = {
    "equivalent_diameter": "equivalent diameter",
    "feret_max": "largest Feret diameter",
    "feret_min": "smallest Feret diameter",
    "aspect_ratio": "aspect ratio",
}


def size_distribution(distribution: Distribution, *, name: str = "") -> Figure:
    """Return histogram and cumulative curve, one above the other, with bands and with D10, D50 and D90 marked.

    Parameters
    ----------
    distribution : Distribution
        What `segmetry.distribution` returns.
    name : str, optional
        Words for the axis; the measure's own name otherwise.
    """
    figure, (top, bottom) = subplots(5.6, 4.3, rows=2, sharex=True, height_ratios=(1.15, 1))
    unit = pretty_unit(distribution.unit)
    name = name or NAMES.get(distribution.measure, distribution.measure.replace("_", " "))
    edges, density = np.asarray(distribution.edges, float), np.asarray(distribution.density, float)
    logarithmic = _is_geometric(edges)
    if distribution.n > 0 and np.isfinite(density).any():
        top.stairs(density, edges, fill=True, color=ACCENT, alpha=0.28, linewidth=0)
        top.stairs(density, edges, color=ACCENT, linewidth=1.1)
        low, high = (np.asarray(b, float) for b in (distribution.density_low, distribution.density_high))
        seen = np.isfinite(low) & np.isfinite(high) & (high > low)
        middle = np.sqrt(edges[:-1] * edges[1:]) if logarithmic else (edges[:-1] + edges[1:]) / 2
        top.vlines(middle[seen], low[seen], high[seen], color=INK, linewidth=0.8)
        x, curve = np.asarray(distribution.x, float), np.asarray(distribution.cumulative, float)
        bottom.fill_between(
            x,
            distribution.cumulative_low,
            distribution.cumulative_high,
            color=ACCENT,
            alpha=0.22,
            linewidth=0,
            step=None,
        )
        bottom.plot(x, curve, color=ACCENT, linewidth=1.3)
    else:
        nothing(top)
    if logarithmic:
        log_axis(bottom)
    top.set_ylim(0, _ceiling(density, distribution.density_high))
    top.set_ylabel(f"share of {distribution.weighting} per {unit}" if unit else f"density by {distribution.weighting}")
    bottom.set_ylim(0, 1.02)
    bottom.set_yticks([0, 0.1, 0.5, 0.9, 1], ["0", "10", "50", "90", "100"])
    bottom.set_ylabel("cumulative (%)")
    bottom.set_xlabel(axis_label(name, unit))
    if distribution.n > 0:
        bottom.set_xlim(bottom.get_xlim())
        _mark_quantiles(top, bottom, distribution.estimates)
    return figure


def weightings(distributions: Mapping[str, Distribution], *, name: str = "") -> Figure | None:
    """Return the cumulative curves by number, area and volume in one frame, or None where there is only one.

    Large objects weigh more by area and by volume, so the curves lie apart where sizes are spread.
    """
    there = [d for d in distributions.values() if d.n > 0]
    if len(there) < 2:
        return None
    figure, (axes,) = subplots(5.6, 2.6)
    for distribution, colour, dashes in zip(there, (ACCENT, SECOND, INK), ((), (6, 2), (2, 1.5))):
        x, curve = np.asarray(distribution.x, float), np.asarray(distribution.cumulative, float)
        axes.fill_between(
            x, distribution.cumulative_low, distribution.cumulative_high, color=colour, alpha=0.12, linewidth=0
        )
        axes.plot(x, curve, color=colour, linewidth=1.3, dashes=dashes, label=f"by {distribution.weighting}")
    if _is_geometric(np.asarray(there[0].edges, float)):
        log_axis(axes)
    axes.axhline(0.5, color=LINE, linewidth=0.8, zorder=0)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.1, 0.5, 0.9, 1], ["0", "10", "50", "90", "100"])
    axes.set_ylabel("cumulative (%)")
    measure = there[0].measure
    axes.set_xlabel(axis_label(name or NAMES.get(measure, measure.replace("_", " ")), pretty_unit(there[0].unit)))
    axes.legend(frameon=False, loc="lower right", fontsize=8, handlelength=2.5, labelcolor=INK)
    return figure


def radial(distribution: RadialDistribution) -> Figure:
    """Return g(r) with its band and a line at 1, where the particles would lie independently of each other."""
    figure, (axes,) = subplots(5.6, 2.7)
    r, g = np.asarray(distribution.r, float), np.asarray(distribution.g, float)
    if np.isfinite(g).any():
        axes.axhline(1, color=FAINT, linewidth=0.8, dashes=(4, 3))
        axes.fill_between(r, distribution.low, distribution.high, color=ACCENT, alpha=0.22, linewidth=0)
        axes.plot(r, g, color=ACCENT, linewidth=1.3)
        high = np.nanmax(np.where(np.isfinite(distribution.high), distribution.high, g))
        axes.set_ylim(0, max(1.15, 1.05 * float(np.nanmin([high, 2.0 * np.nanmax(g)]))))
        axes.set_xlim(0, r[-1])
    else:
        nothing(axes)
    axes.set_xlabel(axis_label("distance between centres r", pretty_unit(distribution.unit)))
    axes.set_ylabel("g(r)")
    return figure


def shape_scatter(table: DataFrame, *, x: str = "equivalent_diameter", y: str = "aspect_ratio") -> Figure | None:
    """Return a shape measure against size with its histogram at the side, or None where the table lacks the columns.

    Of more than 800 objects evenly spaced rows are drawn as points; the histogram counts all.
    """
    if x not in table or y not in table:
        return None
    rows = table.loc[np.isfinite(table[x].to_numpy(float)) & np.isfinite(table[y].to_numpy(float)), [x, y]]
    if len(rows) < 2:
        return None
    figure, (left, right) = subplots(5.6, 3.0, cols=2, sharey=True, width_ratios=(3.4, 1))
    shown = rows.iloc[np.linspace(0, len(rows) - 1, min(len(rows), MAX_POINTS)).astype(int)]
    left.plot(
        shown[x], shown[y], linestyle="none", marker="o", markersize=3, color=ACCENT, alpha=0.55, markeredgewidth=0
    )
    unit = pretty_unit(table.attrs.get("units", {}).get(x, ""))
    left.set_xlabel(axis_label(NAMES.get(x, x.replace("_", " ")), unit))
    left.set_ylabel(NAMES.get(y, y.replace("_", " ")))
    values = rows[y].to_numpy(float)
    top = max(float(np.quantile(values, 0.995)), 1.0 + 1e-6)
    bins = min(40, max(8, round(len(values) ** 0.5)))
    counts, edges = np.histogram(values, bins=bins, range=(min(1.0, float(values.min())), top))
    right.stairs(counts, edges, orientation="horizontal", fill=True, color=ACCENT, alpha=0.28)
    right.stairs(counts, edges, orientation="horizontal", color=ACCENT, linewidth=1)
    middle = float(np.median(values))
    right.axhline(middle, color=SECOND, linewidth=1.1)
    right.set_title(f"median {middle:.2f}", fontsize=7.5, color=SECOND, loc="right")
    right.set_xlabel("particles")
    right.set_xlim(left=0)
    if len(rows) > len(shown):
        left.set_title(
            f"{format_count(len(shown))} of {format_count(len(rows))} drawn", fontsize=7.5, color=FAINT, loc="left"
        )
    return figure


def picking_bias(edges: Sequence[float], share: Sequence[float], *, unit: str = "") -> Figure:
    """Return the share of the particles that picking dropped against their size.

    Parameters
    ----------
    edges : (K + 1,) sequence of float
        Edges of the classes of size.
    share : (K,) sequence of float
        Share dropped in each class, 0 to 1.
    unit : str, optional
        Unit of `edges`.
    """
    figure, (axes,) = subplots(5.6, 2.3)
    x, y = np.asarray(edges, float), 100 * np.asarray(share, float)
    axes.stairs(y, x, fill=True, color=SECOND, alpha=0.28)
    axes.stairs(y, x, color=SECOND, linewidth=1.1)
    if 0 < 4 * x[0] < x[-1]:
        log_axis(axes)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])
    axes.set_ylabel("dropped (%)")
    axes.set_xlabel(axis_label("equivalent diameter", pretty_unit(unit)))
    return figure


def picking_of(info: Mapping[str, Any], calibration: Calibration) -> Figure | None:
    """Return the picking bias that a segmentation's record holds, or None where nothing was picked out."""
    picking = info.get("picking")
    if not isinstance(picking, Mapping):
        return None
    edges, share = picking.get("diameter_edges_px", ()), picking.get("share_dropped", ())
    if not any(s > 0 for s in share):
        return None
    return picking_bias([calibration.pixel_size * e for e in edges], share, unit=calibration.unit)


def batch_d50(rows: Sequence[Mapping[str, Any]], *, pooled: Mapping[str, Any] | None = None) -> Figure | None:
    """Return D50 of every image with its interval, sorted, and how many particles each rests on; None without any.

    Calibrated images only, in one unit; if none is calibrated, all in pixels.
    """
    values, unit = in_one_unit([row.get("d50") for row in rows])
    kept = [(v, row) for v, row in zip(values, rows, strict=True) if v is not None]
    if not kept:
        return None
    kept.sort(key=lambda pair: pair[0][0])
    d50 = np.array([pair[0] for pair in kept], float)
    at = np.arange(len(kept))
    figure, (left, right) = subplots(
        5.6, min(7.5, max(2.0, 0.9 + 0.17 * len(kept))), cols=2, sharey=True, width_ratios=(2.6, 1)
    )
    seen = np.isfinite(d50[:, 1]) & np.isfinite(d50[:, 2])
    if pooled is not None:
        (whole,), _ = in_one_unit([pooled], unit)
        if whole is not None:
            if np.isfinite(whole[1:]).all():
                left.axvspan(whole[1], whole[2], color=SECOND, alpha=0.15, linewidth=0)
            left.axvline(whole[0], color=SECOND, linewidth=1)
            left.annotate("pooled", (whole[0], 1), xycoords=("data", "axes fraction"), ha="center", va="bottom",
                          color=SECOND, fontsize=7.5)  # fmt: skip
    wide = d50[0, 0] > 0 and d50[-1, 0] / d50[0, 0] > WIDE
    # On a logarithmic axis an end at 0 is drawn a decade below its value.
    low = np.maximum(d50[:, 1], d50[:, 0] / 10) if wide else d50[:, 1]
    left.hlines(at[seen], low[seen], d50[seen, 2], color=ACCENT, linewidth=1)
    left.plot(d50[:, 0], at, linestyle="none", marker="o", markersize=3.5, color=ACCENT)
    counts = np.array([row.get("n") or 0 for _, row in kept], float)
    right.hlines(at, 0, counts, color=LINE, linewidth=1)
    right.plot(counts, at, linestyle="none", marker="o", markersize=3.5, color=ACCENT)
    names = [short_name(row.get("image") or row.get("folder") or "") for _, row in kept]
    if len(kept) <= MAX_NAMES:
        left.set_yticks(at, names)
        left.tick_params(axis="y", length=0, labelsize=7)
    else:
        left.set_yticks([])
        left.set_ylabel(f"{format_count(len(kept))} images, sorted by D50")
    left.set_ylim(-0.7, len(kept) - 0.3)
    left.spines["left"].set_visible(False)
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    right.set_xlim(left=0)
    left.set_xlabel(axis_label("D50", pretty_unit(unit)))
    right.set_xlabel("particles")
    if wide:
        log_axis(left)
    return figure


def in_one_unit(
    estimates: Sequence[Mapping[str, Any] | None], unit: str | None = None
) -> tuple[list[tuple[float, float, float] | None], str]:
    """Return (value, low, high) of estimates in a common unit, and that unit.

    Without `unit` it is the one in which the median reads well; pixels only where nothing is calibrated. Estimates
    without a value, and those that cannot be converted, become None; ends that are missing become nan.
    """
    good = [e if e and e.get("value") is not None and np.isfinite(e["value"]) else None for e in estimates]
    lengths = [e["value"] * METRES[e["unit"]] for e in good if e and e["unit"] in METRES]
    target = unit or (best_unit(float(np.median(lengths))) if lengths else PIXEL)

    def triple(estimate: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
        if estimate is None:
            return None
        parts = [np.nan if estimate.get(k) is None else float(estimate[k]) for k in ("value", "low", "high")]
        try:
            return tuple(convert(p, estimate["unit"], target) for p in parts)  # type: ignore[return-value]
        except (SegmetryError, KeyError):
            return None

    return [triple(e) for e in good], target


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG file: no date, the same bytes every time, text that can be edited."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Texts stay texts, so a font of the reader's has the letters that the one for measuring lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.DOTALL)
    text = text.replace("'DejaVu Sans'", _FONTS).replace("DejaVu Sans", _FONTS)
    return re.sub(r"[ \t]+\n", "\n", text)


def inline(text: str, prefix: str) -> str:
    """Return the text of an SVG file to stand inside a page.

    Every id gets the prefix, so that several figures can stand in one page; colours become CSS variables
    (``var(--ink, #1f2933)``), so that the page can recolour them in the dark; the XML prologue goes.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'xlink:href="#{prefix}-')
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text


def subplots(
    width: float, height: float, *, rows: int = 1, cols: int = 1, sharex: bool = False, sharey: bool = False,
    height_ratios: Sequence[float] | None = None, width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:  # fmt: skip
    """Return a figure (inches) and its axes as a flat list, in the style of the report."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, cols, sharex=sharex, sharey=sharey, squeeze=False, height_ratios=height_ratios,
                               width_ratios=width_ratios)  # fmt: skip
    return figure, list(axes.ravel())


def _mark_quantiles(top: Axes, bottom: Axes, estimates: Mapping[str, Any]) -> None:
    for key, share in (("d10", 0.1), ("d50", 0.5), ("d90", 0.9)):
        estimate = estimates.get(key)
        if estimate is None or not np.isfinite(estimate.value):
            continue
        top.axvline(estimate.value, color=SECOND, linewidth=0.8, alpha=0.8)
        if np.isfinite(estimate.low) and np.isfinite(estimate.high):
            bottom.plot([estimate.low, estimate.high], [share, share], color=SECOND, linewidth=2, solid_capstyle="butt")
        bottom.plot([estimate.value], [share], marker="o", markersize=4, color=SECOND)
        printed = print_estimate(estimate.value, estimate.low, estimate.high, estimate.unit)
        low, high = (e if np.isfinite(e) else estimate.value for e in (estimate.low, estimate.high))
        left, right = bottom.transLimits.transform(bottom.transScale.transform([(low, share), (high, share)]))[:, 0]
        words = f"{key.upper()} = {printed.value}"
        style: dict[str, Any] = {"textcoords": "offset points", "color": SECOND, "fontsize": 8}
        if right < 0.78:
            bottom.annotate(words, (high, share), xytext=(7, 0), ha="left", va="center", **style)
        elif left > 0.22:
            bottom.annotate(words, (low, share), xytext=(-7, 0), ha="right", va="center", **style)
        else:
            bottom.annotate(words, (estimate.value, share), xytext=(0, -5), ha="center", va="top", **style)


def _ceiling(density: np.ndarray, high: np.ndarray) -> float:
    """Return the top of a histogram: its intervals fit, unless those of almost empty classes would dwarf the rest."""
    peak = float(np.nanmax(density, initial=0.0))
    if not peak > 0:
        return 1.0
    return 1.05 * min(float(np.nanmax(high, initial=peak)), 1.7 * peak)


def _is_geometric(edges: np.ndarray) -> bool:
    """Return whether class edges grow by a constant factor."""
    if len(edges) < 4 or not (edges > 0).all():
        return False
    ratio = edges[1:] / edges[:-1]
    return bool(np.allclose(ratio, ratio[0], rtol=1e-6) and ratio[0] > 1 + 1e-6 and not _is_linear(edges))


def _is_linear(edges: np.ndarray) -> bool:
    return bool(np.allclose(np.diff(edges), np.diff(edges)[0], rtol=1e-6))


def log_axis(axes: Axes) -> None:
    """Set a logarithmic axis with plain numbers: 5, 10, 20."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:g}" if 1e-3 <= v < 1e5 else format_significant(v, 1))
    )
    axes.xaxis.set_minor_formatter(NullFormatter())


def axis_label(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def short_name(name: str, length: int = 22) -> str:
    """Return a name cut in its middle; dollar signs would start mathematics."""
    name = name if len(name) <= length else f"{name[: length // 2]}…{name[-(length // 2 - 1) :]}"
    return name.replace("$", r"\$")


def nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=FAINT)
