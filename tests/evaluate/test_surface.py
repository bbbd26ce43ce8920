"""Surface distances against paper, brute force, closed forms, scikit-image, surface-distance and MONAI."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.integrate import quad
from scipy.spatial.distance import cdist, directed_hausdorff
from skimage.measure import find_contours, marching_cubes, mesh_surface_area

from segmetry.errors import CalibrationError, LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate.surface import SURFACE, percentile_by_weight, surface, surface_distances, surface_scores


def ball(shape, centre, radius):
    """Return the pixels whose centre is in a disc or ball."""
    return sum((x - c) ** 2 for x, c in zip(np.ogrid[tuple(map(slice, shape))], centre)) <= radius**2


def smooth(rng, shape, sigma=2.0):
    return ndimage.gaussian_filter(rng.standard_normal(shape), sigma) > 0


def slow_points(mask, spacing, ignored=None):
    """Return the middles of all sides between inside and outside, one pair of pixels at a time."""
    points = []
    for at in np.ndindex(mask.shape):
        for axis in range(mask.ndim):
            near = list(at)
            near[axis] += 1
            if near[axis] == mask.shape[axis] or mask[at] == mask[tuple(near)]:
                continue
            if ignored is None or not (ignored[at] or ignored[tuple(near)]):
                points.append([(a + b) / 2 * s for a, b, s in zip(at, near, spacing)])
    return np.array(points).reshape(-1, mask.ndim)


def slow_weights(mask, spacing):
    """Return {middle of a side: length}: lines of marching squares, cut at the frame, half to each end."""
    wide = np.pad(mask, 1, mode="edge")
    weights: dict[tuple[float, float], float] = {}
    for i, j in itertools.product(range(wide.shape[0] - 1), range(wide.shape[1] - 1)):
        ring = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        inside = [wide[place] for place in ring]
        middles = [tuple((a + b) / 2 - 1 for a, b in zip(ring[k], ring[(k + 1) % 4])) for k in range(4)]
        crossed = [k for k in range(4) if inside[k] != inside[(k + 1) % 4]]
        lines = [crossed] if len(crossed) == 2 else [(k - 1, k) for k in range(4) if inside[k] and crossed]
        for one, other in lines:
            length = math.hypot(*((a - b) * s for a, b, s in zip(middles[one], middles[other], spacing)))
            for k in (one, other):
                if all(0 <= a <= n - 1 for a, n in zip(middles[k], mask.shape)):
                    weights[middles[k]] = weights.get(middles[k], 0) + length / 2
    return weights


def test_counted_on_paper():
    truth = np.array([[0, 0, 0, 0, 0, 0]] + [[0, 1, 0, 0, 0, 0]] + [[0, 0, 0, 0, 0, 0]] * 2, bool)
    prediction = np.array([[0, 0, 0, 0, 0, 0]] + [[0, 0, 0, 0, 1, 0]] + [[0, 0, 0, 0, 0, 0]] * 2, bool)
    # A pixel is a diamond of four sides, its middles at (1 ± 0.5, 1) and (1, 1 ± 0.5); the other is 3 columns on.
    # Nearest middles: from (1, 1.5) to (1, 3.5): 2; from (0.5, 1): to (1, 3.5) sqrt(.25 + 6.25); from (1, .5): 3.
    found = surface_scores(truth, prediction, tolerance=2)
    middle = math.sqrt(0.25 + 2.5**2)
    assert found["hausdorff"] == found["hausdorff95"] == 3
    mean = (2 + 2 * middle + 3) / 4
    for name in ("mean_surface_distance", "mean_distance_truth", "mean_distance_prediction"):
        assert found[name] == pytest.approx(mean)
    assert found["surface_dice"] == pytest.approx(0.25)
    assert set(found) == set(SURFACE)
    assert surface(truth).weights == pytest.approx([math.sqrt(0.5)] * 4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (7, 11), (3, 5, 6), (1, 6, 5), (6, 1, 5), (6, 5, 1)])
def test_equals_all_pairs_of_sides(shape, seed):
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.choice([0.5, 1.0, 2.7], len(shape)))
    truth, prediction = rng.random((2, *shape)) < rng.choice([0.3, 0.6])
    ignored = rng.random(shape) < (0.3 if seed % 2 else 0.0)
    found = surface_distances(truth, prediction, spacing=spacing, ignore=ignored)
    t, p = (slow_points(mask, spacing, ignored) for mask in (truth, prediction))
    assert (len(found.truth), len(found.prediction)) == (len(t), len(p))
    if len(t) and len(p):
        all_pairs = cdist(t, p)
        assert np.sort(found.truth) == pytest.approx(np.sort(all_pairs.min(axis=1)))
        assert np.sort(found.prediction) == pytest.approx(np.sort(all_pairs.min(axis=0)))
        largest = max(directed_hausdorff(t, p)[0], directed_hausdorff(p, t)[0])
        assert found.scores(1.0)["hausdorff"] == pytest.approx(largest)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), m=st.integers(1, 8), n=st.integers(1, 8))
def test_weights_are_the_lines_of_marching_squares(seed, m, n):
    rng = np.random.default_rng(seed)
    mask, spacing = rng.random((m, n)) < 0.5, (1.5, 0.4)
    expected = slow_weights(mask, spacing)
    found = surface(mask, spacing=spacing)
    assert {tuple(np.round(p / spacing, 6)): w for p, w in zip(found.points, found.weights)} == pytest.approx(expected)


def test_weights_add_up_to_the_contour_and_mesh_of_scikit_image():
    rng = np.random.default_rng(2)
    mask = np.pad(rng.random((40, 50)) < 0.5, 1)
    length = sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in find_contours(mask.astype(float), 0.5))
    assert surface(mask).weights.sum() == pytest.approx(length)
    spacing = (2.0, 0.7, 1.0)
    volume = np.pad(smooth(rng, (30, 30, 30)), 1)
    vertices, faces, *_ = marching_cubes(volume.astype(float), 0.5, spacing=spacing)
    # They cut a bent polygon along a diagonal, we from its centroid, which is the smaller area.
    share = surface(volume, spacing=spacing).weights.sum() / mesh_surface_area(vertices, faces)
    assert 0.97 < share <= 1


def test_the_area_of_a_voxel_is_that_of_an_octahedron_and_a_slope_is_flat():
    voxel = np.zeros((3, 3, 3), bool)
    voxel[1, 1, 1] = True
    a, b, c = 0.5 * np.array([2.0, 0.7, 1.0])
    found = surface(voxel, spacing=(2.0, 0.7, 1.0)).weights
    assert found.sum() == pytest.approx(8 * math.hypot(a * b, b * c, c * a) / 2)
    i, j, k = np.ogrid[:9, :11, :13]
    slope = surface(i + j + 0 * k >= 10, spacing=(0.5, 2.0, 3.0))
    middle = (slope.points[:, 0] > 1) & (slope.points[:, 0] < 3) & (slope.points[:, 2] > 1) & (slope.points[:, 2] < 35)
    # Each line of the slope runs hypot(.5, 2) a step, 3 deep, and holds two sides.
    assert slope.weights[middle] == pytest.approx(3 * math.hypot(0.5, 2.0) / 2)


def test_a_slab_weighs_as_its_picture():
    mask = np.random.default_rng(1).random((9, 12)) < 0.5
    flat = surface(mask, spacing=(0.5, 3.0))
    slab = surface(np.repeat(mask[None], 4, axis=0), spacing=(2.0, 0.5, 3.0))
    assert slab.weights.reshape(4, -1) == pytest.approx(2.0 * np.tile(flat.weights, (4, 1)))
    assert slab.points[: len(flat.points), 1:] == pytest.approx(flat.points)


def test_points_and_weights_follow_every_turn_and_flip():
    rng = np.random.default_rng(4)
    mask, spacing = rng.random((4, 5, 6)) < 0.5, np.array([1.0, 2.0, 0.5])
    plain = surface(mask, spacing=spacing)
    before = sorted(zip(*plain.points.T.round(6), plain.weights.round(9)))
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turned = np.flip(mask, [a for a in range(3) if flips[a]]).transpose(order)
            found = surface(turned, spacing=spacing[list(order)])
            points = np.empty_like(found.points)
            points[:, list(order)] = found.points
            extent = (np.array(mask.shape) - 1) * spacing
            points = np.where(flips, extent - points, points)
            assert np.allclose(sorted(zip(*points.T.round(6), found.weights.round(9))), before, atol=1e-8)


@pytest.mark.parametrize("shape", [(20, 40), (6, 8, 40)])
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_parallel_planes_are_exact(shape, gap):
    truth, prediction = np.zeros((2, *shape), bool)
    truth[..., 10:], prediction[..., 10 + gap :] = True, True
    spacing = (0.3,) * (len(shape) - 1) + (0.5,)
    found = surface_scores(truth, prediction, spacing=spacing, tolerance=gap * 0.5)
    for name in (
        "hausdorff",
        "hausdorff95",
        "mean_surface_distance",
        "mean_distance_truth",
        "mean_distance_prediction",
    ):
        assert found[name] == pytest.approx(gap * 0.5)
    assert found["surface_dice"] == pytest.approx(1)
    area = math.prod(shape[:-1]) * 0.3 ** (len(shape) - 1)
    assert surface(truth, spacing=spacing).weights.sum() == pytest.approx(area)


def test_slanted_planes_are_exact():
    i, j = np.ogrid[:60, :60]
    found = surface_distances(i + j >= 50, i + j >= 56)
    assert np.median(found.truth) == pytest.approx(6 / math.sqrt(2))
    assert np.median(found.truth_weight) == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(
    ("ndim", "small", "large"), [(2, 5, 7), (2, 20, 21), (2, 20, 25), (2, 50, 60), (3, 8, 11), (3, 20, 24)]
)
def test_concentric_discs_and_balls(ndim, small, large):
    rng = np.random.default_rng(large)
    shape = (2 * large + 5,) * ndim
    for centre in large + 2 + rng.uniform(-0.5, 0.5, (10 if ndim == 2 else 2, ndim)):
        found = surface_scores(ball(shape, centre, small), ball(shape, centre, large), spacing=(0.1,) * ndim)
        # Sides lie up to 0.35 px off the edge, and the nearest one is sought: at most that much too near.
        assert -0.035 < found["mean_surface_distance"] - 0.1 * (large - small) < 0.005
        assert abs(found["hausdorff"] - 0.1 * (large - small)) < 0.08


@pytest.mark.parametrize(("ndim", "radius", "shift"), [(2, 30, 6.5), (3, 20, 5.3)])
def test_shifted_balls(ndim, radius, shift):
    def distance(angle):
        return abs(math.sqrt(radius**2 + shift**2 - 2 * radius * shift * math.cos(angle)) - radius)

    if ndim == 2:
        mean = quad(distance, 0, math.pi)[0] / math.pi
    else:
        mean = quad(lambda angle: distance(angle) * math.sin(angle) / 2, 0, math.pi)[0]
    shape = (2 * radius + 20,) * ndim
    rng = np.random.default_rng(0)
    for _ in range(5 if ndim == 2 else 2):
        way = rng.standard_normal(ndim)
        centre = np.array(shape) / 2 + rng.uniform(-0.5, 0.5, ndim)
        off = centre + way / np.linalg.norm(way) * shift
        found = surface_scores(ball(shape, centre, radius), ball(shape, off, radius))
        assert found["mean_surface_distance"] == pytest.approx(mean, abs=0.2)
        assert found["hausdorff"] == pytest.approx(shift, abs=0.75)


def test_percentile_of_the_larger_error_side():
    # 100 columns of a straight edge; the prediction has a bump of 10 columns, 20 high, so of its surface more is off.
    truth = np.zeros((60, 100), bool)
    truth[30:] = True
    prediction = truth.copy()
    prediction[10:30, 40:50] = True
    found = surface_distances(truth, prediction)
    both = (
        np.concatenate([found.truth, found.prediction]),
        np.concatenate([found.truth_weight, found.prediction_weight]),
    )
    ours = found.scores(2.0)["hausdorff95"]
    assert ours == percentile_by_weight(found.prediction, found.prediction_weight, 0.95) == 20
    assert percentile_by_weight(found.truth, found.truth_weight, 0.95) < 5
    assert percentile_by_weight(*both, 0.95) < ours


def test_percentile_by_weight_is_that_of_repeated_values():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, times = rng.random(30), rng.integers(1, 6, 30)
        repeated = np.repeat(values, times)
        for share in (0.05, 0.5, 0.95, 1.0):
            expected = np.quantile(repeated, share, method="inverted_cdf")
            assert percentile_by_weight(values, times * 0.1, share) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_laws(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = smooth(rng, (30, 33)), smooth(rng, (30, 33))
    found = surface_scores(truth, prediction)
    swapped = surface_scores(prediction, truth)
    assert swapped["mean_distance_truth"] == pytest.approx(found["mean_distance_prediction"])
    for name in ("hausdorff", "hausdorff95", "mean_surface_distance", "surface_dice"):
        assert swapped[name] == pytest.approx(found[name])
    turned = surface_scores(truth[::-1].T, prediction[::-1].T)
    inverse = surface_scores(~truth, ~prediction)
    for other in (turned, inverse, surface_scores(truth * 5, prediction * 5)):
        assert other["hausdorff"] == pytest.approx(found["hausdorff"])
        assert other["mean_surface_distance"] == pytest.approx(found["mean_surface_distance"])
    unit = surface_scores(truth, prediction, spacing=(0.2, 0.2), tolerance=0.4)
    for name, score in SURFACE.items():
        assert unit[name] == pytest.approx(found[name] * 0.2**score.length_power)
    closed = [np.pad(mask, 1) for mask in (truth, prediction)]
    assert surface_scores(*(np.pad(mask, 9) for mask in closed)) == pytest.approx(surface_scores(*closed))
    exact = surface_scores(truth, truth, tolerance=0)
    assert (exact["hausdorff"], exact["mean_surface_distance"], exact["surface_dice"]) == (0, 0, 1)


def test_empty_full_and_frame():
    full, nothing = np.ones((6, 7), bool), np.zeros((6, 7), bool)
    left = np.zeros((6, 7), bool)
    left[:, :3] = True
    for a, b in ((full, full), (nothing, nothing), (full, nothing), (np.zeros((1, 1), bool), np.ones((1, 1), bool))):
        assert all(math.isnan(value) for value in surface_scores(a, b).values())
    for a, b in ((full, left), (left, nothing)):
        found = surface_scores(a, b)
        assert found.pop("surface_dice") == 0
        assert all(math.isnan(value) for value in found.values())
    assert surface(left).points[:, 1].tolist() == [2.5] * 6


def test_classes_and_a_missed_class():
    truth, prediction = np.zeros((2, 30, 30), int)
    truth[4:10, 4:10], truth[18:26, 18:26] = 1, 2
    prediction[4:10, 5:11], prediction[18:26, 18:26] = 1, 2
    one, two = (surface_scores(truth, prediction, classes=(value,)) for value in (1, 2))
    both = surface_scores(truth, prediction)
    assert one == pytest.approx(surface_scores(truth == 1, prediction == 1))
    assert one["hausdorff"] == 1
    for name in SURFACE:
        assert both[name] == pytest.approx((one[name] + two[name]) / 2)
    prediction[prediction == 2] = 7
    missed = surface_scores(truth, prediction)
    assert math.isnan(missed["hausdorff"])
    assert missed["surface_dice"] == pytest.approx(one["surface_dice"] / 2)


def test_ignored_pixels_carry_no_surface():
    truth = np.zeros((20, 20), np.uint8)
    truth[:, :10] = 1
    truth[12:] = 255
    prediction = (np.arange(20) < 10) * np.ones((20, 1), np.uint8)
    prediction[14:] = 0
    found = surface_scores(truth, prediction, ignore=255)
    assert (found["hausdorff"], found["surface_dice"]) == (0, 1)
    assert surface_scores(truth, prediction, ignore=truth == 1)["surface_dice"] == 0


def test_bad_input():
    eye = np.eye(4, dtype=bool)
    with pytest.raises(OptionError, match="tolerance"):
        surface_scores(eye, eye, tolerance=-1)
    with pytest.raises(CalibrationError, match="spacing"):
        surface_scores(eye, eye, spacing=(1, 0))
    with pytest.raises(ShapeMismatchError):
        surface_scores(eye, eye[1:])
    with pytest.raises(LabelError):
        surface_scores(eye.astype(float), eye)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(60, 70), (25, 30, 35)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_near_surface_distance(shape, seed):
    peer = pytest.importorskip("surface_distance")
    rng = np.random.default_rng(seed)
    truth, prediction = (np.pad(smooth(rng, shape, 3), 2) for _ in range(2))
    spacing = (1.0,) * len(shape)
    theirs = peer.compute_surface_distances(truth, prediction, spacing)
    ours = surface_scores(truth, prediction)
    # Their points are corners of pixels, half a side from ours.
    assert abs(ours["hausdorff"] - peer.compute_robust_hausdorff(theirs, 100)) <= 1
    assert abs(ours["hausdorff95"] - peer.compute_robust_hausdorff(theirs, 95)) <= 1
    means = peer.compute_average_surface_distance(theirs)
    assert abs(ours["mean_distance_truth"] - means[0]) <= 0.5
    assert abs(ours["mean_distance_prediction"] - means[1]) <= 0.5
    areas = surface(truth).weights.sum()
    assert areas == pytest.approx(theirs["surfel_areas_gt"].sum(), rel=1e-9 if len(shape) == 2 else 0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equals_surface_distance_of_parallel_planes():
    peer = pytest.importorskip("surface_distance")
    truth, prediction = np.zeros((2, 12, 30), bool)
    truth[:, 10:20], prediction[:, 13:23] = True, True
    spacing = (2.0, 0.5)
    theirs = peer.compute_surface_distances(truth, prediction, spacing)
    ours = surface_scores(truth, prediction, spacing=spacing, tolerance=1.5)
    assert ours["hausdorff"] == peer.compute_robust_hausdorff(theirs, 100) == 1.5
    assert ours["surface_dice"] == pytest.approx(peer.compute_surface_dice_at_tolerance(theirs, 1.5))


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(60, 70), (25, 30, 35)])
@pytest.mark.filterwarnings("ignore")
def test_near_monai(shape, seed):
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(seed)
    truth, prediction = (np.pad(smooth(rng, shape, 3), 2) for _ in range(2))
    t, p = (torch.tensor(mask)[None, None] for mask in (truth, prediction))
    ours = surface_scores(truth, prediction, tolerance=2)
    # Their points are the centres of the border pixels inside, half a side from ours, and each counts alike.
    options = {"include_background": True}
    assert abs(ours["hausdorff"] - metrics.compute_hausdorff_distance(p, t, **options).item()) <= 1
    assert abs(ours["hausdorff95"] - metrics.compute_hausdorff_distance(p, t, percentile=95, **options).item()) <= 1
    mean = metrics.compute_average_surface_distance(p, t, symmetric=True, **options).item()
    assert abs(ours["mean_surface_distance"] - mean) <= 0.5
    dice = [metrics.compute_surface_dice(p, t, [tau], **options).item() for tau in (1.0, 2.0, 3.0)]
    assert dice[0] <= ours["surface_dice"] <= dice[2]
