"""Centre lines of drawn tubes: lengths of lines and helices, radii, junctions of known trees, orders, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drawn_tubes import curve, helix, tubes
from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.measure.paths import path_length, smooth_path
from segmetry.measure.skeleton import skeleton_graph
from segmetry.types import Calibration


@pytest.mark.parametrize(("n", "bias", "worst"), [(20, 0.004, 0.035), (60, 0.0015, 0.01)])
def test_lines_at_all_angles_have_their_length(n, bias, worst):
    rng = np.random.default_rng(n)
    errors, steps = [], []
    for angle in np.linspace(0, math.pi / 4, 60):
        col = np.arange(n + 1)
        path = np.stack([np.round(col * math.tan(angle) + rng.uniform()), col], axis=1)
        errors.append(path_length(path) * math.cos(angle) / n - 1)
        steps.append(np.linalg.norm(np.diff(path, axis=0), axis=1).sum() * math.cos(angle) / n - 1)
    assert abs(np.mean(errors)) < bias
    assert np.abs(errors).max() < worst
    assert np.mean(steps) > 0.04, "steps from pixel to pixel are biased"


def test_rings_and_short_paths():
    t = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    circle = np.round(30 * np.stack([np.sin(t), np.cos(t)], axis=1))
    circle = circle[np.append(True, (np.diff(circle, axis=0) != 0).any(axis=1))]
    assert path_length(circle, closed=True) == pytest.approx(60 * math.pi, rel=0.005)
    assert path_length(np.array([[3.0, 4.0]])) == 0
    assert path_length(np.array([[0, 0], [1, 1]])) == pytest.approx(2**0.5)
    straight = np.stack([np.arange(40.0), 2 * np.arange(40.0)], axis=1)
    np.testing.assert_allclose(smooth_path(straight), straight, atol=1e-9)
    with pytest.raises(OptionError, match="at least 0"):
        smooth_path(straight, half_width=-1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "radius", "spacing"), [((30, 25, 1.5), 2.0, (1, 1, 1)), ((20, 24, 1.5), 4.0, (0.5, 1, 1))]
)
def test_a_helix_has_its_length_and_radius(size, radius, spacing):
    points, length = helix(*size)
    graph = skeleton_graph(curve(points, radius, spacing), calibration=Calibration(spacing, "mm"))
    (row,) = graph.branches.to_dict("records")
    assert row["length"] == pytest.approx(length, rel=0.005)
    assert row["radius"] == pytest.approx(radius, abs=0.1)
    assert row["kind"] == "whole"
    assert graph.branches.attrs["units"]["length"] == "mm"
    assert row["tortuosity"] == pytest.approx(length / np.linalg.norm(points[-1] - points[0]), rel=0.03)


@pytest.mark.parametrize("ndim", [2, 3])
def test_tubes_at_any_angle(ndim):
    rng = np.random.default_rng(ndim)
    errors, radii = [], []
    for _ in range(12 if ndim == 2 else 6):
        way = rng.normal(size=ndim)
        way *= 16 / np.linalg.norm(way)
        middle = 22 + rng.uniform(-0.5, 0.5, ndim)
        graph = skeleton_graph(tubes((45,) * ndim, [(middle - way, middle + way, 3)]))
        assert len(graph.branches) == 1
        errors.append(graph.branches["length"][0] - 32)
        radii.append(graph.branches["radius"][0])
    assert abs(np.mean(errors)) < 1  # px, of both ends together
    assert np.abs(errors).max() < 2
    assert np.mean(radii) == pytest.approx(3, abs=0.2)


TREE = [  # a trunk that forks, and each fork forks again
    ((5, 46), (35, 50), 4),
    ((35, 50), (65, 25), 2.5),
    ((35, 50), (65, 75), 2.5),
    ((65, 25), (95, 10), 1.5),
    ((65, 25), (95, 38), 1.5),
    ((65, 75), (95, 62), 1.5),
    ((65, 75), (95, 90), 1.5),
]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_tree_has_its_junctions_orders_and_generations(ndim):
    lines = TREE if ndim == 2 else [((8, *a), (8, *b), r) for a, b, r in TREE]
    mask = tubes((100, 100) if ndim == 2 else (17, 100, 100), lines)
    graph = skeleton_graph(mask)
    branches = graph.branches.sort_values("radius", ascending=False)
    assert sorted(graph.nodes["degree"]) == [1] * 5 + [3] * 3
    assert branches["kind"].value_counts().to_dict() == {"tip": 5, "between": 2}
    assert branches["order"].tolist() == [3, 2, 2, 1, 1, 1, 1]
    assert branches["generation"].tolist() == [1, 2, 2, 3, 3, 3, 3]
    assert branches["radius"].to_numpy() == pytest.approx([4, 2.5, 2.5, 1.5, 1.5, 1.5, 1.5], abs=0.6)
    truth = [math.dist(a, b) for a, b, _ in TREE]
    assert branches["length"].sum() == pytest.approx(sum(truth), rel=0.03)
    junctions = graph.nodes[graph.nodes["degree"] == 3].sort_values(f"place-{ndim - 1}")
    found = junctions[[f"place-{ndim - 2}", f"place-{ndim - 1}"]].to_numpy()
    np.testing.assert_allclose(found, [(65, 25), (35, 50), (65, 75)], atol=3.5)


def test_loops_crossings_and_points():
    mask = np.zeros((40, 60), bool)
    i, j = np.mgrid[:40, :60]
    mask[np.abs(np.hypot(i - 20, j - 20) - 12) < 1.5] = True
    ring = skeleton_graph(mask)
    assert ring.branches["kind"].tolist() == ["ring"]
    assert ring.branches["length"][0] == pytest.approx(2 * math.pi * 12, rel=0.015)
    mask[20, 32:55] = True
    handled = skeleton_graph(mask)  # a ring on a stick
    assert sorted(handled.branches["kind"]) == ["ring", "tip"]
    assert handled.branches.set_index("kind")["order"].isna().to_dict() == {"ring": True, "tip": False}
    dot = np.zeros((5, 5), bool)
    dot[2, 2] = True
    alone = skeleton_graph(dot)
    assert len(alone.branches) == 0
    assert alone.nodes["degree"].tolist() == [0]
    nothing = skeleton_graph(np.zeros((4, 5, 6), bool))
    assert (len(nothing.branches), len(nothing.nodes), nothing.paths) == (0, 0, ())


def test_objects_that_touch_are_two_and_spurs_go():
    labels = np.zeros((30, 60), np.int32)
    labels[10:15, 5:55], labels[15:20, 5:55] = 3, 7
    assert skeleton_graph(labels).branches["label"].tolist() == [3, 7]
    spur = tubes((60, 80), [((30.3, 10), (31, 70), 6), ((30, 40), (42, 41), 1.5)])  # 12 px from the middle, 2 radii
    assert len(skeleton_graph(spur).branches) == 3
    assert len(skeleton_graph(spur, prune=2.5).branches) == 1


def test_a_flipped_object_is_as_long():
    mask = tubes((60, 70), [((5, 6), (50, 60), 3), ((50, 10), (20, 50), 2)])
    here, there = (skeleton_graph(m).branches["length"] for m in (mask, mask[::-1, ::-1]))
    assert here.sum() == pytest.approx(there.sum(), rel=0.04)
    doubled = skeleton_graph(mask, calibration=Calibration((2, 2), "µm")).branches
    assert doubled["length"].to_numpy() == pytest.approx(2 * here.to_numpy(), rel=1e-6)
    assert doubled["radius"].to_numpy() == pytest.approx(2 * skeleton_graph(mask).branches["radius"], rel=1e-6)


def test_what_is_no_label_image_is_refused():
    with pytest.raises(ImageError, match="2 or 3 axes"):
        skeleton_graph(np.zeros(5, bool))
    with pytest.raises(LabelError, match=">= 0"):
        skeleton_graph(np.full((3, 3), -1))
    with pytest.raises(OptionError, match="prune"):
        skeleton_graph(np.zeros((3, 3), bool), prune=-1)
    with pytest.raises(ShapeMismatchError, match="one per axis"):
        skeleton_graph(np.zeros((3, 3), bool), calibration=Calibration.unknown(3))
