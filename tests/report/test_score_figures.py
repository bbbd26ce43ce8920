"""Figures of scores show the numbers they were given, and stand any input."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from segmetry.evaluate.dependence import trend as trend_of
from segmetry.evaluate.reliability import reliability
from segmetry.evaluate.risk import risk_coverage
from segmetry.report import figures
from segmetry.report.score_figures import Curve, Gap, Spent, confusion, cost, curves, forest, heat, violins
from segmetry.report.trust_figures import reliability_diagram, risk_coverage_curve, trend, trends
from segmetry.types import Estimate

SVG = "{http://www.w3.org/2000/svg}"


def words(figure) -> list[str]:
    text = figures.svg(figure)
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(text.encode()).iter(f"{SVG}text")]


def names_of(axes) -> list[str]:
    return [t.get_text() for t in axes.get_yticklabels()]


def verticals(axes) -> list[list[float]]:
    """Return x of the vertical lines drawn with vlines, in the order drawn."""
    return [s[:, 0].tolist() for c in axes.collections if hasattr(c, "get_segments") for s in c.get_segments()
            if len(s) == 2 and s[0, 0] == s[1, 0]]  # fmt: skip


def test_violins_mark_medians_and_means_in_the_order_given():
    scores = {"b": [0.2, 0.4, 0.9], "a": [0.1, 0.3, np.nan]}
    means = {"b": Estimate("ap50", 0.5, 0.3, 0.7), "a": Estimate("ap50", 0.2)}
    (axes,) = violins(scores, name="AP50", means=means).axes
    assert names_of(axes) == ["b", "a"]
    assert axes.yaxis_inverted()
    assert [x[0] for x in verticals(axes)] == pytest.approx([0.4, 0.2])
    diamonds = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [(0.5, 0), (0.2, 1)]
    points = [sorted(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    assert points == [[0.2, 0.4, 0.9], [0.1, 0.3]]
    found = words(violins(scores, name="AP50", means=means))
    assert "n = 3" in found
    assert "n = 2 of 3" in found


def test_violins_end_where_the_data_end_and_many_points_are_not_drawn():
    values = np.random.default_rng(0).beta(5, 2, 400)
    (axes,) = violins({"a": values}, name="IoU").axes
    outline = axes.lines[0].get_xdata()
    assert (outline.min(), outline.max()) == (values.min(), values.max())
    assert not [line for line in axes.lines if line.get_marker() == "o"]


def test_a_violin_is_widest_where_the_values_are():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.3, 0.02, 300), rng.normal(0.8, 0.02, 100)])
    outline = violins({"a": values}, name="IoU").axes[0].lines[0]
    x, y = outline.get_xdata(), np.abs(outline.get_ydata())
    assert x[np.argmax(y)] == pytest.approx(0.3, abs=0.03)
    peak = y[np.abs(x - 0.8) < 0.05].max()
    assert peak / y.max() == pytest.approx(1 / 3, abs=0.1)
    assert y[np.abs(x - 0.55) < 0.05].max() < 0.1 * y.max()


def test_forest_fills_the_markers_of_what_is_told_apart():
    gaps = {"a": Gap(-0.02, -0.05, 0.01, 0.2), "b": Gap(-0.1, -0.2, -0.05, 0.0002), "c": Gap(-0.3)}
    (axes,) = forest(gaps, best="top", name="AP50").axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [d.get_xdata()[0] for d in dots] == [-0.02, -0.1, -0.3]
    assert [d.get_markerfacecolor() != "none" for d in dots] == [False, True, False]
    found = words(forest(gaps, best="top", name="AP50"))
    assert {"p = 0.20", "p < 0.001", "AP50: difference to top"} <= set(found)
    assert forest({}, best="top", name="AP50") is None
    assert forest({"a": Gap(math.nan)}, best="top", name="AP50") is None


def test_heat_map_writes_its_values_and_hatches_what_is_missing():
    table = pd.DataFrame([[0.5, np.nan], [0.75, 0.8125]], index=[2.0, 5.0], columns=["Pt", "FeP"])
    figure = heat(table, name="IoU", x="material", y="size (nm)")
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.texts] == ["0.50", "0.75", "0.81"]
    assert [bool(p.get_hatch()) for p in axes.patches] == [False, True, False, False]
    lightness = [sum(p.get_facecolor()[:3]) for p in axes.patches if not p.get_hatch()]
    assert lightness == sorted(lightness)
    assert lightness[0] < lightness[-1]
    low = [sum(p.get_facecolor()[:3]) for p in heat(table, name="x", best="low").axes[0].patches if not p.get_hatch()]
    assert low == sorted(low, reverse=True)
    assert {"material", "size (nm)", "IoU, higher is better", "Pt", "2"} <= set(words(figure))


def test_a_heat_map_of_errors_is_palest_at_zero():
    table = pd.DataFrame([[-0.3, 0.01, 0.2]], columns=list("abc"))
    pale = [sum(p.get_facecolor()[:3]) for p in heat(table, name="D50 error", best="zero").axes[0].patches]
    assert np.argmax(pale) == 1
    assert np.argmin(pale) == 0
    assert "−0.30" in words(heat(table, name="D50 error", best="zero"))


def test_curves_are_sorted_logarithmic_and_told_apart_without_colour():
    one = Curve([100, 10, 1000], [0.7, 0.5, 0.8], [0.6, 0.4, 0.7], [0.8, 0.6, 0.9])
    figure = curves({"U-Net": one, "ResNet": one._replace(value=[0.6, 0.4, 0.7])}, name="AP50", against="images")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_xdata().tolist() == [10, 100, 1000]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.7, 0.8]
    assert axes.lines[0].get_marker() != axes.lines[1].get_marker()
    assert {"U-Net", "ResNet", "images", "AP50"} <= set(words(figure))
    assert curves({"a": Curve([0, 1], [1, 2], [1, 2], [1, 2])}, name="a", against="b").axes[0].get_xscale() == "linear"
    assert "nothing to show" in words(curves({"a": Curve([1], [np.nan], [1], [1])}, name="a", against="b"))


def test_confusion_gives_counts_and_shares_of_each_true_class():
    found = words(confusion([[30, 10, 0], [0, 4, 0], [0, 0, 0]], ["void", "pore", "film"]))
    assert {"75 %", "30", "25 %", "10", "100 %", "4"} <= {part for w in found for part in w.split("\n")}
    assert [bool(p.get_hatch()) for p in confusion([[1, 0], [0, 0]], "ab").axes[0].patches] == [False] * 2 + [True] * 2


def test_cost_puts_every_method_at_its_time():
    figure = cost({"a": Spent(0.1, 0.5, 0.4, 0.6), "b": Spent(10, 0.8), "c": Spent(math.nan, 0.9)}, name="AP50")
    (axes,) = figure.axes
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [(0.1, 0.5), (10, 0.8)]
    assert axes.get_xscale() == "log"
    assert "median time per image (s)" in words(figure)


@pytest.fixture(scope="module")
def contrast_trend():
    x = np.exp2(np.random.default_rng(0).uniform(0, 6, 80))
    return trend_of(0.1 + 0.1 * np.log2(x), x, name="IoU", against_name="contrast", n_resamples=50)


def test_trend_draws_the_line_that_the_scores_lie_on(contrast_trend):
    (axes,) = trend(contrast_trend).axes
    assert axes.get_xscale() == "log"
    medians, line = axes.lines
    assert medians.get_ydata() == pytest.approx(0.1 + 0.1 * np.log2(medians.get_xdata()), abs=0.01)
    assert line.get_ydata() == pytest.approx(0.1 + 0.1 * np.log2(line.get_xdata()), abs=1e-9)
    counts = [int(t.get_text()) for t in axes.texts]
    assert sum(counts) == 80


def test_a_linear_trend_has_a_linear_axis():
    x = np.linspace(-3, 5, 60)
    found = trend_of(0.5 - 0.02 * x, x, name="IoU", against_name="tilt", unit="nm", scale="linear", n_resamples=50)
    figure = trend(found, points=(x, 0.5 - 0.02 * x))
    line = figure.axes[0].lines[-1]
    assert figure.axes[0].get_xscale() == "linear"
    assert line.get_ydata() == pytest.approx(0.5 - 0.02 * line.get_xdata(), abs=1e-9)
    assert "tilt (nm)" in words(figure)


def test_trends_of_several_methods_share_a_frame(contrast_trend):
    figure = trends({f"m{i}": contrast_trend for i in range(20)})
    assert len(figure.axes[0].lines) == 8
    assert {"m0", "m7"} <= set(words(figure))
    assert trends({}) is None
    empty = trend_of([], [], name="IoU", against_name="contrast", n_resamples=10)
    assert "nothing to show" in words(trend(empty))
    assert "nothing to show" in words(trends({"a": empty, "b": empty}))


def test_reliability_diagram_draws_its_bins():
    truth, probability = np.array([[1, 0, 1, 0]]), np.array([[0.8, 0.8, 0.8, 0.2]])
    found = reliability(truth, probability, n_bins=2)
    top, bottom = reliability_diagram(found).axes
    (diagonal, bins) = top.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert bins.get_xdata() == pytest.approx([0.2, 0.8], abs=1e-4)
    assert bins.get_ydata() == pytest.approx([0, 2 / 3])
    heights = [c.get_paths()[0].vertices[:, 1].max() for c in bottom.collections]
    assert heights == [1, 3]
    nothing = reliability(truth, probability, ignore=np.ones(truth.shape, bool))
    assert "nothing to show" in words(reliability_diagram(nothing))
    both = reliability_diagram({"before": found, "after": found, "never": nothing})
    assert " ".join(words(both)).count("ECE") == 2
    assert len(both.axes[0].lines) == 3, "the diagonal, and a line each"


def test_risk_coverage_ends_at_the_error_of_all():
    figure = risk_coverage_curve(risk_coverage([0.9, 0.8, 0.1], [0, 1, 1]), error="share of false objects")
    risk, best = figure.axes[0].lines
    assert risk.get_ydata()[-1] == best.get_ydata()[-1] == pytest.approx(2 / 3)
    assert risk.get_xdata() == pytest.approx([1 / 3, 2 / 3, 1])
    assert "share of false objects of the kept" in words(figure)
    both = {"entropy": risk_coverage([1, 2], [0, 1]), "size": risk_coverage([2, 1], [0, 1])}
    assert {"entropy: area 0.75", "size: area 0.25"} <= set(words(risk_coverage_curve(both)))
    assert "nothing to show" in words(risk_coverage_curve(risk_coverage([], [])))


ODD = {
    "one method": {"a": [0.1, 0.5, 0.7]},
    "one image": {"a": [0.5], "b": [0.7]},
    "two images": {"a": [0.5, 0.6]},
    "all equal": {"a": np.ones(30), "b": np.ones(30)},
    "all but one equal": {"a": np.r_[np.ones(29), 0.2]},
    "nan": {"a": [np.nan] * 4, "b": [np.nan, 0.4]},
    "no values": {"a": []},
    "twenty methods": {f"a method with a long name, number {i}": np.linspace(0, 1, 7) for i in range(20)},
    "strange names": {"$\\frac{1}{0}$": [0.1, 0.2, 0.4], "<b>&": [0.3]},
    "huge": {"a": [1e100, -1e100, 0.0]},
}


@pytest.mark.parametrize("scores", ODD.values(), ids=ODD.keys())
def test_violins_stand_any_scores(scores):
    figure = violins(scores, name="AP50")
    assert names_of(figure.axes[0])[0].startswith(("a", r"\$"))
    assert ElementTree.fromstring(figures.svg(figure).encode()) is not None


@pytest.mark.parametrize(
    "table",
    [pd.DataFrame([[np.nan]]), pd.DataFrame([[1.0]]), pd.DataFrame(np.ones((3, 2))), pd.DataFrame(np.zeros((21, 20)))],
)
def test_heat_maps_stand_any_table(table):
    assert figures.svg(heat(table, name="IoU"))


def test_figures_are_the_same_every_time_and_load_nothing(contrast_trend):
    def make():
        return [
            violins({"a": np.linspace(0, 1, 30)}, name="AP50"),
            forest({"b": Gap(-0.1, -0.2, -0.05, 0.01)}, best="a", name="AP50"),
            heat(pd.DataFrame([[0.5, np.nan]]), name="IoU"),
            trend(contrast_trend),
        ]

    for first, second in zip(make(), make(), strict=True):
        text = figures.svg(first)
        assert text == figures.svg(second)
        assert not re.search(r"(href|src)=\"(?!#)", text)
        assert "date>" not in text
