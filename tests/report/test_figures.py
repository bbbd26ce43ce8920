"""Figures say what the numbers say: read back from their SVG."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from segmetry.report import figures
from segmetry.types import Calibration

SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(text.encode()).iter(f"{SVG}text")]


def test_size_distribution_names_its_marks_and_units(make_result):
    distribution = make_result(40).distributions["number"]
    text = figures.svg(figures.size_distribution(distribution))
    found = words(text)
    assert "equivalent diameter (nm)" in found
    assert "share of number per nm" in found
    assert [w.partition(" = ")[0] for w in found if w.startswith("D")] == ["D10", "D50", "D90"]
    (shown,) = (w.partition(" = ")[2] for w in found if w.startswith("D50"))
    assert float(shown) == pytest.approx(distribution.estimates["d50"].value, rel=0.02)


def test_marks_lie_where_the_numbers_are(make_result):
    distribution = make_result(40).distributions["number"]
    figure = figures.size_distribution(distribution)
    top, bottom = figure.axes
    dots = [line for line in bottom.lines if line.get_marker() == "o"]
    values = [distribution.estimates[k].value for k in ("d10", "d50", "d90")]
    assert [d.get_xdata()[0] for d in dots] == pytest.approx(values)
    assert [d.get_ydata()[0] for d in dots] == [0.1, 0.5, 0.9]
    bars = [line.get_xdata() for line in bottom.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2]
    assert [tuple(b) for b in bars] == [
        (distribution.estimates[k].low, distribution.estimates[k].high) for k in ("d10", "d50", "d90")
    ]
    assert top.get_ylim()[0] == 0


def test_svg_is_the_same_every_time_and_needs_nothing(make_result):
    result = make_result(30)
    first, second = (figures.svg(figures.size_distribution(result.distributions["number"])) for _ in range(2))
    assert first == second
    assert not re.search(r"(href|src)=\"(?!#)", first)
    assert "@import" not in first
    assert "date>" not in first
    assert "DOCTYPE" not in first
    assert "Arial" in first


def test_inlined_ids_carry_the_prefix_and_refer_to_themselves(make_result):
    text = figures.inline(figures.svg(figures.radial(make_result(30).radial)), "g")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert ids
    assert all(i.startswith("g-") for i in ids)
    used = re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', text)
    assert used
    assert {a or b for a, b in used} <= set(ids)
    assert text.startswith("<svg")
    assert "var(--accent, #0072b2)" in text


@pytest.mark.parametrize("name", ["$\\frac{1}{0}$", "a$b", "_^{}", "<b>&", "∑ µ Å", ""])
def test_names_of_images_are_never_mathematics(make_result, name):
    row = {"image": name, "n": 3, "d50": {"value": 5.0, "low": 4.0, "high": 6.0, "unit": "nm"}}
    found = words(figures.svg(figures.batch_d50([row, row | {"image": "b"}])))
    assert name in found or not name


def test_batch_is_sorted_and_in_one_unit():
    rows = [
        {"image": "c", "n": 5, "d50": {"value": 0.03, "low": 0.02, "high": 0.04, "unit": "µm"}},
        {"image": "a", "n": 9, "d50": {"value": 10.0, "low": None, "high": None, "unit": "nm"}},
        {"image": "b", "n": 7, "d50": {"value": 20.0, "low": 15.0, "high": 25.0, "unit": "nm"}},
        {"image": "pixels", "n": 7, "d50": {"value": 99.0, "low": 90.0, "high": 110.0, "unit": "px"}},
        {"image": "none", "n": 0, "d50": {"value": None, "low": None, "high": None, "unit": "nm"}},
        {"image": "nothing", "n": 0},
    ]
    figure = figures.batch_d50(rows)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b", "c"]
    (dots,) = (line for line in left.lines if line.get_marker() == "o")
    assert dots.get_xdata().tolist() == pytest.approx([10, 20, 30])
    (counts,) = (line for line in right.lines if line.get_marker() == "o")
    assert counts.get_xdata().tolist() == [9, 7, 5]
    assert left.get_xlabel() == "D50 (nm)"


def test_batch_in_pixels_where_nothing_is_calibrated():
    rows = [
        {"image": str(i), "n": 5, "d50": {"value": 5.0 + i, "low": 4.0, "high": 9.0, "unit": "px"}} for i in range(3)
    ]
    assert figures.batch_d50(rows).axes[0].get_xlabel() == "D50 (px)"
    assert figures.batch_d50([]) is None
    assert figures.batch_d50([{"image": "a", "n": 0}]) is None


def test_thousand_images_have_no_names_but_all_their_points():
    rows = [
        {"image": str(i), "n": i, "d50": {"value": 1.0 + i, "low": 0.5, "high": 2.0 + i, "unit": "nm"}}
        for i in range(1000)
    ]
    figure = figures.batch_d50(rows)
    (dots,) = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert len(dots.get_xdata()) == 1000
    assert "1000 images, sorted by D50" in words(figures.svg(figure))


def test_scatter_draws_at_most_800_points_and_says_so(make_result):
    table = make_result(5).table
    many = table.loc[np.resize(table.index, 3000)].reset_index(drop=True)
    many.attrs = table.attrs
    figure = figures.shape_scatter(many)
    assert len(figure.axes[0].lines[0].get_xdata()) == 800
    assert "800 of 3000 drawn" in words(figures.svg(figure))
    assert figures.shape_scatter(table.drop(columns="aspect_ratio")) is None
    assert figures.shape_scatter(table.iloc[:1]) is None


def test_scatter_of_equal_shapes_does_not_fail(make_result):
    table = make_result(5).table.copy()
    table["aspect_ratio"] = 1.0
    assert figures.svg(figures.shape_scatter(table))


def test_picking_is_drawn_in_the_unit_of_the_image_only_where_something_was_dropped():
    calibration = Calibration((0.5, 0.5), "nm", 0.0, "user")
    info = {"picking": {"diameter_edges_px": [4.0, 8.0, 16.0], "share_dropped": [0.0, 0.25], "n": [4, 4]}}
    axes = figures.picking_of(info, calibration).axes[0]
    steps = axes.patches[-1].get_data()
    assert steps.edges.tolist() == [2.0, 4.0, 8.0]
    assert steps.values.tolist() == [0.0, 25.0]
    assert axes.get_xlabel() == "equivalent diameter (nm)"
    info["picking"]["share_dropped"] = [0.0, 0.0]
    assert figures.picking_of(info, calibration) is None
    assert figures.picking_of({}, calibration) is None


def test_empty_distribution_is_drawn_as_such(make_result):
    empty = make_result(0, calibrated=False)
    assert "nothing to show" in words(figures.svg(figures.size_distribution(empty.distributions["number"])))
    assert figures.weightings(empty.distributions) is None
    radial = dataclasses.replace(empty.radial, g=np.full(len(empty.radial.g), np.nan))
    assert "nothing to show" in words(figures.svg(figures.radial(radial)))
