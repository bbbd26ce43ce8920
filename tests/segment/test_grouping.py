"""Grouping: against a slow plain version, back to the labels the maps were made of, and laws."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from realdata import folder
from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.labelling import largest_pieces
from segmetry.segment.grouping import FLOOR, HOLE, group
from segmetry.segment.ideal import ideal_maps

EIGHT = np.ones((3, 3), bool)


def plain_group(maps, shape, seed_threshold, free, min_area, valid):
    """Grouping as its docstring says it, one whole image per proposal."""
    _, m, n = maps.shape
    row, col = maps[0].astype(float) + np.arange(m)[:, None], maps[1].astype(float) + np.arange(n)
    floor = np.float32(np.log(FLOOR / (1 - FLOOR)))
    candidate = maps[3] >= floor
    labels, used, n_found = np.zeros(shape, np.int32), np.zeros((m, n), bool), 0
    for seed in np.argsort(-maps[3].ravel(), kind="stable"):
        i, j = divmod(int(seed), n)
        if maps[3, i, j] <= np.float32(np.log(seed_threshold / (1 - seed_threshold))):
            break
        if used[i, j]:
            continue
        half = np.exp(-2 * float(np.clip(maps[2, i, j], -4, 6))) / 2
        square = (row - row[i, j]) ** 2 + (col - col[i, j]) ** 2
        member = candidate & (square < np.log(2) / half)
        used |= member
        pieces = ndimage.label(member, EIGHT)[0]
        piece = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        phi = np.where(piece | (candidate & ~member), np.exp(-half * square), 0).astype(np.float32)
        inside = enlarge(phi, shape) > 0.5
        inside &= valid
        mine = inside & (labels == 0)
        if mine.sum() < max(min_area, 1) or mine.sum() <= free * inside.sum():
            continue
        pieces = ndimage.label(mine, EIGHT)[0]
        size = np.bincount(pieces.ravel())[1:]
        if size.max() >= min_area:
            n_found += 1
            labels[pieces == 1 + np.argmax(size)] = n_found
    area = np.bincount(labels.ravel())
    holes, n_holes = ndimage.label(labels == 0)
    filled = labels.copy()
    for k in range(1, n_holes + 1):
        hole = holes == k
        round_it = set(labels[ndimage.binary_dilation(hole) & ~hole])
        at_frame = hole[[0, -1]].any() or hole[:, [0, -1]].any()
        if len(round_it) == 1 and not at_frame and valid[hole].all():
            (around,) = round_it
            if hole.sum() <= int(area[around] * HOLE):
                filled[hole] = around
    return filled


def enlarge(values, shape):
    """Bilinear interpolation, constant beyond the outermost centres, one axis after the other."""
    for axis, size in enumerate(shape):
        n = values.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
        low = np.minimum(place.astype(int), max(n - 2, 0))
        share = (place - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        a, b = np.take(values, low, axis), np.take(values, np.minimum(low + 1, n - 1), axis)
        values = a + share * (b - a)
    return values


def smooth_maps(rng, m, n):
    """Maps of no particles at all, smooth enough for proposals of some pixels that overlap and lie in pieces."""
    maps = rng.normal(size=(4, m, n))
    maps = np.stack([ndimage.gaussian_filter(x, s) for x, s in zip(maps, (1.5, 1.5, 2, 1))])
    maps /= maps.std(axis=(1, 2), keepdims=True)
    return (maps * np.array([6, 6, 0.5, 3])[:, None, None] + np.array([0, 0, 1, 1])[:, None, None]).astype(np.float32)


def scene(rng, shape=(240, 320)):
    """Labels of disks and rods that touch, lie on each other and leave the frame, a ring with a disk in it."""
    labels = np.zeros(shape, np.int32)
    for k in range(1, 41):
        centre = (int(rng.integers(-5, shape[1] + 5)), int(rng.integers(-5, shape[0] + 5)))
        axes = (int(rng.integers(3, 25)), int(rng.integers(3, 14)))
        cv2.ellipse(labels, centre, axes, float(rng.uniform(0, 180)), 0, 360, k, -1)
    cv2.circle(labels, (160, 120), 38, 0, -1)
    cv2.circle(labels, (160, 120), 34, 41, 5)
    cv2.circle(labels, (160, 120), 18, 42, -1)
    return largest_pieces(labels)


def ious(truth, found):
    """Largest IoU of every label that occurs, and its area."""
    area, out = np.bincount(truth.ravel()), {}
    for k in np.flatnonzero(area[1:]) + 1:
        inside = found[truth == k]
        best = [np.sum(inside == f) / (area[k] + np.sum(found == f) - np.sum(inside == f)) for f in set(inside) - {0}]
        out[k] = (max(best, default=0.0), area[k])
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(30, 41), (60, 82), (75, 64), (17, 120)])
def test_equals_the_plain_version_on_random_maps(seed, shape):
    rng = np.random.default_rng(seed)
    maps = smooth_maps(rng, 30, 41)
    valid = ndimage.gaussian_filter(rng.normal(size=shape), 4) < 0.1
    masked = seed % 2 == 1
    found = group(maps, shape=shape, seed_threshold=0.6, free=0.6, min_area=5, valid=valid if masked else None)
    expected = plain_group(maps, shape, 0.6, 0.6, 5, valid if masked else np.ones(shape, bool))
    assert found.n > 10
    np.testing.assert_array_equal(found.labels, expected)


@pytest.mark.parametrize("seed", range(3))
def test_ideal_maps_at_full_resolution_give_back_every_label(seed):
    truth = scene(np.random.default_rng(seed))
    found = group(ideal_maps(truth), min_area=9)
    for k, (iou, area) in ious(truth, found.labels).items():
        assert iou == 1 or area < 9, k
    assert found.n == sum(area >= 9 for _, area in ious(truth, found.labels).values())


@pytest.mark.parametrize("seed", range(3))
def test_maps_at_half_resolution_give_the_labels_back_within_half_a_pixel_of_the_edge(seed):
    truth = scene(np.random.default_rng(seed))
    found = group(ideal_maps(truth, shape=(120, 160)), shape=truth.shape)
    for k, (iou, area) in ious(truth, found.labels).items():
        perimeter = np.count_nonzero((truth == k) & (ndimage.minimum_filter(truth == k, 3) == 0))
        assert iou > 1 - 0.5 * perimeter / area or area < 40, k  # slivers of under ten map pixels lose more


@pytest.mark.parametrize("seed", range(2))
def test_half_resolution_loses_little_of_particles_of_20_px(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((300, 400), np.int32)
    for k in range(48):
        centre = (25 + 50 * (k % 8) + int(rng.integers(-5, 6)), 25 + 50 * (k // 8) + int(rng.integers(-5, 6)))
        cv2.circle(truth, centre, int(rng.integers(10, 28)), k + 1, -1)  # many touch or cut a neighbour
    found = group(ideal_maps(truth, shape=(150, 200)), shape=truth.shape)
    assert found.n == 48
    assert min(iou for iou, _ in ious(truth, found.labels).values()) > 0.95


@pytest.mark.slow
def test_published_labels_come_back():
    where = folder("emps")
    if where is None:
        pytest.skip("the EMPS images are not in ../shared/data")
    for path in sorted((where / "segmaps").iterdir())[::25]:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        truth = largest_pieces((labels if labels.ndim == 2 else labels[..., 0]).astype(np.int32))
        found = group(ideal_maps(truth)).labels
        for k, (iou, area) in ious(truth, found).items():
            # Small holes of labels are filled: IoU at least 1 / (1 + HOLE).
            assert iou >= 1 / (1 + HOLE) or area < 9, (path.name, k, area)


def turned(maps, turn):
    """Maps of an image that is turned by quarter turns, and for turn >= 4 transposed before."""
    if turn >= 4:
        maps = np.stack([maps[1].T, maps[0].T, maps[2].T, maps[3].T])
    for _ in range(turn % 4):
        # A quarter turn to the left: the new row is the old column backwards, the new column the old row.
        maps = np.rot90(np.stack([-maps[1], maps[0], maps[2], maps[3]]), axes=(1, 2))
    return np.ascontiguousarray(maps)


def turned_image(image, turn):
    return np.rot90(image.T if turn >= 4 else image, turn % 4)


def partition(labels):
    """Labels numbered in reading order: equal for equal particles, however they are numbered."""
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.zeros(first.size, int)
    inside = np.flatnonzero(np.unique(labels) > 0)
    rank[inside[np.argsort(first[inside])]] = np.arange(1, inside.size + 1)
    return rank[which].reshape(labels.shape)


@pytest.mark.parametrize("turn", range(1, 8))
def test_flips_and_quarter_turns_of_the_maps_turn_the_particles(turn):
    rng = np.random.default_rng(turn)
    truth = scene(rng, (160, 220))
    maps = ideal_maps(truth, shape=(80, 110)) + rng.normal(0, 0.2, (4, 80, 110)).astype(np.float32)
    once = group(maps, shape=truth.shape)
    turned_shape = turned_image(truth, turn).shape
    again = group(turned(maps, turn), shape=turned_shape)
    np.testing.assert_array_equal(partition(again.labels), partition(turned_image(once.labels, turn)))
    np.testing.assert_allclose(np.sort(again.score), np.sort(once.score), rtol=1e-12)


def test_numbers_of_the_truth_do_not_matter_and_neither_does_what_is_far_away():
    rng = np.random.default_rng(3)
    truth = scene(rng)
    table = np.append(0, 1 + rng.permutation(truth.max())).astype(np.int32)
    np.testing.assert_array_equal(group(ideal_maps(truth)).labels, group(ideal_maps(table[truth])).labels)
    wide = np.hstack([truth, np.zeros((240, 80), np.int32)])
    cv2.circle(wide, (365, 100), 20, 99, -1)
    more = group(ideal_maps(wide)).labels
    np.testing.assert_array_equal(partition(more[:, :320]), partition(group(ideal_maps(truth)).labels))


def test_members_may_lie_anywhere():
    truth = np.zeros((300, 900), np.int32)
    cv2.line(truth, (5, 10), (890, 290), 1, 5)
    truth[60:70, 600:700] = 2
    found = group(ideal_maps(truth))
    np.testing.assert_array_equal(partition(found.labels), partition(truth))


def test_what_is_told_of_a_particle():
    truth = np.zeros((40, 60), np.int32)
    truth[8:20, 10:30] = 1  # rows 8..19, centre 13.5; columns 10..29, centre 19.5
    maps = ideal_maps(truth, shape=(20, 30))
    maps[3] -= 2
    found = group(maps, shape=truth.shape, seed_threshold=0.9)
    assert found.n == 1
    np.testing.assert_allclose(found.centre[0], (13.5, 19.5), atol=1.01)  # a map pixel of 2 px
    np.testing.assert_allclose(found.sigma, 2 * 0.5 * np.sqrt(60))  # half the root of 6 x 10 map px, in px
    expected = 1 / (1 + np.exp(2 - np.log(999)))
    np.testing.assert_allclose([found.score, found.peak], expected, rtol=1e-5)
    assert truth[tuple(found.seed[0])] == 1


def test_the_free_rule_by_hand():
    # Two rows of 10 pixels; the surest seed takes columns 0-5. A second one, at columns 4-9, has 4 of 6 pixels free.
    maps = np.zeros((4, 2, 10), np.float32)
    maps[2] = 0.0
    maps[3] = 3
    maps[3, :, 0] = 5
    maps[0] = -np.arange(2, dtype=np.float32)[:, None]
    maps[1] = 0 - np.arange(10, dtype=np.float32)
    maps[1, :, 4:6] += 1.1  # within sqrt(2 ln 2) = 1.177 of both centres, 0 and 2
    maps[1, :, 6:] += 2
    maps[3, :, 6:] = 4
    assert np.unique(group(maps, free=0.6, min_area=1).labels).tolist() == [1, 2]
    np.testing.assert_array_equal(group(maps, free=0.6, min_area=1).labels[0], [1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    assert np.unique(group(maps, free=0.7, min_area=1).labels).tolist() == [0, 1]
    assert np.unique(group(maps, free=0.6, min_area=9).labels).tolist() == [0, 1]


def test_holes_are_filled_when_small_and_empty():
    truth = np.zeros((60, 60), np.int32)
    truth[5:55, 5:55] = 1
    truth[20:24, 20:24] = 0  # 16 px: filled
    truth[30:45, 30:45] = 0  # 225 px of 2259: a ring's inside
    truth[10:12, 10:12] = 2  # another particle, too small to be kept
    truth[48:52, 10:14] = 3
    expected = truth.copy()
    expected[20:24, 20:24] = expected[10:12, 10:12] = 1
    np.testing.assert_array_equal(partition(group(ideal_maps(truth)).labels), partition(expected))
    valid = np.ones(truth.shape, bool)
    valid[21, 21] = False
    expected[20:24, 20:24] = 0
    np.testing.assert_array_equal(partition(group(ideal_maps(truth), valid=valid).labels), partition(expected))


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 7), (6, 1), (40, 30)])
def test_nothing_and_everything(shape):
    empty = group(ideal_maps(np.zeros(shape, np.int32), shape=tuple(max(1, s // 2) for s in shape)), shape=shape)
    assert empty.n == 0
    assert empty.labels.shape == shape
    assert not empty.labels.any()
    assert empty.centre.shape == empty.seed.shape == (0, 2)
    if all(shape):
        full = group(
            ideal_maps(np.ones(shape, np.int32), shape=tuple(max(1, s // 2) for s in shape)), shape=shape, min_area=1
        )
        assert (full.labels == 1).all()


def test_maps_that_are_not_numbers_propose_nothing():
    truth = scene(np.random.default_rng(0))
    maps = ideal_maps(truth)
    broken = maps.copy()
    broken[:, :40] = np.nan
    broken[0, 200:] = np.inf
    found = group(broken)
    assert found.n > 5
    assert not found.labels[:40].any()
    assert not found.labels[200:].any()
    assert np.isfinite(found.centre).all()


def test_bad_input_is_refused():
    with pytest.raises(ShapeMismatchError, match="4 maps"):
        group(np.zeros((3, 5, 5), np.float32))
    with pytest.raises(ShapeMismatchError, match="valid"):
        group(np.zeros((4, 5, 5), np.float32), valid=np.ones((4, 4), bool))
    with pytest.raises(OptionError, match="free"):
        group(np.zeros((4, 5, 5), np.float32), free=0)
