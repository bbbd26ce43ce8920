"""Scales: with networks that know the answer, but only for particles of the sizes they could have learned."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.labelling import label
from segmetry.segment.grouping import Grouped, group
from segmetry.segment.ideal import ideal_maps
from segmetry.segment.merging import areas, fill, merge, select
from segmetry.segment.pyramid import (
    GRAIN,
    TURNS,
    Passes,
    averaged,
    plan_search,
    search,
    turned,
    turned_back,
    typical_side,
    zoomed,
)


class Oracle:
    """Finds bright particles on dark ground where they are apart, and only between 7 and 320 px in its input.

    Larger ones come in squares of 64 px that it is less sure of, smaller ones with a weak seed: as networks do.
    """

    def __init__(self):
        self.pixels = 0

    def __call__(self, image):
        assert image.dtype == np.float32
        assert not any(n % GRAIN for n in image.shape)
        self.pixels += image.size
        labels = label(image > 0, connectivity=4)
        side = np.sqrt(np.bincount(labels.ravel()))
        weak, large = side[labels] < 7, (side[labels] > 320) & (labels > 0)
        squares = 1 + np.arange(image.shape[0])[:, None] // 64 * 1000 + np.arange(image.shape[1]) // 64
        labels = np.where(large, labels.max() + squares, labels)
        shape = (image.shape[0] // 2, image.shape[1] // 2)
        maps = ideal_maps(labels, shape=shape)
        less = cv2.resize(5.8 * weak + 5.0 * large, shape[::-1], interpolation=cv2.INTER_NEAREST)
        maps[3] -= np.where(maps[3] > 0, less, 0)
        return maps


def find_particles(pixels, valid, run, passes=None):
    """Return the particles of an image, both passes."""
    return search(pixels, valid, run, plan_search(pixels, valid, run, passes), passes).particles


def disks(shape, places):
    """Pixels -1 and 1 and labels of disks (row, column, radius)."""
    labels = np.zeros(shape, np.int32)
    for k, (row, col, radius) in enumerate(places, 1):
        cv2.circle(labels, (int(col), int(row)), int(radius), k, -1)
    return np.where(labels > 0, 1, -1).astype(np.float32), labels


def grid(shape, pitch, radii, seed=0):
    rng = np.random.default_rng(seed)
    rows, cols = (np.arange(pitch / 2, n - pitch / 4, pitch) for n in shape)
    return [(r, c, rng.integers(*radii)) for r in rows for c in cols]


def ious(truth, found):
    """Largest IoU of every true particle."""
    n = int(found.max()) + 1
    pairs, common = np.unique(truth.astype(np.int64) * n + found, return_counts=True)
    t, f = pairs // n, pairs % n
    union = np.bincount(truth.ravel())[t] + np.bincount(found.ravel())[f] - common
    best = np.zeros(int(truth.max()) + 1)
    np.maximum.at(best, t, np.where((t > 0) & (f > 0), common / union, 0))
    return best[np.bincount(truth.ravel()) > 0][1:]


def as_grouped(labels, score):
    n = len(score)
    nowhere = np.zeros((n, 2), int)
    return Grouped(labels.astype(np.int32), np.array(score), np.arange(n) + 0.5, nowhere + 0.5, np.ones(n), nowhere)


@pytest.mark.parametrize("n_turns", range(1, 9))
def test_averaging_over_turns_changes_nothing_of_a_network_that_obeys_them(n_turns):
    image = np.zeros((12, 20), np.float32)
    image[3, 14] = 1
    image += 0.01 * np.random.default_rng(0).random(image.shape, np.float32)

    def run(image):  # every pixel points to the brightest
        row, col = np.unravel_index(image.argmax(), image.shape)
        i, j = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        return np.stack([row - i, col - j, image, 2 * image])

    np.testing.assert_allclose(averaged(run, image, n_turns), run(image), atol=1e-6)
    assert len(set(TURNS)) == 8


def test_turning_back_undoes_turning():
    image = np.random.default_rng(1).random((5, 8), np.float32)
    for turn in TURNS:
        np.testing.assert_array_equal(turned_back(np.stack([turned(image, turn)] * 4), turn)[2], image)


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (512, 680), (37, 41)])
@pytest.mark.parametrize("zoom", [0.2, 0.5, 1.0, 1.3])
def test_zoomed_images_have_sides_a_network_takes_and_the_same_mean(shape, zoom):
    pixels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image = zoomed(pixels, zoom)
    for side, whole in zip(image.shape, shape):
        assert side % GRAIN == 0
        assert abs(side - zoom * whole) <= GRAIN / 2 or side == GRAIN
    if zoom < 1 and min(shape) > 100:
        assert image.mean() == pytest.approx(pixels.mean(), abs=2e-3)
    assert zoomed(np.full(shape, 99, np.float32), zoom).max() == 5


def test_typical_side_against_every_pixel_asked():
    rng = np.random.default_rng(0)
    for _ in range(20):
        area = rng.integers(1, 60, 13)
        per_pixel = np.sort(np.repeat(area, area))
        assert typical_side(area) == np.sqrt(per_pixel[(per_pixel.size + 1) // 2 - 1])
    assert np.isnan(typical_side(np.zeros(0)))


def test_merging_by_hand():
    first = as_grouped(np.array([[1, 1, 1, 1, 0, 2, 2, 0, 0, 0]]), [0.9, 0.6])
    second = as_grouped(np.array([[1, 1, 0, 0, 2, 2, 2, 0, 3, 3]]), [0.8, 0.7, 0.5])
    merged = merge(first, second, min_area=1)
    np.testing.assert_array_equal(merged.labels, [[1, 1, 1, 1, 2, 2, 2, 0, 3, 3]])
    np.testing.assert_array_equal(merged.score, [0.9, 0.7, 0.5])
    np.testing.assert_array_equal(merged.peak, [0.5, 1.5, 2.5])  # what is told of a particle goes with it
    np.testing.assert_array_equal(merge(first, second, min_area=3).labels, [[1, 1, 1, 1, 2, 2, 2, 0, 0, 0]])
    filled = fill(first, [((slice(0, 1), slice(0, 10)), second)], min_area=1)
    np.testing.assert_array_equal(filled.labels, [[1, 1, 1, 1, 0, 2, 2, 0, 3, 3]])
    part = as_grouped(np.array([[1, 1, 0, 2]]), [0.3, 0.4])
    both = fill(first, [((slice(0, 1), slice(3, 7)), part), ((slice(0, 1), slice(6, 10)), part)], min_area=1)
    np.testing.assert_array_equal(both.labels, [[1, 1, 1, 1, 0, 2, 2, 0, 0, 3]])
    np.testing.assert_array_equal(both.score, [0.9, 0.6, 0.4])
    with pytest.raises(ShapeMismatchError, match="same image"):
        merge(first, part)


def place(masks, out, free, min_area):
    """Give every mask in turn the pixels that are free, in one piece; return what was given."""
    given = []
    for mask in masks:
        mine = mask & (out == 0)
        if mine.sum() >= min_area and mine.sum() > free * mask.sum():
            out = out + mine
            pieces = ndimage.label(mine, np.ones((3, 3)))[0]
            size = np.bincount(pieces.ravel())[1:]
            if size.max() >= min_area:
                given.append(pieces == 1 + size.argmax())
    return given


@pytest.mark.parametrize("seed", range(8))
def test_merging_equals_the_plain_version(seed):
    rng = np.random.default_rng(seed)
    layers = [label(ndimage.gaussian_filter(rng.normal(size=(50, 60)), 2) > 0.05) for _ in range(2)]
    first, second = (as_grouped(labels, rng.random(labels.max())) for labels in layers)
    masks = [(found.score[k], found.labels == k + 1) for found in (first, second) for k in range(found.n)]
    by_score = [mask for _, mask in sorted(masks, key=lambda item: -item[0])]
    expected = place(by_score, np.zeros((50, 60), int), 0.4, 5)
    merged = merge(first, second, free=0.4, min_area=5)
    assert merged.n == len(expected)
    for k, mask in enumerate(expected, 1):
        np.testing.assert_array_equal(merged.labels == k, mask)

    later = [mask for _, mask in sorted(masks[first.n :], key=lambda item: -item[0])]
    expected = place(later, (first.labels > 0).astype(int), 0.4, 5)
    filled = fill(first, [((slice(0, 50), slice(0, 60)), second)], free=0.4, min_area=5)
    np.testing.assert_array_equal(np.where(filled.labels > first.n, 0, filled.labels), first.labels)
    assert filled.n == filled.labels.max() == first.n + len(expected)
    for k, mask in enumerate(expected, first.n + 1):
        np.testing.assert_array_equal(filled.labels == k, mask)


def test_selection_keeps_what_belongs_together():
    found = as_grouped(np.array([[1, 2, 3]]), [0.1, 0.2, 0.3])
    some = select(found, np.array([True, False, True]))
    np.testing.assert_array_equal(some.labels, [[1, 0, 2]])
    np.testing.assert_array_equal(some.score, [0.1, 0.3])


@pytest.mark.parametrize("radii", [(4, 7), (10, 20), (40, 60), (110, 130)])
def test_particles_of_one_size_come_back_in_a_frame_of_512(radii):
    pixels, truth = disks((512, 680), grid((512, 680), 2 * radii[1] + 12, radii))
    found = find_particles(pixels, None, Oracle())
    assert found.n == truth.max()
    assert ious(truth, found.labels).min() > (0.95 if radii[0] >= 10 else 0.8)


def many_sizes():
    places = [(280, 300, 250), (300, 800, 100), (700, 150, 60), (700, 320, 30), (640, 420, 15)]
    places += [(150 + 30 * (k // 30), 940 + 20 * (k % 30), 2 + k % 5) for k in range(600)]
    return disks((800, 1600), places)


@pytest.mark.slow
def test_sizes_from_5_to_500_px_in_one_frame():
    pixels, truth = many_sizes()
    found = find_particles(pixels, None, Oracle(), Passes(fill=4, n_turns=1, min_area=9))
    iou = ious(truth, found.labels)
    assert iou[:3].min() > 0.95
    assert iou[3:5].min() > 0.85  # these are first seen where they have 9 px, and drawn there
    radius = np.sqrt(np.bincount(truth.ravel())[1:] / np.pi)
    assert iou[radius > 4].min() > 0.75
    assert np.mean(iou[radius < 4] > 0.5) > 0.95


@pytest.mark.slow
def test_a_particle_far_larger_than_the_rest_is_found_whole():
    small = [p for p in grid((800, 1200), 36, (14, 17)) if p[1] > 620]
    pixels, truth = disks((800, 1200), [(300, 300, 230), *small])
    oracle = Oracle()
    found = find_particles(pixels, None, oracle, Passes(n_turns=1))
    assert typical_side(np.bincount(truth.ravel())[1:]) < 40
    assert found.n == truth.max()
    assert ious(truth, found.labels).min() > 0.9


def test_a_particle_that_fills_the_frame_and_none_at_all():
    for shape in ((512, 680), (60, 50), (1500, 1400)):
        full = find_particles(np.ones(shape, np.float32), None, Oracle(), Passes(n_turns=1))
        assert (full.labels == 1).all(), shape
        none = find_particles(-np.ones(shape, np.float32), None, Oracle(), Passes(n_turns=1))
        assert none.n == 0
        assert none.labels.shape == shape
        assert not none.labels.any()


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (7, 5)])
def test_tiny_frames(shape):
    assert find_particles(-np.ones(shape, np.float32), None, Oracle()).labels.shape == shape


@pytest.mark.slow
def test_ten_thousand_of_five_pixels():
    labels = np.zeros((1000, 1000), np.int32)
    k = np.arange(10_000)
    for i in range(5):
        for j in range(5):
            labels[10 * (k // 100) + 2 + i, 10 * (k % 100) + 3 + j] = k + 1
    pixels = np.where(labels > 0, 1, -1).astype(np.float32)
    found = find_particles(pixels, None, Oracle(), Passes(fill=1, n_turns=1, min_area=9))
    assert found.n == 10_000
    pairs, count = np.unique(labels.astype(np.int64) * 20_000 + found.labels, return_counts=True)
    common = count[(pairs // 20_000 > 0) & (pairs % 20_000 > 0)]
    assert common.size == 10_000  # each of them with one, and one only
    assert common.min() / (25 + areas(found).max() - common.min()) > 0.5


@pytest.mark.parametrize("turn", TURNS[1:4])
def test_turning_the_image_turns_the_particles(turn):
    pixels, truth = disks((300, 420), grid((300, 420), 60, (8, 27), seed=5))
    found = find_particles(pixels, None, Oracle(), Passes(n_turns=1))
    again = find_particles(turned(pixels, turn), None, Oracle(), Passes(n_turns=1))
    assert found.n == again.n == truth.max()
    assert ious(turned(found.labels, turn), again.labels).min() > 0.95


def test_enlarging_the_image_enlarges_the_particles():
    pixels, truth = disks((400, 420), grid((400, 420), 60, (10, 27), seed=6))
    found = find_particles(pixels, None, Oracle(), Passes(n_turns=1))
    large = find_particles(np.kron(pixels, np.ones((3, 3), np.float32)), None, Oracle(), Passes(n_turns=1))
    assert found.n == large.n == truth.max()
    assert (
        ious(np.kron(found.labels, np.ones((3, 3), int)), large.labels).min() > 0.9
    )  # under a pixel of the small image


def test_gaps_are_searched_only_where_something_was_seen():
    pixels, _ = disks((512, 680), grid((512, 680), 110, (40, 50)))
    without, with_fill = Oracle(), Oracle()
    find_particles(pixels, None, without, Passes(fill=0, n_turns=1))
    find_particles(pixels, None, with_fill, Passes(fill=1, n_turns=1))
    assert with_fill.pixels == without.pixels
    cv2.circle(pixels, (110, 110), 5, 1.0, -1)
    few, all_over = Oracle(), Oracle()
    found = find_particles(pixels, None, few, Passes(fill=1, n_turns=1))
    whole = find_particles(pixels, None, all_over, Passes(fill=1, n_turns=1, hint=0))
    assert found.labels[110, 110] > 0
    assert found.n == whole.n
    assert ious(whole.labels, found.labels).min() > 0.9  # a box is zoomed by a little more or less than the whole
    assert few.pixels - without.pixels < 0.1 * (all_over.pixels - without.pixels)


def test_nothing_is_painted_on_what_is_not_valid():
    pixels, truth = disks((300, 400), grid((300, 400), 60, (12, 22)))
    valid = np.ones(truth.shape, bool)
    valid[270:] = False
    pixels[270:, 100:140] = 5  # a scale bar
    found = find_particles(pixels, valid, Oracle(), Passes(n_turns=1))
    assert not found.labels[~valid].any()
    np.testing.assert_allclose(ious(np.where(valid, truth, 0)[:240], found.labels[:240]), 1, atol=0.05)
    with pytest.raises(ShapeMismatchError, match="valid"):
        find_particles(pixels, valid[:5], Oracle())


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(OptionError, match="n_turns"):
        Passes(n_turns=9)
    with pytest.raises(OptionError, match="zooms"):
        Passes(zooms=(1.0, 0.5))


def test_the_second_pass_does_not_depend_on_how_maps_are_grouped_first():
    # One pass at the right zoom gives the same particles as two, where there is one size.
    pixels, truth = disks((512, 512), grid((512, 512), 128, (33, 38)))
    found = find_particles(pixels, None, Oracle(), Passes(n_turns=1))
    alone = group(Oracle()(zoomed(pixels, 1.0)), shape=pixels.shape, min_area=20)
    assert ious(alone.labels, found.labels).min() > 0.97
    assert found.n == truth.max()
