"""Weight maps by hand, against slow versions by definition, and by laws; class weights against scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.graph import MCP_Geometric

from segmetry.errors import LabelError, OptionError
from segmetry.evaluate.topology import skeleton
from segmetry.train.weight_maps import (
    WEIGHT_MAPS,
    border_weight,
    boundary_weight,
    branching_weight,
    class_weights,
    count_classes,
    depth,
    distance_target,
    inverse_frequency,
    median_frequency,
    objects,
    way_from_thickest,
)


def cells(seed, shape=(30, 40), n=7):
    """Return labels of random balls, drawn one over the other."""
    rng = np.random.default_rng(seed)
    place = np.indices(shape)
    labels = np.zeros(shape, int)
    for k in rng.permutation(3 * n)[:n] + 1:  # numbers with gaps
        centre = np.array([rng.uniform(0, s) for s in shape]).reshape(-1, *[1] * len(shape))
        labels[((place - centre) ** 2).sum(axis=0) < rng.uniform(1.5, 5) ** 2] = k
    return labels


def slow_border(labels, w0, sigma, spacing):
    """Return the weight by its formula, every distance to every object."""
    out = np.ones(labels.shape)
    ids = np.unique(labels[labels > 0])
    away = [
        cdist(np.argwhere(labels == 0) * spacing, np.argwhere(labels == k) * spacing).min(axis=1, initial=np.inf)
        for k in ids
    ]
    d1, d2 = np.sort(away, axis=0)[:2]
    out[labels == 0] += w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return out


@pytest.mark.parametrize(("shape", "spacing"), [((30, 40), (1, 1)), ((30, 40), (2, 0.7)), ((10, 12, 14), (1.5, 1, 1))])
@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_border_weight_is_its_formula(shape, spacing, sigma):
    for seed in range(3):
        labels = cells(seed, shape)
        got = border_weight(labels, w0=10, sigma=sigma, spacing=spacing)
        assert got.dtype == np.float32
        # 1e-5: single precision of distances; 1.6e-8 w0: what is cut off.
        np.testing.assert_allclose(got, slow_border(labels, 10, sigma, spacing), rtol=1e-5, atol=2e-7)


def test_border_weight_by_hand():
    labels = np.array([[1, 1, 0, 2, 2, 0, 0, -1]])
    got = border_weight(labels, w0=10, sigma=2)[0]
    assert got[2] == pytest.approx(1 + 10 * np.exp(-(2**2) / 8))
    assert got[5] == pytest.approx(1 + 10 * np.exp(-((1 + 4) ** 2) / 8))
    assert got[[0, 1, 3, 4, 7]].tolist() == [1] * 5


def test_border_weight_needs_two_objects():
    labels = np.zeros((9, 9), int)
    assert (border_weight(labels) == 1).all()
    labels[4, 4] = 3
    assert (border_weight(labels) == 1).all()


def test_border_weight_of_classes_is_that_of_their_objects():
    target = np.zeros((9, 15), int)
    target[2:7, 1:6], target[2:7, 8:13] = 1, 1
    target[0] = -1
    labels = np.where(target > 0, objects(target), target)
    np.testing.assert_array_equal(WEIGHT_MAPS["border"].compute(target, sigma=3.0), border_weight(labels, sigma=3.0))
    assert WEIGHT_MAPS["border"].compute(target)[4, 6] > 5


@pytest.mark.parametrize(("shape", "spacing"), [((20, 25), (1, 1)), ((8, 9, 10), (2, 1, 0.5))])
def test_depth_is_the_distance_to_the_nearest_other_pixel(shape, spacing):
    rng = np.random.default_rng(0)
    target = np.zeros(shape, int)
    for k in (1, 2):
        target[ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.05] = k
    target[rng.random(shape) < 0.02] = -1
    want = np.zeros(shape)
    for k in (1, 2):
        mine = np.argwhere(target == k) * spacing
        others = np.argwhere((target != k) & (target != -1)) * spacing
        want[target == k] = cdist(mine, others).min(axis=1)
    np.testing.assert_allclose(depth(target, spacing=spacing), want, rtol=1e-6)


def test_depth_without_any_border_is_0():
    assert not depth(np.array([[1, 1, -1]])).any()


def test_boundary_weight_by_hand():
    target = np.zeros((5, 9), int)
    target[1:4, 1:8] = 1
    got = boundary_weight(target, strength=4)
    assert got[2].tolist() == [1, 3, 5, 5, 5, 5, 5, 3, 1]
    assert got[1].tolist() == [1, 3, 3, 3, 3, 3, 3, 3, 1]


def root():
    """Return a root: a thick top, a long branch to the right, a short one down."""
    mask = np.zeros((30, 50), bool)
    mask[3:10, 3:10] = True
    mask[6, 10:45] = True
    mask[7:20, 25] = True
    return mask


def test_way_along_a_root_by_hand():
    way = way_from_thickest(root())
    assert way[6, 6] == 0  # the middle of the top
    assert way[6, 44] == pytest.approx(44 - 6)
    # At the branching the way takes a corner: column 24 to (7, 25), then straight down.
    assert way[19, 25] == pytest.approx((24 - 6) + np.sqrt(2) + (19 - 7))
    assert (way[~root()] == 0).all()


def test_way_grows_to_the_tips():
    way = way_from_thickest(root())
    assert (np.diff(way[6, 10:45]) > 0).all()
    assert (np.diff(way[7:20, 25]) > 0).all()
    assert way.argmax() == np.ravel_multi_index((6, 44), way.shape)


@pytest.mark.parametrize(("shape", "spacing"), [((60, 70), (1, 1)), ((60, 70), (2, 1)), ((16, 18, 20), (1, 1, 2.5))])
def test_way_against_a_front_that_marches_over_the_skeleton(shape, spacing):
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.03
    way = way_from_thickest(mask, spacing=spacing)
    pieces, n = ndimage.label(mask, np.ones((3,) * mask.ndim))
    deep = depth(mask.astype(int), spacing=spacing)
    thin = skeleton(mask)
    assert n > 2
    for k in range(1, n + 1):
        line = thin & (pieces == k)
        start = np.unravel_index(np.where(line, deep, -1).argmax(), shape)
        front = MCP_Geometric(np.where(line, 1.0, -1.0), sampling=spacing, fully_connected=True)
        want, _ = front.find_costs([start])
        np.testing.assert_allclose(way[line], want[line], rtol=1e-5)


def test_ways_of_neighbours_do_not_mix():
    # A hairpin: its legs lie side by side, so the nearest skeleton by air would be the other leg's.
    mask = np.zeros((40, 11), bool)
    mask[2:9, 1:10] = True
    mask[2:38, 1:5], mask[2:38, 6:10] = True, True
    mask[:, 5] &= np.arange(40) < 9
    way = way_from_thickest(mask)
    assert way[37, 1:5].min() > way[20, 1:5].max()
    two = np.zeros((40, 11), bool)
    two[2:38, 1:5] = two[2:20, 6:10] = True
    alone = two.copy()
    alone[:, 6:] = False
    np.testing.assert_array_equal(way_from_thickest(two)[:, :5], way_from_thickest(alone)[:, :5])


def test_branching_weight_is_between_1_and_its_strength():
    target = root().astype(int)
    target[28] = -1
    got = branching_weight(target, strength=6)
    assert got[6, 6] == 1
    assert got[6, 44] == pytest.approx(7)
    assert (got[target < 1] == 1).all()


@pytest.mark.parametrize("name", WEIGHT_MAPS)
@pytest.mark.parametrize("shape", [(20, 24), (8, 9, 10)])
def test_every_map_is_finite_at_least_1_and_1_without_objects(name, shape):
    compute = WEIGHT_MAPS[name].compute
    target = np.minimum(cells(3, shape), 2)
    target[0] = -1
    before = target.copy()
    got = compute(target)
    assert got.shape == shape
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    assert got.min() >= 1
    assert (got[0] == 1).all()
    np.testing.assert_array_equal(target, before)
    for value in (0, -1, 1):
        assert np.isfinite(compute(np.full(shape, value))).all()
    assert (compute(np.zeros(shape, int)) == 1).all()


@pytest.mark.parametrize("name", ["border", "boundary"])
def test_mirrored_labels_have_mirrored_weights(name):
    # Not so for skeletons: where two lines are as central, a rule of thinning has to prefer one.
    target = np.minimum(cells(5), 1)
    compute = WEIGHT_MAPS[name].compute
    for move in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_allclose(compute(np.ascontiguousarray(move(target))), move(compute(target)), rtol=1e-6)


def test_distance_target_is_1_in_the_middle_of_every_object():
    target = np.zeros((12, 30), int)
    target[1:4, 1:8], target[2:11, 10:21], target[2:11, 21:29] = 1, 1, 2
    got = distance_target(target)
    assert got.dtype == np.float32
    for k in range(1, 4):
        mine = objects(target) == k
        assert got[mine].max() == 1
        np.testing.assert_allclose(got[mine], depth(target)[mine] / depth(target)[mine].max(), rtol=1e-6)
    assert not got[target == 0].any()
    assert not distance_target(np.full((4, 5), -1)).any()


def test_inverse_frequency_is_balanced_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight  # seconds, which collecting need not take

    y = np.random.default_rng(0).choice(4, 1000, p=[0.6, 0.3, 0.08, 0.02])
    want = compute_class_weight("balanced", classes=np.arange(4), y=y)
    np.testing.assert_allclose(inverse_frequency(count_classes(y, 4)), want, rtol=1e-12)


def test_median_frequency_counts_images_that_have_the_class():
    rng = np.random.default_rng(1)
    images = [rng.choice(3, 200, p=p) for p in ([0.7, 0.3, 0], [0.5, 0.4, 0.1], [1, 0, 0])]
    f = []
    for k in range(3):
        having = np.concatenate([i for i in images if (i == k).any()])
        f.append((having == k).mean())
    got = median_frequency(np.array([count_classes(i, 3) for i in images]))
    np.testing.assert_allclose(got, np.median(f) / np.array(f), rtol=1e-12)
    assert np.sort(got)[1] == 1


def test_class_weights_of_what_never_occurs_or_does_not_exist():
    for rule in ("inverse", "median"):
        with pytest.raises(LabelError, match="class 1, 3 never occurs"):
            class_weights(rule, np.array([[5, 0, 3, 0]]))
    with pytest.raises(OptionError, match="did you mean 'median'"):
        class_weights("medium", np.array([[5, 3]]))


@pytest.mark.slow
def test_weight_maps_load_no_torch():
    code = "import sys, segmetry.train.weight_maps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
