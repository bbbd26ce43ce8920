"""g(r), neighbours and numbers per area against patterns whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from shapely.geometry import Point, box

from segmetry.errors import OptionError
from segmetry.measure.block_noise import excess_noise
from segmetry.measure.pairs import pair_counts, ring_areas, ring_measure
from segmetry.measure.spatial import centres, nearest_neighbours, number_density, radial_distribution
from segmetry.types import Calibration


def poisson(n, shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (n, 2)) * shape


@pytest.mark.parametrize("shape", [(10.0, 10.0), (7.0, 31.0)])
@pytest.mark.parametrize("blocks", [(1, 1), (3, 5)])
@pytest.mark.parametrize("r_max", [0.3, 2.5, 7.0])
def test_pairs_are_those_of_all_against_all(shape, blocks, r_max):
    points = poisson(300, shape)
    edges = np.linspace(0, r_max, 18)
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    block = (points / shape * blocks).astype(int) @ (blocks[1], 1)
    counts = pair_counts(points, shape, edges, blocks)
    for b in range(blocks[0] * blocks[1]):
        for c in range(b, blocks[0] * blocks[1]):
            among = distance[np.ix_(block == b, block == c)]
            if b == c:
                among = among[np.triu_indices(len(among), 1)]
            np.testing.assert_array_equal(counts[b, c], np.histogram(among, edges)[0])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_points_make_few_pairs(n):
    counts = pair_counts(poisson(n, (1, 1)), (1.0, 1.0), np.linspace(0, 2, 3), (2, 2))
    assert counts.sum() == n * (n - 1) / 2


def test_ring_areas_are_those_of_shapely():
    shape = (4.0, 6.0)
    points = np.vstack([poisson(25, shape), [[0, 0], [4, 6], [2, 3], [0.01, 5.99]]])
    edges = np.array([0.0, 0.5, 1.3, 2.2, 3.1, 4.0])
    found = ring_areas(points, shape, edges, np.arange(len(points)), len(points))
    for point, areas in zip(points, found):
        disks = [Point(*point).buffer(r, 2000).intersection(box(0, 0, *shape)).area if r else 0 for r in edges]
        np.testing.assert_allclose(areas, np.diff(disks), atol=1e-4)


def test_ring_measure_is_the_mean_ring_area():
    """The set covariance in closed form against the average of the rings of points on a fine grid."""
    shape, edges = (3.0, 5.0), np.linspace(0, 3, 13)
    rows, cols = ((np.arange(n) + 0.5) * s / n for n, s in zip((150, 250), shape))
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
    (areas,) = ring_areas(grid, shape, edges, np.zeros(len(grid), int), 1)
    np.testing.assert_allclose(ring_measure(shape, edges), areas * 15 / len(grid), rtol=2e-4)


def test_no_order_gives_one():
    """Mean over 200 patterns of points without order: 1 at every distance, also near the frame's size."""
    found = np.array(
        [radial_distribution(poisson(80, (20, 12), seed), (20, 12), bin_width=1, r_max=12).g for seed in range(200)]
    )
    error = found.std(0, ddof=1) / math.sqrt(200)
    assert np.all(np.abs(found.mean(0) - 1) < 4 * error)
    assert np.all(error < 0.03)


def lattice(side, rng):
    """Return a square lattice of constant 1, laid down at random: moved and turned."""
    reach = np.arange(-side, side + 1) + rng.uniform(0, 1)
    rows, cols = np.meshgrid(reach, np.arange(-side, side + 1) + rng.uniform(0, 1), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.column_stack([rows.ravel(), cols.ravel()]) @ turn + side / 2
    return points[np.all((points >= 0) & (points <= side), axis=1)]


def test_square_lattice_has_its_rings():
    """4 neighbours at 1, 4 at sqrt 2, 4 at 2, 8 at sqrt 5: g over a class is their number over density times area."""
    rng = np.random.default_rng(11)
    runs = [radial_distribution(lattice(60, rng), (60, 60), bin_width=0.1, r_max=2.4) for _ in range(10)]
    r, g = runs[0].r, np.mean([run.g for run in runs], axis=0)
    ring = math.pi * ((r + 0.05) ** 2 - (r - 0.05) ** 2)
    for distance, neighbours in ((1.0, 4), (math.sqrt(2), 4), (2.0, 4), (math.sqrt(5), 8)):
        near = np.abs(r - distance) < 0.11  # a ring on an edge may fall on either side of it
        assert np.sum((g * ring)[near]) == pytest.approx(neighbours, rel=0.01)
    assert np.all(g[np.all(np.abs(r[:, None] - np.sqrt([1, 2, 4, 5])) > 0.11, axis=1)] == 0)


def test_stretching_everything_changes_nothing():
    points = poisson(300, (10, 14))
    a = radial_distribution(points, (10, 14))
    b = radial_distribution(points * 0.37, (3.7, 5.18), unit="nm")
    np.testing.assert_allclose(b.r, a.r * 0.37)
    for x, y in ((a.g, b.g), (a.low, b.low), (a.high, b.high)):
        np.testing.assert_allclose(y, x, rtol=1e-9)
    assert b.density.value == pytest.approx(a.density.value / 0.37**2)
    assert b.density.unit == "nm^-2"


def test_turning_the_frame_changes_nothing():
    points = poisson(200, (10, 14))
    a, b = radial_distribution(points, (10, 14)), radial_distribution(points[:, ::-1], (14, 10))
    np.testing.assert_allclose(b.g, a.g, rtol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_no_pairs(n):
    found = radial_distribution(poisson(n, (5, 5)), (5, 5))
    assert found.n == n
    assert np.all(np.isnan(found.g))
    assert found.notes


def test_bad_requests():
    points = poisson(10, (5, 5))
    with pytest.raises(OptionError, match="positive sides"):
        radial_distribution(points, (0, 5))
    with pytest.raises(OptionError, match="shorter side"):
        radial_distribution(points, (5, 5), r_max=6)
    with pytest.raises(OptionError, match="bin_width"):
        radial_distribution(points, (5, 5), bin_width=-1)
    assert "2 points outside" in radial_distribution(np.vstack([points, [[6, 1], [-1, 2]]]), (5, 5)).notes[0]


def test_number_density_by_hand():
    points = poisson(50, (10, 20))
    found = radial_distribution(points, (10, 20), unit="µm", rel_uncertainty=0.02).density
    assert found.value == pytest.approx(0.25)
    assert found.unit == "µm^-2"
    assert found.low < 0.25 < found.high
    counting = number_density(points, (10, 20))
    half = math.log(counting.high / counting.value)
    assert math.log(found.high / found.value) == pytest.approx(math.hypot(half, 1.96 * 2 * 0.02), rel=1e-4)
    assert number_density(points, (10, 20), weights=np.full(50, 3.0)).value == pytest.approx(0.75)
    assert number_density(np.ones((30, 3)), (2, 3, 5)).value == pytest.approx(1)
    nothing = number_density(np.zeros((0, 2)), (10, 10))
    assert (nothing.value, nothing.low) == (0, 0)
    assert nothing.high == pytest.approx(3.689 / 100, rel=1e-3)  # chi-square with 2 degrees, 97.5 %, over 2


def test_pixel_size_stretches_g():
    """Hard discs: g rises at contact, so an unsure pixel size widens the band there and not where g is flat."""
    rng = np.random.default_rng(3)
    points = np.zeros((0, 2))
    for _ in range(4000):
        trial = rng.uniform(0, 20, 2)
        if not len(points) or np.min(np.sum((points - trial) ** 2, 1)) > 0.36:
            points = np.vstack([points, trial])
    plain, unsure = (
        radial_distribution(points, (20, 20), bin_width=0.1, r_max=3, rel_uncertainty=u) for u in (0, 0.05)
    )
    assert np.all(plain.g[:5] == 0)
    wider = (unsure.high - unsure.low) / (plain.high - plain.low)
    assert wider[6] > 1.3
    assert wider[20] < 1.1


def test_neighbours_of_a_lattice():
    rows, cols = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5, indexing="ij")
    found = nearest_neighbours(np.column_stack([rows.ravel(), cols.ravel()]), (20, 20), unit="nm")
    assert found.mean.value == pytest.approx(1)
    assert found.clark_evans.value == pytest.approx(2)  # 1 over half a lattice constant


@pytest.mark.parametrize("expected_number", [40, 200])
def test_neighbours_without_order(expected_number):
    """Mean distance 1 / (2 sqrt density), Clark & Evans 1954; without edge correction it comes out too long."""
    rng, side = np.random.default_rng(expected_number), math.sqrt(expected_number)
    numbers = rng.poisson(expected_number, 300)
    found = [nearest_neighbours(rng.uniform(0, side, (n, 2)), (side, side)) for n in numbers]
    mean = np.array([f.mean.value for f in found])
    error = mean.std() / math.sqrt(300)
    assert mean.mean() == pytest.approx(0.5, abs=4 * error)
    assert np.mean([f.distance.mean() for f in found]) > 0.5 + 4 * error
    for name, truth in (("mean", 0.5), ("clark_evans", 1.0)):
        inside = sum(getattr(f, name).low < truth < getattr(f, name).high for f in found)
        assert binomtest(inside, 300, 0.95).pvalue > 1e-3, name


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_neighbours(n):
    found = nearest_neighbours(poisson(n, (5, 5)), (5, 5))
    assert len(found.distance) == n
    assert math.isnan(found.mean.low)
    assert found.mean.note


def test_cut_particles_do_not_enter_the_centres():
    """A disk half outside shows a centroid that is not its centre; the part of the frame given back holds none."""
    table = pd.DataFrame(
        {"centroid-0": [2.0, 50.0, 30.0], "centroid-1": [40.0, 45.0, 97.0], "feret_max": [12.0, 16.0, 14.0]}
    )
    points, sides = centres(table, frame_shape=(100, 110), calibration=Calibration((2.0, 2.0), "nm"))
    # Half the largest Feret (8 nm) is left out all around; pixel centres lie at half a pixel.
    assert sides == (200 - 16, 220 - 16)
    np.testing.assert_allclose(points, [[101 - 8, 91 - 8], [61 - 8, 195 - 8]])
    nothing, sides = centres(table[:0], frame_shape=(100, 110), calibration=Calibration((1.0, 1.0)))
    assert (len(nothing), sides) == (0, (100, 110))


def test_pairs_vary_as_the_blocks_say():
    """Mean of the noise: 1 without order, 4 for twins."""
    rng = np.random.default_rng(12)
    edges = np.linspace(0, 3, 16)
    r = (edges[:-1] + edges[1:]) / 2
    plain, paired = [], []
    for _ in range(60):
        single = rng.uniform(0, 12, (rng.poisson(400), 2))
        twins = single[:200] + rng.normal(0, 0.02, (200, 2)).clip(-0.1, 0.1)
        both = np.vstack([single[:200], twins])
        for points, out in ((single, plain), (both[np.all((both > 0) & (both < 12), axis=1)], paired)):
            index = (points / 2).astype(int) @ (6, 1)
            counts = pair_counts(points, (12.0, 12.0), edges, (6, 6))
            rings = ring_areas(points, (12.0, 12.0), edges, index, 36)
            out.append(excess_noise(points, (12.0, 12.0), (6, 6), r, counts, rings))
    np.testing.assert_allclose(np.mean(plain, 0), 1, atol=0.12)
    # Two pairs of twins make four pairs at one distance: independent fours vary 4 times as much. The middle
    # way for clusters that borders cut adds up to a half of the excess.
    assert np.all((np.mean(paired, 0)[5:] > 3.6) & (np.mean(paired, 0)[5:] < 5.5))


@pytest.mark.parametrize("kind", ["one place", "corners", "half in one place", "long frame", "one class"])
def test_odd_patterns_give_ordered_bands(kind):
    """Nothing warns (warnings are errors here), and g lies in its band."""
    for n in (2, 3, 19, 21, 100):
        shape = (1.0, 60.0) if kind == "long frame" else (1e-3, 2e-3)
        points = poisson(n, shape, n)
        if kind == "one place":
            points[:] = points[0]
        elif kind == "corners":
            points = np.round(points / shape) * shape
        elif kind == "half in one place":
            points[: n // 2] = points[0]
        width = shape[0] / 4 if kind == "one class" else None
        found = radial_distribution(points, shape, bin_width=width, rel_uncertainty=0.02)
        assert np.all((found.low <= found.g) & (found.g <= found.high))
        assert len(nearest_neighbours(points, shape).distance) == n
