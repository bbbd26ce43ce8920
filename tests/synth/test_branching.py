"""Branching structures: lengths, the law of radii, attenuation, and what is no branch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import BranchingScene, simulate_branching
from segmetry.synth.branching import Graph, grow

STRAIGHT = {"generations": 0, "wiggle": 0.0, "tropism": 0.0, "walls": 0.0}
PLAIN = {"stones": 0, "cracks": 0, "water": 0.0, "halo": 0.0, "texture": 0.0, "counts": None, "blur_px": 0.0}


def test_a_straight_root_has_its_length_area_and_attenuation():
    o = {**STRAIGHT, **PLAIN, "length": 15.0, "tip_radius": 0.45, "attenuation": 0.2, "soil": 0.0}
    scene = simulate_branching(seed=1, **o)
    (row,) = scene.truth.to_dict("records")
    assert row["length"] == pytest.approx(15.0, rel=1e-9)
    assert scene.facts["length"]["value"] == pytest.approx(15.0, rel=1e-9)
    ends = scene.skeleton[["row", "col"]].to_numpy()[[0, -1]]
    assert np.linalg.norm(ends[1] - ends[0]) * 0.1 == pytest.approx(15.0, rel=1e-9)
    assert scene.skeleton["length"].sum() == pytest.approx(15.0, rel=1e-9)
    # It begins at row 0, so half of a disk and half of a pixel's row of the tube lie above the frame.
    # Nine pixels wide, it covers nine columns wherever its edges fall.
    area = 2 * 0.45 * (15 + 0.05) + math.pi * 0.45**2 / 2
    assert scene.facts["area"]["branch"] == pytest.approx(area, rel=0.01)
    volume = math.pi * 0.45**2 * (15 + 0.05) + 2 / 3 * math.pi * 0.45**3
    assert scene.image.pixels.sum() * 0.01 == pytest.approx(0.2 * volume, rel=0.01)
    assert scene.image.pixels.max() == pytest.approx(0.2 * 0.9, rel=0.02)


@pytest.mark.parametrize("power", [2.0, 3.0])
def test_radii_keep_their_law_at_every_branching(power):
    skeleton = simulate_branching(seed=2, radius_power=power, tip_radius=0.1).skeleton
    radius = dict(zip(skeleton["node"], skeleton["radius"] ** power))
    fed = skeleton.groupby("parent")["radius"].apply(lambda r: (r**power).sum()).drop(index=0)
    assert fed.index.map(radius).to_numpy() == pytest.approx(fed.to_numpy())
    tips = set(skeleton["node"]) - set(skeleton["parent"])
    assert {round(radius[t], 12) for t in tips} == {round(0.1**power, 12)}


def test_tips_by_hand():
    # 0 - 1 - 2 - 3 with a side branch 4 at 1 and 5 at 2: three tips.
    parent = np.array([-1, 0, 1, 2, 1, 2])
    graph = Graph(np.zeros((6, 2)), parent, np.array([1, 1, 1, 1, 2, 3]), np.array([0, 0, 0, 0, 1, 1]))
    assert graph.tips().tolist() == [3, 3, 2, 1, 1, 1]
    assert graph.radii(1.0, 2.0)[0] == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("habit", ["roots", "vessels"])
def test_the_graph_holds_together(habit):
    scene = simulate_branching(seed=3, habit=habit, trees=2, walls=0.0, interval=2.5, rate=0.8)
    nodes, branches = scene.skeleton, scene.truth
    assert (nodes["parent"] < nodes["node"]).all()
    assert (nodes["parent"] == 0).sum() == 2
    by_branch = nodes[nodes["length"] > 0].groupby("branch")["length"].sum()
    assert branches.set_index("branch")["length"].to_numpy() == pytest.approx(by_branch.to_numpy())
    generation = dict(zip(branches["branch"], branches["generation"]))
    for row in branches[branches["parent"] > 0].itertuples():
        assert row.generation == generation[row.parent] + 1
        assert row.radius_first >= row.radius_last > 0
    assert branches["generation"].max() <= 2
    assert scene.facts["n_tips"] == len(set(nodes["node"]) - set(nodes["parent"]))


def test_every_branch_in_the_frame_is_labelled_where_it_lies():
    scene = simulate_branching(seed=4, tip_radius=0.15)
    at = scene.skeleton[["row", "col"]].round().to_numpy(int)
    inside = ((at >= 0) & (at < 256)).all(axis=1)
    assert inside.sum() > 100
    assert scene.labels[at[inside, 0], at[inside, 1]].mean() > 0.99


def test_what_is_no_branch_carries_no_label():
    o = {"seed": 5, "walls": 0.8}
    full = simulate_branching(**o, stones=80, cracks=6, barrier=True)
    bare = simulate_branching(**o, stones=0, cracks=0, barrier=False)
    assert np.array_equal(full.labels, bare.labels)
    assert not np.array_equal(full.image.pixels, bare.image.pixels)
    none = simulate_branching(**o, trees=0, stones=80, cracks=6, barrier=True)
    assert none.labels.max() == 0
    assert len(none.truth) == len(none.skeleton) == 0
    # Walls differ from the soil by far, and no root grows into them: left of the soil nothing is labelled.
    soil = np.median(none.image.pixels[100:150, 100:150])
    outside = np.abs(none.image.pixels[100:150] - soil).mean(axis=0) > 0.15
    n_left = int(np.argmin(outside))
    assert 8 <= n_left < 30
    assert full.labels[:, :n_left].max() == 0


def test_tropism_turns_tips_down():
    def depth(tropism):
        o = BranchingScene(tropism=tropism, wiggle=0.0, generations=0, length=20.0)
        sideways = np.array([[0.0, 1.0]])
        graph = grow(o, np.zeros((1, 2)), sideways, np.full(2, -1e6), np.full(2, 1e6))
        return graph.points[-1, 0]

    assert depth(0.0) == pytest.approx(0, abs=1e-9)
    assert depth(-0.1) < -20 < 20 < depth(0.1)


def _paths(habit="roots", **options):
    """Return graphs of trees that start down in the middle of nowhere, one after the other."""
    for seed in range(200):
        o = BranchingScene(seed=seed, habit=habit, tropism=0.0, **options)
        yield grow(o, np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.full(2, -1e6), np.full(2, 1e6))


@pytest.mark.parametrize("generation", [0, 1])
def test_the_direction_wanders_by_the_stated_wiggle(generation):
    # After one unit of length: half the wiggle for first axes, all of it for laterals, whose speeds make it 3 % more.
    turned = []
    for graph in _paths(wiggle=20.0, length=3.0, interval=1.0, rate=1.0, generations=generation, angle_spread=0.0):
        nodes = next((n for n in graph.branches() if graph.generation[n[1][0]] == generation), (0, []))[1]
        steps = np.diff(graph.points[nodes], axis=0) if len(nodes) else []
        if len(steps) >= 6:
            a, b = (math.atan2(*steps[k][::-1]) for k in (0, 5))  # five steps of about 2 px on, of 0.1 each
            turned.append(math.degrees((b - a + math.pi) % (2 * math.pi) - math.pi))
    assert len(turned) > 60
    expected = 20 * (1 if generation else 0.5)
    assert np.std(turned) == pytest.approx(expected, rel=4 / math.sqrt(2 * len(turned)))


@pytest.mark.parametrize(("habit", "length"), [("roots", 12.0), ("vessels", 4.0)])
def test_branches_leave_at_the_stated_angle_and_distance(habit, length):
    angles, apart = [], []
    o = {"wiggle": 0.0, "length": length, "interval": 2.0, "generations": 1, "angle": 50.0, "angle_spread": 5.0}
    for graph in _paths(habit, **o):
        starts = [nodes[0] for _, nodes in graph.branches() if graph.generation[nodes[0]] == 1]
        before = graph.points[graph.parent[starts]]
        ways = graph.points[starts] - before
        angles.extend(np.degrees(np.arccos(ways[:, 0] / np.linalg.norm(ways, axis=1))))  # the axis runs down
        apart.extend(np.diff(before[:, 0]) / 10)
    assert np.mean(angles) == pytest.approx(50, abs=4 * 5 / math.sqrt(len(angles)))
    assert np.std(angles) == pytest.approx(5, rel=4 / math.sqrt(2 * len(angles)))
    if habit == "roots":
        # A lateral leaves at the first step of 0.2 past the drawn place, half of one late; uniform by half a mean.
        assert np.mean(apart) == pytest.approx(2.0 + 0.1, abs=4 * 2 / math.sqrt(12 * len(apart)))


def test_growth_works_in_space():
    o = BranchingScene(length=8.0, seed=2)
    graph = grow(o, np.zeros((1, 3)), np.array([[0.0, 1.0, 0.0]]), np.full(3, -200.0), np.full(3, 200.0))
    assert graph.points.shape[1] == 3
    assert (np.ptp(graph.points, axis=0) > 5).all()
    assert graph.lengths[graph.branch == 1].sum() == pytest.approx(80, rel=1e-9)


def test_noise_is_that_of_counting():
    # An empty field without soil transmits everything: the depth's variance is one over the counts.
    o = {**PLAIN, "trees": 0, "soil": 0.0, "walls": 0.0}
    pixels = simulate_branching(seed=1, **{**o, "counts": 2500.0}).image.pixels
    assert pixels.var() == pytest.approx(1 / 2500, rel=5 * math.sqrt(2 / pixels.size) + 0.003)


def test_what_cannot_be():
    with pytest.raises(OptionError, match="did you mean 'roots'"):
        simulate_branching(habit="root")
