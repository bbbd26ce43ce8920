"""clDice and Betti numbers against paper, shapes of known topology, cells counted one by one, and laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number as euler_of_scikit_image
from skimage.measure import label as label_of_scikit_image
from skimage.morphology import thin

from segmetry.errors import LabelError, ShapeMismatchError
from segmetry.evaluate.thinning import thinned
from segmetry.evaluate.topology import (
    TOPOLOGY,
    TopologyCounts,
    recall_by_width,
    skeleton,
    topology_counts,
    topology_scores,
)
from segmetry.measure.topology import betti_numbers, euler_number


def picture(text):
    return np.array([[c == "#" for c in line] for line in text.split()])


RING = picture(".... .###. .#.#. .###. ....".replace("....", "....."))
GRID3 = np.ogrid[-10:11, -10:11, -10:11]


def ball3(radius):
    return sum(x**2 for x in GRID3) <= radius**2


def torus(bent=6, tube=2.5):
    z, y, x = GRID3
    return (np.hypot(y, x) - bent) ** 2 + z**2 <= tube**2


SHAPES = {
    "nothing": (np.zeros((4, 4), bool), (0, 0, 0)),
    "pixel": (np.ones((1, 1), bool), (1, 0, 0)),
    "ring": (RING, (1, 1, 0)),
    "two rings": (np.hstack([RING, RING]), (2, 2, 0)),
    "figure eight": (picture("##### #.#.# #####"), (1, 2, 0)),
    "diagonal pixels": (picture("#. .#"), (1, 0, 0)),
    "diamond": (picture(".#. #.# .#."), (1, 1, 0)),
    "ring in a ring": (picture("####### #.....# #.###.# #.#.#.# #.###.# #.....# #######"), (2, 2, 0)),
    "holes at a corner": (picture("##### #.### ##.## #####"), (1, 2, 0)),
    "open ring": (picture("### #.# #.#"), (1, 0, 0)),
    "ring cut by the frame": (picture("#..# #..# ####"), (1, 0, 0)),
    "ball": (ball3(7), (1, 0, 0)),
    "hollow ball": (ball3(8) & ~ball3(5), (1, 0, 1)),
    "two hollow balls": (np.concatenate([ball3(8) & ~ball3(5)] * 2), (2, 0, 2)),
    "torus": (torus(), (1, 1, 0)),
    "torus in a hollow ball": ((ball3(10) & ~ball3(8)) | torus(4, 1.5), (2, 1, 1)),
    "hollow torus": (torus(6, 3.4) & ~torus(6, 1.5), (1, 2, 1)),
    "block with two tunnels": (np.repeat(picture("##### #.#.# #####")[None], 4, axis=0), (1, 2, 0)),
    "voxels at a corner": (np.stack([picture("#. .."), picture(".. .#")]), (1, 0, 0)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_known_topology(name):
    mask, expected = SHAPES[name]
    assert betti_numbers(mask) == expected
    for order in itertools.permutations(range(mask.ndim)):
        assert betti_numbers(np.flip(mask, 0).transpose(order)) == expected
    assert betti_numbers(np.pad(mask, 3)) == expected
    if mask.ndim == 2:
        assert betti_numbers(np.repeat(mask[None], 3, axis=0)) == expected  # a slab has the holes as tunnels


def cells_counted(mask):
    """Return corners - edges + squares - cubes of the closed pixels, as a set of doubled coordinates."""
    cells = set()
    for at in np.argwhere(mask):
        cells |= {tuple(2 * at + step) for step in itertools.product((-1, 0, 1), repeat=mask.ndim)}
    # An even coordinate runs through the middle of a pixel: the cell extends along that axis.
    return sum((-1) ** sum(int(c) % 2 == 0 for c in cell) for cell in cells)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.one_of(st.tuples(st.integers(1, 8), st.integers(1, 8)), st.tuples(*[st.integers(1, 5)] * 3)),
    seed=st.integers(0, 2**20),
)
def test_euler_and_betti_numbers_of_random_masks(shape, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < rng.uniform(0.1, 0.95)
    euler = cells_counted(mask)
    assert euler_number(mask) == euler
    assert euler_of_scikit_image(np.pad(mask, 1), connectivity=mask.ndim) == euler
    b0, b1, b2 = betti_numbers(mask)
    assert b0 - b1 + b2 == euler
    assert b0 == label_of_scikit_image(mask, connectivity=mask.ndim).max()
    holes = label_of_scikit_image(~np.pad(mask, 1), connectivity=1).max() - 1
    assert (b1 if mask.ndim == 2 else b2) == holes


def test_counted_on_paper():
    truth = picture("........... .#########. ...........")
    prediction = picture("........... .###.####.. ...........")
    # The skeleton of a line is the line. Truth 9 pixels, 7 of them found; prediction 7 pixels, all in the truth.
    found = topology_scores(truth, prediction)
    assert found["skeleton_recall"] == pytest.approx(7 / 9)
    assert found["skeleton_precision"] == 1
    assert found["cldice"] == pytest.approx(2 * (7 / 9) / (7 / 9 + 1))
    assert (found["betti0_error"], found["betti0_absolute"]) == (1, 1)
    assert (found["betti1_error"], found["betti1_absolute"]) == (0, 0)
    assert math.isnan(found["betti2_error"])
    assert set(found) == set(TOPOLOGY)


def test_a_thick_line_is_as_good_as_a_thin_one():
    thin = np.zeros((21, 60), bool)
    thin[10, 5:55] = True
    thick = ndimage.binary_dilation(thin, iterations=3)
    found = topology_scores(thin, thick)
    assert found["skeleton_recall"] == 1
    assert found["cldice"] > 0.95
    beside = np.roll(thin, 5, axis=0)
    assert topology_scores(thick, beside)["cldice"] == 0


def test_errors_are_signed():
    truth, prediction = SHAPES["figure eight"][0], np.ones((3, 5), bool)
    found = topology_scores(truth, prediction)
    assert (found["betti1_error"], found["betti1_absolute"]) == (-2, 2)
    assert topology_scores(prediction, truth)["betti1_error"] == 2
    found = topology_scores(SHAPES["torus"][0], SHAPES["hollow ball"][0])
    assert [found[f"betti{k}_error"] for k in range(3)] == [0, -1, 1]


def test_empty_masks():
    nothing, line = np.zeros((5, 9), bool), np.eye(5, 9, dtype=bool)
    both = topology_scores(nothing, nothing)
    assert (both["cldice"], both["betti0_error"]) == (1, 0)
    assert math.isnan(both["skeleton_recall"])
    missed, invented = topology_scores(line, nothing), topology_scores(nothing, line)
    assert (missed["cldice"], missed["skeleton_recall"], missed["betti0_error"]) == (0, 0, -1)
    assert (invented["cldice"], invented["skeleton_precision"], invented["betti0_error"]) == (0, 0, 1)
    assert math.isnan(missed["skeleton_precision"])
    assert math.isnan(invented["skeleton_recall"])
    full = np.ones((5, 9), bool)
    assert topology_scores(full, full)["cldice"] == 1
    one = np.ones((1, 1), bool)
    assert topology_scores(one, one)["cldice"] == 1


@settings(max_examples=40, deadline=None)
@example(shape=(5, 4, 4), seed=4)  # two pixels of a piece are equally near to its centroid
@given(
    shape=st.one_of(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(*[st.integers(1, 6)] * 3)),
    seed=st.integers(0, 2**20),
)
def test_a_skeleton_lies_in_its_mask_and_keeps_every_piece(shape, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < rng.uniform(0.1, 0.9)
    thin = skeleton(mask)
    assert not (thin & ~mask).any()
    pieces = label_of_scikit_image(mask, connectivity=mask.ndim)
    assert (np.unique(pieces[thin]) == np.arange(1, pieces.max() + 1)).all()
    # The frame does not matter.
    assert (skeleton(np.pad(mask, 2))[(slice(2, -2),) * mask.ndim] == thin).all()


@settings(max_examples=80, deadline=None)
@given(
    m=st.integers(1, 60),
    n=st.integers(1, 60),
    seed=st.integers(0, 2**20),
    sigma=st.sampled_from([0, 0, 0.7, 1.5, 3, 8]),
    share=st.floats(0.1, 0.99),
)
def test_thinning_is_that_of_scikit_image(m, n, seed, sigma, share):
    field = np.random.default_rng(seed).standard_normal((m, n))
    field = ndimage.gaussian_filter(field, sigma) if sigma else field
    mask = field <= np.quantile(field, share)
    assert (thinned(mask) == thin(np.pad(mask, 1))[1:-1, 1:-1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 4))])
def test_thinning_of_large_masks_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    for sigma in (0, 0.6, 1, 2, 4, 8):
        field = rng.standard_normal((300, 310))
        field = ndimage.gaussian_filter(field, sigma) if sigma else field
        for share in (0.2, 0.5, 0.8, 0.95):
            mask = np.pad(field <= np.quantile(field, share), 1)
            assert (thinned(mask) == thin(np.pad(mask, 1))[1:-1, 1:-1]).all()


@pytest.mark.parametrize("shape", [(40, 50), (12, 14, 15)])
def test_laws(shape):
    rng = np.random.default_rng(7)
    truth, prediction = (ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0 for _ in range(2))
    found, swapped = topology_scores(truth, prediction), topology_scores(prediction, truth)
    assert swapped["cldice"] == pytest.approx(found["cldice"])
    assert swapped["skeleton_precision"] == found["skeleton_recall"]
    for k in range(len(shape)):
        assert swapped[f"betti{k}_error"] == -found[f"betti{k}_error"]
        assert swapped[f"betti{k}_absolute"] == found[f"betti{k}_absolute"]
    assert topology_scores(np.pad(truth, 4), np.pad(prediction, 4)) == pytest.approx(found, nan_ok=True)
    assert topology_scores(truth * 9, prediction * 9) == pytest.approx(found, nan_ok=True)
    exact = topology_scores(truth, truth)
    assert (exact["cldice"], exact["betti0_absolute"], exact["betti1_absolute"]) == (1, 0, 0)


def test_classes_and_ignored_pixels():
    truth = np.zeros((12, 30), np.uint8)
    truth[3, 2:12], truth[8, 2:22] = 1, 2
    prediction = truth.copy()
    prediction[8, 12:] = 0
    one, two = (topology_scores(truth, prediction, classes=(value,)) for value in (1, 2))
    assert (one["cldice"], two["skeleton_recall"]) == (1, 0.5)
    assert topology_scores(truth, prediction)["skeleton_recall"] == 0.75
    right = np.zeros(truth.shape, bool)
    right[:, 12:] = True
    assert topology_scores(truth, prediction, ignore=right)["cldice"] == 1


def test_recall_tells_thin_from_thick():
    """Bands 1, 3, 5 and 9 px wide; of each a known part is found."""
    truth, prediction = np.zeros((2, 60, 102), np.uint8)
    for row, width, value, found in ((4, 1, 1, 0), (14, 3, 2, 50), (28, 5, 1, 100), (45, 9, 1, 75)):
        band = slice(row - width // 2, row + width // 2 + 1)
        truth[band, 1:101] = prediction[band, 1 : 1 + found] = value
    recalls = recall_by_width(truth, prediction, [1, 3, 7])
    assert list(recalls) == [f"skeleton_recall[{name}]" for name in ("to 1 px", "1 to 3 px", "3 to 7 px", "over 7 px")]
    # Thinning shortens a band by its half width at most, and there the distance to its end counts for its width.
    assert list(recalls.values()) == pytest.approx([0, 0.5, 1, 0.75], abs=0.05)
    none = recall_by_width(truth == 3, truth == 3, [2])
    assert np.isnan(list(none.values())).all()


def test_counts_add_up_and_score_with_any_leading_shape():
    rng = np.random.default_rng(0)
    pairs = [[ndimage.gaussian_filter(rng.standard_normal((20, 20)), 1) > 0.1 for _ in range(2)] for _ in range(4)]
    each = [topology_counts(t, p, classes=(1,)) for t, p in pairs]
    total = each[0] + each[1] + each[2] + each[3]
    strip = np.zeros((20, 3), bool)
    side_by_side = topology_scores(*(np.hstack([part for pair in pairs for part in (pair[i], strip)]) for i in (0, 1)))
    pooled = {name: float(value[0]) for name, value in total.scores().items()}
    for name in ("cldice", "skeleton_precision", "skeleton_recall"):
        assert pooled[name] == pytest.approx(side_by_side[name])
    for name in ("betti0_error", "betti1_error"):
        assert pooled[name] == pytest.approx(side_by_side[name] / 4)
    for name in ("betti0_absolute", "betti1_absolute"):
        assert pooled[name] == pytest.approx(np.mean([one.scores()[name][0] for one in each]))
    stack = TopologyCounts(*(np.stack([getattr(one, name) for one in each]) for name in vars(total)))
    assert stack.scores()["betti1_error"].shape == stack.scores()["cldice"].shape == (4, 1)
    assert stack.class_means()["cldice"] == pytest.approx([float(one.class_means()["cldice"]) for one in each])


def test_bad_input():
    with pytest.raises(ShapeMismatchError):
        topology_scores(RING, RING[1:])
    with pytest.raises(LabelError):
        topology_scores(RING.astype(float), RING)
