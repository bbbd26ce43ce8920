"""Places against the laws they claim: contact, gap, Poisson counts, uniform density, fractal clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.sparse.csgraph import connected_components
from shapely.geometry import MultiPoint, Polygon

from segmetry.synth import simulate
from segmetry.synth.arrange import aggregate, contact_group, split_into_groups
from segmetry.synth.shapes import SHAPES, ShapeOptions, convex_hull, covering_disks, make_body, minkowski_difference

BARE = {"dose": None, "bits": 0, "blur_px": 0.0, "support": "flat"}


def gaps(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the gap between each pair of balls or disks, inf on the diagonal."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2) - radii[:, None] - radii[None]
    np.fill_diagonal(distance, np.inf)
    return distance


@pytest.mark.parametrize("shape", list(SHAPES))
def test_members_of_a_touching_group_touch_and_do_not_overlap(shape):
    # Shapely is the witness: each newcomer is at distance zero from some earlier one and shares no area with any.
    rng = np.random.default_rng(3)
    for _ in range(5):
        bodies = [make_body(shape, rng, ShapeOptions(roughness=0.0, tilt=20.0)) for _ in range(4)]
        scales = rng.uniform(5, 20, 4)
        outlines = [b.outline * s for b, s in zip(bodies, scales)]
        reaches = np.array([np.hypot(*o.T).max() for o in outlines])
        at = contact_group(np.arange(4), outlines, 0.0, rng, reaches)[:, :2]
        polygons = [Polygon(o + p) for o, p in zip(outlines, at)]
        for i in range(1, 4):
            assert min(polygons[i].distance(p) for p in polygons[:i]) < 1e-5
            assert max(polygons[i].intersection(p).area for p in polygons[:i]) < 1e-3


def test_disks_in_a_touching_group_touch_exactly():
    rng = np.random.default_rng(5)
    radii = rng.uniform(4, 12, 6)
    at = contact_group(np.arange(6), radii.tolist(), 0.0, rng, radii)[:, :2]
    gap = gaps(at, radii)
    assert gap.min() > -1e-9
    assert gap.min(axis=1) == pytest.approx(np.zeros(6), abs=1e-9)


def test_touching_scene_touches_within_groups_and_not_between():
    scene = simulate(seed=6, n=40, arrangement="touching", min_gap_px=4.0, median_diameter=12, **BARE)
    t = scene.truth
    radii = t["equivalent_diameter"].to_numpy() / 2 / scene.pixel_size
    gap = gaps(t[["centroid-0", "centroid-1"]].to_numpy(), radii)
    same = t["cluster"].to_numpy()[:, None] == t["cluster"].to_numpy()[None]
    assert gap[same].min() == pytest.approx(0, abs=1e-6)
    assert gap[~same].min() >= 4.0 - 1e-9


def test_overlapping_groups_overlap():
    scene = simulate(seed=6, n=40, arrangement="overlapping", overlap=0.5, median_diameter=12, **BARE)
    whole = scene.truth[scene.truth["fraction_in_frame"] == 1]
    assert (whole["visible_fraction"] < 0.97).sum() > 5
    # Each member but the first of its group lies over another by half of the smaller radius.
    radii = scene.truth["equivalent_diameter"].to_numpy() / 2 / scene.pixel_size
    gap = gaps(scene.truth[["centroid-0", "centroid-1"]].to_numpy(), radii)
    assert np.median(gap.min(axis=1)) < -0.3 * np.median(radii)


@pytest.mark.parametrize("by_cluster", [True, False])
def test_aggregated_balls_touch_hang_together_and_do_not_overlap(by_cluster):
    rng = np.random.default_rng(8)
    radii = np.exp(0.2 * rng.standard_normal(80))
    centres = aggregate(radii, rng, by_cluster=by_cluster)
    gap = gaps(centres, radii)
    assert gap.min() > -1e-9
    assert connected_components(gap < 1e-6)[0] == 1
    assert (gap < 1e-6).sum() == 2 * (len(radii) - 1)  # ballistic joining makes one contact each time


def test_cluster_aggregates_are_fractal_and_compact_ones_denser():
    def radius_of_gyration(n, by_cluster):
        found = []
        for k in range(12):
            centres = aggregate(np.ones(n), np.random.default_rng([n, k]), by_cluster=by_cluster)
            found.append(math.sqrt((centres**2).sum(axis=1).mean()))
        return np.mean(np.log(found))

    sizes = [16, 32, 64, 128]
    logs = [radius_of_gyration(n, True) for n in sizes]
    dimension = 1 / np.polyfit(np.log(sizes), logs, 1)[0]
    # Ballistic cluster-cluster aggregation has 1.9 to 2.0 for large clusters, diffusion-limited 1.8.
    assert 1.7 < dimension < 2.2
    assert radius_of_gyration(128, False) < logs[-1] - 0.2


def test_sintered_neighbours_overlap_by_the_stated_share():
    scene = simulate(
        seed=2, n=20, arrangement="agglomerates", group_size=(20, 20), sintering=0.15, edges="inside", gsd=1.0,
        median_diameter=10, frame_shape=(600, 600), **BARE,
    )  # fmt: skip
    # Equal balls drawn together: in projection no two centres are farther than 2 r (1 - 0.15) along the chain.
    centres = scene.truth[["centroid-0", "centroid-1"]].to_numpy() * scene.pixel_size
    nearest = np.sort(np.linalg.norm(centres[:, None] - centres[None], axis=2), axis=1)[:, 1]
    assert nearest.max() <= 10 * 0.85 + 1e-9


@pytest.mark.slow
def test_random_particles_are_poisson():
    # Counts of centres in the frame: mean n, variance n (index of dispersion: chi-square with 149 degrees of freedom).
    counts = []
    for seed in range(150):
        t = simulate(seed=seed, n=12, arrangement="random", frame_shape=(64, 64), median_diameter=4, **BARE).truth
        inside = ((t[["centroid-0", "centroid-1"]] >= -0.5) & (t[["centroid-0", "centroid-1"]] < 63.5)).all(axis=1)
        counts.append(int(inside.sum()))
    assert np.mean(counts) == pytest.approx(12, abs=4 * math.sqrt(12 / 150))
    dispersion = 149 * np.var(counts, ddof=1) / np.mean(counts)
    assert 0.001 < stats.chi2(149).cdf(dispersion) < 0.999


def test_isolated_particles_have_the_asked_density_everywhere_and_unbiased_sizes():
    # Crowded on purpose: 30 % covered. Neither the edges of the frame nor crowding may shift places or sizes.
    rows, logs, n_inside = [], [], 0
    for seed in range(20):
        t = simulate(
            seed=seed, coverage=0.3, gsd=1.4, median_diameter=4, frame_shape=(128, 128), min_gap_px=0.0, **BARE
        ).truth
        inside = t[((t[["centroid-0", "centroid-1"]] >= -0.5) & (t[["centroid-0", "centroid-1"]] < 127.5)).all(axis=1)]
        rows.extend(inside["centroid-0"])
        logs.extend(np.log(inside["equivalent_diameter"]))
        n_inside += len(inside)
    expected = 20 * 0.3 * 64**2 / (math.pi / 4 * 4**2 * math.exp(2 * math.log(1.4) ** 2))
    assert n_inside == pytest.approx(expected, rel=0.05)
    assert stats.kstest(rows, stats.uniform(-0.5, 128).cdf).pvalue > 0.01
    assert stats.kstest(logs, stats.norm(math.log(4), math.log(1.4)).cdf).pvalue > 0.01


def test_inside_keeps_every_outline_in_the_frame():
    scene = simulate(seed=1, n=30, edges="inside", shapes="rod", aspect_ratio=4.0, median_diameter=12, **BARE)
    assert len(scene.truth) == 30
    assert (scene.truth["fraction_in_frame"] == 1).all()


@pytest.mark.parametrize("shape", list(SHAPES))
def test_disks_cover_the_outline(shape):
    rng = np.random.default_rng(1)
    for _ in range(20):
        outline = make_body(shape, rng, ShapeOptions(aspect_ratio=4.0, tilt=30.0)).outline
        centres, radii = covering_disks(outline)
        inner = np.concatenate([outline * f for f in (1.0, 0.7, 0.3)])  # star-shaped about the centre
        distance = np.linalg.norm(inner[:, None] - centres[None], axis=2) - radii[None]
        assert distance.min(axis=1).max() < 1e-6


def test_groups_hold_every_particle_once():
    groups = split_into_groups(103, (2, 5), np.random.default_rng(0))
    assert np.array_equal(np.concatenate(groups), np.arange(103))
    assert all(2 <= len(g) <= 5 for g in groups[:-1])


@pytest.mark.slow
def test_the_frame_selects_sizes_as_miles_and_lantuejoul_say():
    # Large disks in a small frame. Those that do not touch it are too small on average; the chance of a disk of
    # diameter d to lie whole in a frame of sides W, H goes as (W - d)(H - d): its inverse restores the true mean.
    diameters, frame, n_inside = [], 120, []
    sizes = {"median_diameter": 30, "gsd": 1.35, "pixel_size": 1.0}
    for seed in range(1000):
        t = simulate(seed=seed, n=6, arrangement="random", frame_shape=(frame, frame), **sizes, **BARE).truth
        centres = t[["centroid-0", "centroid-1"]]
        n_inside.append(int(((centres >= -0.5) & (centres < frame - 0.5)).all(axis=1).sum()))
        diameters.extend(t.loc[t["fraction_in_frame"] == 1, "equivalent_diameter"])
    d = np.array(diameters)
    weights = 1 / (frame - d) ** 2
    mean = 30 * math.exp(math.log(1.35) ** 2 / 2)
    weighted = float((weights * d).sum() / weights.sum())
    error = math.sqrt(float((weights**2 * (d - weighted) ** 2).sum())) / weights.sum()
    assert d.mean() < mean - 10 * d.std() / math.sqrt(len(d))
    assert abs(weighted - mean) < 2.6 * error
    assert error < 0.01 * mean
    assert np.mean(n_inside) == pytest.approx(6, abs=2.6 * math.sqrt(6 / 1000))


def test_minkowski_difference_is_the_hull_of_all_differences():
    rng = np.random.default_rng(4)
    for _ in range(50):
        a, b = (convex_hull(rng.normal(size=(int(rng.integers(3, 30)), 2))) for _ in range(2))
        slow = MultiPoint((a[:, None] - b[None]).reshape(-1, 2)).convex_hull
        assert Polygon(minkowski_difference(a, b)).symmetric_difference(slow).area < 1e-5 * slow.area


def test_a_chain_touches_from_one_to_the_next_and_goes_somewhere():
    stretch = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        radii = rng.uniform(5, 9, 12)
        at = contact_group(np.arange(12), radii.tolist(), 0.0, rng, radii, chain=True)[:, :2]
        gaps = np.linalg.norm(at[:, None] - at, axis=2) - (radii[:, None] + radii)
        np.fill_diagonal(gaps, np.inf)
        assert gaps.min() > -1e-6  # none overlap
        assert (gaps.min(axis=1) < 1e-6).all()  # each touches
        stretch.append(np.linalg.norm(at[-1] - at[0]) / (2 * radii.sum()))
    # A walk whose direction forgets with exp(-s^2 / 2) a step, s = .45: the root mean square over 11 steps of 12.
    c = np.exp(-(0.45**2) / 2)
    expected = np.sqrt(11 * (1 + c) / (1 - c) - 2 * c * (1 - c**11) / (1 - c) ** 2) / 12
    assert np.sqrt(np.mean(np.square(stretch))) == pytest.approx(expected, rel=0.12)
