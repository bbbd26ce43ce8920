"""Boundary F1 against counts on paper, distance maps, scikit-image, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries

from segmetry.errors import CalibrationError, LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate.boundary import (
    BOUNDARY,
    BoundaryCounts,
    boundary_counts,
    boundary_f1,
    boundary_pixels,
    object_boundary_counts,
    object_boundary_f1,
)


def slow_border(labels, chosen, ignored=None):
    """Return pixels of `chosen` with a side on another value, one pixel at a time."""
    border = np.zeros(labels.shape, bool)
    known = np.ones(labels.shape, bool) if ignored is None else ~ignored
    for at in zip(*np.nonzero(chosen & known)):
        for axis in range(labels.ndim):
            for step in (-1, 1):
                near = list(at)
                near[axis] += step
                if 0 <= near[axis] < labels.shape[axis] and known[tuple(near)] and labels[tuple(near)] != labels[at]:
                    border[at] = True
    return border


def by_distance_maps(truth_border, prediction_border, tolerance, spacing):
    """Return the four counts by two exact distance maps in double precision."""

    def near(a, b):
        if not b.any():
            return 0
        return int((ndimage.distance_transform_edt(~b, sampling=spacing)[a] <= tolerance * (1 + 1e-9)).sum())

    t, p = truth_border, prediction_border
    return int(t.sum()), near(t, p), int(p.sum()), near(p, t)


def counts_of(counts: BoundaryCounts):
    fields = (counts.n_truth, counts.n_truth_near, counts.n_prediction, counts.n_prediction_near)
    return tuple(np.asarray(field).ravel().tolist() for field in fields)


def test_counted_on_paper():
    truth = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ],
        bool,
    )
    prediction = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 0, 0, 0],
            [0, 0, 0, 1, 1, 0, 0, 1],
            [0, 0, 0, 1, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ],
        bool,
    )
    # True boundary: the 8 pixels round (2, 2). Predicted: all 7. Tolerance 1: truth columns 2, 3 are near (2 + 3),
    # of the prediction all but the single pixel.
    assert counts_of(boundary_counts(truth, prediction, tolerance=1)) == ([8], [5], [7], [6])
    found = boundary_f1(truth, prediction, tolerance=1)
    assert found == pytest.approx({"precision": 6 / 7, "recall": 5 / 8, "f1": 2 * (6 / 7) * (5 / 8) / (6 / 7 + 5 / 8)})
    # Tolerance 0: only column 3 is common. Tolerance sqrt(5) reaches the single pixel from nowhere, 4 px does.
    assert counts_of(boundary_counts(truth, prediction, tolerance=0)) == ([8], [3], [7], [3])
    assert counts_of(boundary_counts(truth, prediction, tolerance=3.9)) == ([8], [8], [7], [6])
    assert counts_of(boundary_counts(truth, prediction, tolerance=4)) == ([8], [8], [7], [7])
    assert set(found) == set(BOUNDARY)


@pytest.mark.parametrize("tolerance", [0, 0.5, 1, math.sqrt(2), 2, math.sqrt(5), 2.9, 5, 9.5, 70, 130])
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (37, 64), (40, 63), (33, 65), (21, 129)])
def test_equals_the_distance_map(shape, tolerance):
    rng = np.random.default_rng(int(tolerance * 10) + shape[1])
    for density in (0.02, 0.5, 0.97):
        truth, prediction = rng.random((2, *shape)) < density
        prediction[: shape[0] // 2] = truth[: shape[0] // 2]
        expected = by_distance_maps(slow_border(truth, truth), slow_border(prediction, prediction), tolerance, (1, 1))
        assert counts_of(boundary_counts(truth, prediction, tolerance=tolerance)) == tuple([n] for n in expected)


@pytest.mark.parametrize("tolerance", [0, 1, 2, math.sqrt(5), 3, 10, 60, 64, 200, 1e200])
def test_equals_the_distance_map_of_smooth_images(tolerance):
    rng = np.random.default_rng(3)
    field = ndimage.gaussian_filter(rng.standard_normal((2, 401, 517)), (0, 4, 4))
    truth, prediction = field[0] > 0.02, field[0] + 0.5 * field[1] > 0.02
    borders = [find_boundaries(mask, mode="inner", connectivity=1) for mask in (truth, prediction)]
    expected = by_distance_maps(*borders, tolerance, (1, 1))
    assert counts_of(boundary_counts(truth, prediction, tolerance=tolerance)) == tuple([n] for n in expected)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 12), st.integers(1, 90)), st.tuples(*[st.integers(1, n) for n in (6, 9, 80)])
    ),
    seed=st.integers(0, 2**20),
    tolerance=st.floats(0, 12),
    n_classes=st.integers(1, 3),
)
def test_classes_volumes_spacing_and_ignore_equal_the_distance_map(shape, seed, tolerance, n_classes):
    rng = np.random.default_rng(seed)
    spacing = rng.choice([0.5, 1.0, 1.3, 4.0], len(shape))
    truth, prediction = rng.integers(0, n_classes + 1, (2, *shape))
    ignored = rng.random(shape) < rng.choice([0.0, 0.3])
    classes = tuple(range(n_classes + 1))
    counts = boundary_counts(truth, prediction, tolerance=tolerance, spacing=spacing, ignore=ignored, classes=classes)
    for i in classes:
        borders = [slow_border(labels == i, labels == i, ignored) for labels in (truth, prediction)]
        expected = by_distance_maps(*borders, tolerance, spacing)
        assert tuple(field[i] for field in counts_of(counts)) == expected
    borders = [slow_border(labels, labels > 0, ignored) for labels in (truth, prediction)]
    counts = object_boundary_counts(truth, prediction, tolerance=tolerance, spacing=spacing, ignore=ignored)
    assert counts_of(counts) == tuple([n] for n in by_distance_maps(*borders, tolerance, spacing))


def test_boundary_pixels_are_those_of_scikit_image():
    rng = np.random.default_rng(5)
    for shape in ((60, 70), (7, 20, 66)):
        labels = np.kron(rng.integers(0, 5, shape), np.ones((2,) * len(shape), int))
        assert (boundary_pixels(labels) == find_boundaries(labels, connectivity=1, mode="inner")).all()


@pytest.mark.parametrize(
    ("unit", "spacing"), [(1.0, (1, 1)), (0.1, (0.1, 0.1)), (0.05, (0.05, 0.05)), (3e-9, (3e-9,) * 2)]
)
@pytest.mark.parametrize("pixels", [1, 2, 3, 5, 7])
def test_a_tolerance_of_whole_pixels_reaches_them_in_every_unit(unit, spacing, pixels):
    truth, prediction = np.zeros((2, 5, 40), bool)
    truth[2, 20], prediction[2, 20 + pixels] = True, True
    assert boundary_f1(truth, prediction, tolerance=pixels * unit, spacing=spacing)["f1"] == 1
    assert boundary_f1(truth, prediction, tolerance=pixels * unit * (1 - 1e-6), spacing=spacing)["f1"] == 0


def test_spacing_is_in_array_order():
    truth, prediction = np.zeros((2, 9, 9), bool)
    truth[4, 4], prediction[6, 4] = True, True  # two rows apart
    assert boundary_f1(truth, prediction, tolerance=1.0, spacing=(0.5, 3.0))["f1"] == 1
    assert boundary_f1(truth, prediction, tolerance=1.0, spacing=(3.0, 0.5))["f1"] == 0


def test_the_frame_is_no_boundary():
    full, nothing = np.ones((6, 7), bool), np.zeros((6, 7), bool)
    left = np.zeros((6, 7), bool)
    left[:, :3] = True
    assert boundary_pixels(full).sum() == 0
    assert np.argwhere(boundary_pixels(left))[:, 1].tolist() == [2] * 6
    for a, b in ((full, full), (nothing, nothing), (full, nothing)):
        assert all(math.isnan(value) for value in boundary_f1(a, b).values())
    one_sided = boundary_f1(left, full)
    assert math.isnan(one_sided["precision"])
    assert (one_sided["recall"], one_sided["f1"]) == (0, 0)
    one_sided = boundary_f1(full, left)
    assert math.isnan(one_sided["recall"])
    assert (one_sided["precision"], one_sided["f1"]) == (0, 0)


def test_the_border_of_the_ignored_region_makes_no_boundary():
    truth = np.ones((8, 12), np.uint8)
    truth[:, 6:] = 255
    prediction = np.ones((8, 12), np.uint8)
    prediction[:, 8] = 0  # inside the ignored region
    assert all(math.isnan(value) for value in boundary_f1(truth, prediction, ignore=255).values())
    prediction[:, 3:] = 0
    counts = boundary_counts(truth, prediction, ignore=255)
    assert counts_of(counts) == ([0], [0], [8], [0])


def test_mean_over_the_classes_of_the_truth():
    truth, prediction = np.zeros((2, 20, 20), int)
    truth[2:6, 2:6], truth[12:16, 12:16] = 1, 2
    prediction[2:6, 2:6], prediction[12:16, 2:6] = 1, 3
    found = boundary_f1(truth, prediction)
    # Class 1 is right; class 2 was missed (no precision); class 3 is not in the truth.
    assert found == {"precision": 1.0, "recall": 0.5, "f1": 0.5}
    counts = boundary_counts(truth, prediction, classes=(1, 2, 3))
    assert counts_of(counts) == ([12, 12, 0], [12, 0, 0], [12, 0, 12], [12, 0, 0])
    assert boundary_f1(truth, prediction, classes=(3,)) == pytest.approx(
        {"precision": 0.0, "recall": math.nan, "f1": 0.0}, nan_ok=True
    )
    assert all(math.isnan(value) for value in boundary_f1(truth, prediction, classes=(9,)).values())
    assert boundary_f1(truth, truth, classes=(0, 1, 2))["f1"] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_every_kind_of_whole_number_gives_the_same(dtype):
    labels = np.random.default_rng(0).integers(0, 4, (2, 33, 70))
    expected = boundary_f1(*labels.astype(np.int32), tolerance=1)
    assert boundary_f1(*labels.astype(dtype), tolerance=1) == expected
    assert boundary_f1(labels[0].astype(np.uint8), labels[1].astype(dtype), tolerance=1) == expected
    assert boundary_f1(labels[0] > 0, (labels[1] > 0).astype(dtype)) == boundary_f1(labels[0] > 0, labels[1] > 0)
    far = np.where(labels == 3, 100, labels).astype(dtype)
    assert boundary_f1(*far, tolerance=1) == expected


def test_touching_objects_have_a_seam():
    truth = np.zeros((10, 20), int)
    truth[2:8, 2:10], truth[2:8, 10:18] = 1, 2
    merged = (truth > 0).astype(int)
    assert object_boundary_f1(truth, merged, tolerance=1)["recall"] == pytest.approx(1 - 2 * 2 / (2 * 24))
    assert boundary_f1(truth > 0, merged > 0, tolerance=0)["f1"] == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), tolerance=st.sampled_from([0, 1, 2, 3.3]))
def test_laws(seed, tolerance):
    rng = np.random.default_rng(seed)
    truth, prediction = ndimage.uniform_filter(rng.random((2, 30, 41)), (0, 3, 3)) > 0.5
    found = boundary_f1(truth, prediction, tolerance=tolerance)
    swapped = boundary_f1(prediction, truth, tolerance=tolerance)
    assert (swapped["precision"], swapped["recall"]) == (found["recall"], found["precision"])
    assert boundary_f1(truth[::-1].T, prediction[::-1].T, tolerance=tolerance) == found
    assert boundary_f1(truth.astype(int) * 7, prediction.astype(int) * 7, tolerance=tolerance) == found
    assert object_boundary_f1(truth, prediction, tolerance=tolerance) == found
    assert boundary_f1(truth, prediction, tolerance=tolerance * 0.3, spacing=(0.3, 0.3)) == found
    padded = [np.pad(mask, ((5, 4), (3, 70)), mode="edge") for mask in (truth, prediction)]
    closed = [np.pad(mask, 1) for mask in (truth, prediction)]
    wider = [np.pad(mask, ((5, 4), (3, 70))) for mask in closed]
    assert boundary_f1(*wider, tolerance=tolerance) == boundary_f1(*closed, tolerance=tolerance)
    assert boundary_counts(*padded).n_truth >= boundary_counts(truth, prediction).n_truth
    assert boundary_f1(truth, prediction, tolerance=tolerance + 1)["f1"] >= found["f1"]
    assert boundary_f1(truth, truth, tolerance=0)["f1"] == 1


def test_counts_add_up_and_score_with_any_leading_shape():
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 3, (20, 30)), rng.integers(0, 3, (20, 30))) for _ in range(5)]
    each = [boundary_counts(t, p, classes=(1, 2), tolerance=1) for t, p in pairs]
    total = each[0] + each[1] + each[2] + each[3] + each[4]
    apart = np.zeros((2, 20, 5 * 30 + 4 * 10), int)  # the images side by side, an ignored strip between them
    strip = np.ones(apart.shape[1:], bool)
    for i, (t, p) in enumerate(pairs):
        apart[0, :, 40 * i : 40 * i + 30], apart[1, :, 40 * i : 40 * i + 30] = t, p
        strip[:, 40 * i : 40 * i + 30] = False
    assert counts_of(total) == counts_of(boundary_counts(*apart, classes=(1, 2), tolerance=1, ignore=strip))
    stack = BoundaryCounts(*(np.stack([vars(c)[name] for c in each]) for name in vars(total)))
    assert stack.scores()["f1"].shape == (5, 2)
    for i, one in enumerate(each):
        assert stack.scores()["f1"][i] == pytest.approx(one.scores()["f1"])
        assert stack.class_means()["f1"][i] == pytest.approx(float(one.class_means()["f1"]))


def test_thin_objects_and_single_pixels():
    line = np.zeros((5, 90), bool)
    line[2] = True
    assert boundary_f1(line, np.roll(line, 2, axis=0))["f1"] == 1
    assert boundary_f1(line, np.roll(line, 2, axis=0), tolerance=1.99)["f1"] == 0
    dot = np.zeros((1, 1), bool)
    assert math.isnan(boundary_f1(dot, ~dot)["f1"])
    column = np.ones((70, 1), int)
    column[:30] = 0
    assert boundary_f1(column, np.roll(column, 1, axis=0), tolerance=1, classes=(1,))["recall"] == 1


def test_inputs_are_not_written_to():
    truth, prediction = np.random.default_rng(0).integers(0, 3, (2, 20, 20), dtype=np.int32)
    before = truth.copy(), prediction.copy()
    boundary_f1(truth, prediction, ignore=2)
    object_boundary_f1(truth, prediction)
    assert (truth == before[0]).all()
    assert (prediction == before[1]).all()
    assert boundary_f1(truth[::2, ::2], prediction[::2, ::2]) == boundary_f1(
        truth[::2, ::2].copy(), prediction[::2, ::2].copy()
    )


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf])
def test_bad_tolerance(tolerance):
    with pytest.raises(OptionError, match="tolerance"):
        boundary_f1(np.eye(3, dtype=bool), np.eye(3, dtype=bool), tolerance=tolerance)


@pytest.mark.parametrize("spacing", [(1,), (1, 0), (1, -2), (1, math.nan), (1, math.inf), (1, 1, 1)])
def test_bad_spacing(spacing):
    with pytest.raises(CalibrationError, match="spacing"):
        boundary_f1(np.eye(3, dtype=bool), np.eye(3, dtype=bool), spacing=spacing)


def test_bad_arrays_and_classes():
    eye = np.eye(3, dtype=bool)
    with pytest.raises(ShapeMismatchError):
        boundary_f1(eye, eye[:2])
    with pytest.raises(LabelError):
        boundary_f1(eye, eye.astype(float))
    with pytest.raises(LabelError):
        boundary_f1(eye[0], eye[0])
    with pytest.raises(OptionError, match="classes"):
        boundary_f1(eye, eye, classes=())
    with pytest.raises(OptionError, match="classes"):
        boundary_f1(eye, eye, classes=(1, 1))
