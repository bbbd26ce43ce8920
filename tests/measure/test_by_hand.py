"""Arrays small enough to count on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.measure import MEASURES, measure, measure_threshold
from segmetry.types import Calibration, Image, Segmentation

LABELS = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 7, 7, 7],
        [0, 0, 0, 7, 0, 7],
        [3, 0, 0, 7, 7, 7],
        [0, 0, 0, 0, 0, 0],
    ],
    dtype=np.int32,
)


def test_counts_of_a_small_image():
    table = measure(LABELS)
    assert table["label"].tolist() == [1, 3, 7]
    assert table["area"].tolist() == [4, 1, 8]
    assert table[["centroid-0", "centroid-1"]].to_numpy().tolist() == [[0.5, 0.5], [3, 0], [2, 4]]
    assert table[[f"bbox-{k}" for k in range(4)]].to_numpy().tolist() == [[0, 0, 2, 2], [3, 0, 4, 1], [1, 3, 4, 6]]
    assert table["euler_number"].tolist() == [1, 1, 0]  # the ring has one hole
    assert table["touches_edge"].tolist() == [True, True, True]
    assert table["equivalent_diameter"].tolist() == pytest.approx([2 * math.sqrt(n / math.pi) for n in (4, 1, 8)])


def test_crofton_counted_by_hand():
    # A 2 x 2 square: 4 crossings along rows, 4 along columns, 6 along each diagonal (3 lines, one apart by 1/sqrt 2).
    expected = math.pi / 8 * (4 + 4 + (6 + 6) / math.sqrt(2))
    assert measure(LABELS)["perimeter"][0] == pytest.approx(expected, rel=1e-12)


def test_moments_of_a_bar():
    # 1 x 3 pixels: variance (1 + 0 + 1)/3 along, none across, where the 1/12 of a pixel is the floor; axes 4 sd.
    table = measure(np.array([[0, 0, 0, 0, 0], [0, 2, 2, 2, 0], [0, 0, 0, 0, 0]]))
    assert table["axis_major_length"][0] == pytest.approx(4 * math.sqrt(2 / 3), rel=1e-12)
    assert table["axis_minor_length"][0] == pytest.approx(4 * 1 / math.sqrt(12), rel=1e-12)
    assert table["aspect_ratio"][0] == pytest.approx(math.sqrt(8), rel=1e-12)
    assert table["orientation"][0] == pytest.approx(90)
    assert table["feret_max"][0] == pytest.approx(3)  # midpoint of the left edge to midpoint of the right edge
    assert table["feret_min"][0] == pytest.approx(1)
    assert table["area_convex"][0] == 3  # the hull of the midpoints has 2.5, and a hull is never less than the object
    assert table["solidity"][0] == 1


def test_hull_of_an_l_shape():
    # Arms of four pixels, one pixel wide. Corners of the hull of the edge midpoints, in half pixels, read off paper:
    corners = np.array([(-1, 0), (0, -1), (6, -1), (7, 0), (7, 6), (6, 7), (0, 1)]) / 2
    y, x = corners.T
    area = 0.5 * abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1)))
    shape = np.zeros((6, 6), int)
    shape[1:5, 1] = shape[4, 1:5] = 1
    table = measure(shape)
    assert table["area_convex"][0] == pytest.approx(area)
    assert table["solidity"][0] == pytest.approx(7 / area)
    assert table["feret_max"][0] == pytest.approx(max(math.dist(a, b) for a in corners for b in corners))


def test_intensities_counted_by_hand():
    image = np.zeros(LABELS.shape)
    image[0, 0], image[0, 1], image[1, 0], image[1, 1] = 1, 2, 3, 6
    table = measure(LABELS, image)
    assert table["intensity_mean"][0] == 3
    assert table["intensity_min"][0] == 1
    assert table["intensity_max"][0] == 6
    assert table["intensity_std"][0] == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 4))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, float])
def test_intensities_of_every_type(dtype):
    image = (np.arange(30).reshape(5, 6) % 2).astype(dtype)
    table = measure(LABELS, image, measures=["intensity_mean", "intensity_max"])
    assert table["intensity_mean"].tolist() == pytest.approx([0.5, 0.0, 6 / 8])
    assert table["intensity_max"].tolist() == [1, 0, 1]


def test_pixels_that_are_not_finite_do_not_count():
    image = np.ones(LABELS.shape, np.float32)
    image[0, 0], image[3, 0] = np.nan, np.inf
    table = measure(LABELS, image, measures=["intensity_mean", "intensity_std", "intensity_max"])
    assert table["intensity_mean"].tolist()[0::2] == [1, 1]
    assert np.isnan(table["intensity_mean"][1])
    assert np.isnan(table["intensity_max"][1])


def test_units_and_spacing():
    calibration = Calibration((0.5, 2.0), "nm", source="user")
    table = measure(Segmentation(LABELS), Image(LABELS * 1.0, calibration=calibration))
    units = table.attrs["units"]
    assert list(units) == list(table.columns)
    assert table["area"].tolist() == [4, 1, 8]
    assert (units["area"], units["feret_max"], units["edge_sharpness"]) == ("nm^2", "nm", "nm^-1")
    assert (units["centroid-0"], units["orientation"], units["contrast"], units["shape"]) == (
        "px",
        "°",
        "intensity",
        "",
    )
    assert table["feret_max"][0] == pytest.approx(
        math.hypot(2 * 2.0, 0.5)
    )  # left edge of the first row to right of the second
    assert not table["uncalibrated"].any()
    assert measure(LABELS)["uncalibrated"].all()


def test_a_small_volume():
    labels = np.zeros((3, 4, 5), np.int32)
    labels[1, 1:3, 1:4] = 2
    table = measure(labels, calibration=Calibration((3, 1, 1), "µm"))
    assert table["volume"][0] == 18
    assert table[["centroid-0", "centroid-1", "centroid-2"]].to_numpy()[0].tolist() == [1, 1.5, 2]
    assert table[[f"bbox-{k}" for k in range(6)]].to_numpy()[0].tolist() == [1, 1, 1, 2, 3, 4]
    # Variances 0 (one plane; floor 1/12), 1/4 (two rows), 2/3 (three columns); axes 2 sqrt 5 sd.
    axes = ["axis_major_length", "axis_medium_length", "axis_minor_length"]
    assert table[axes].to_numpy()[0] == pytest.approx(2 * np.sqrt(5 * np.array([2 / 3, 1 / 4, 1 / 12])))
    assert table.attrs["units"]["volume"] == "µm^3"
    assert not table["touches_edge"][0]


def test_widths_of_a_box():
    labels = np.zeros((6, 7, 8), np.int32)
    labels[1:4, 1:5, 1:7] = 1
    table = measure(labels, calibration=Calibration((2, 1, 1), "nm"), measures=["feret_max", "feret_min"])
    assert table["feret_min"][0] == pytest.approx(4)
    # From the midpoint of a corner voxel's face to that of the opposite one, the longest: along the planes' axis.
    assert table["feret_max"][0] == pytest.approx(math.hypot(6, 3, 5), rel=0.02)


def test_flags_of_the_frame():
    labels = np.zeros((12, 10), np.int32)
    labels[2:4, 2:5], labels[6:8, 6:8], labels[9, 3] = 1, 2, 3
    ignore = np.zeros(labels.shape, bool)
    ignore[10:] = True  # a footer: the frame ends at row 9
    ignore[5, 8] = True  # a letter: its corner touches object 2
    table = measure(labels, ignore=ignore)
    assert table["touches_edge"].tolist() == [False, False, True]
    assert table["over_text"].tolist() == [False, True, False]
    assert table["few_pixels"].all()
    # The box of 2 x 3 pixels fits 10 - 2 - 1 = 7 by 10 - 3 - 1 = 6 times inside without touching, of 100 positions.
    # In 4 rows (3 to 6) by 2 columns (5 and 6) of these the letter would touch it.
    assert table["edge_weight"][0] == pytest.approx(100 / (7 * 6 - 4 * 2))
    assert table["edge_weight"][1:].isna().all()


def test_edge_weight_is_what_all_positions_give():
    """Placed once at every pixel of the frame, objects seen whole count, weighted, exactly as many as were placed."""
    seen = 0.0
    for row in range(8):
        for col in range(7):
            big = np.zeros((8 + 6, 7 + 6), np.int32)
            big[row + 1 : row + 3, col + 1 : col + 4] = 1  # the object's reference pixel is (row, col)
            frame = big[:8, :7]
            table = measure(frame, measures=["edge_weight"])
            clipped = frame.sum() < 6
            if len(table) and not clipped:
                seen += np.nan_to_num(table["edge_weight"][0])
    assert seen == pytest.approx(8 * 7)


def test_nearest_neighbour():
    labels = np.zeros((1, 20), np.int32)
    labels[0, [0, 3, 10]] = 1, 2, 3
    table = measure(labels, calibration=Calibration((1, 2), "nm"), measures=["nearest_neighbour_distance"])
    assert table["nearest_neighbour_distance"].tolist() == [6, 6, 14]
    assert np.isnan(measure(labels * (labels == 1))["nearest_neighbour_distance"][0])


def test_one_pixel_has_no_form():
    table = measure(np.pad([[1]], 3), np.ones((7, 7)))
    form = ["eccentricity", "orientation", "aspect_ratio", "aspect_ratio_rectangle", "circularity", "feret_ratio"]
    assert table[[*form, "solidity", "convexity", "roundness", "shape_confidence"]].isna().all(axis=None)
    assert table["shape"].isna()[0]
    assert table["few_pixels"][0]
    assert table["area"][0] == 1


def test_the_parts_of_the_doubt_add_up():
    total, model = np.zeros((2, 2, 4), np.float32)
    total[0], model[0] = (0.6, 0.2, 0.0, 0.5), (0.5, 0.1, 0.0, 0.5)
    labels = np.array([[1, 1, 0, 2], [0, 0, 0, 0]], np.int32)
    table = measure(Segmentation(labels, uncertainty=total, epistemic=model))
    assert table["uncertainty"].to_numpy() == pytest.approx([0.4, 0.5])
    assert table["epistemic"].to_numpy() == pytest.approx([0.3, 0.5])
    assert table["aleatoric"].to_numpy() == pytest.approx([0.1, 0.0], abs=1e-7)
    assert {table.attrs["units"][name] for name in ("uncertainty", "epistemic", "aleatoric")} == {"nats"}
    only_total = measure(Segmentation(labels, uncertainty=total))
    assert "uncertainty" in only_total
    assert not {"epistemic", "aleatoric"} & set(only_total.columns)


def test_which_contours_were_placed():
    table = measure(Segmentation(np.array([[1, 0, 2], [0, 0, 3]], np.int32), on_edge=np.array([True, False, True])))
    assert table["contour"].tolist() == ["edge", "drawn", "edge"]
    assert "contour" not in measure(Segmentation(LABELS))


@pytest.mark.parametrize("ndim", [2, 3])
def test_no_objects_give_no_rows_and_all_columns(ndim):
    full = np.zeros((4,) * ndim, np.int32)
    full[(1,) * ndim] = 1
    expected = measure(full, full * 1.0)
    for shape in ((4,) * ndim, (0,) * ndim, (0,) + (4,) * (ndim - 1), (4,) * (ndim - 1) + (0,)):
        empty = np.zeros(shape, np.int32)
        table = measure(empty, empty * 1.0)
        assert len(table) == 0
        assert list(table.columns) == list(expected.columns)
        assert table.attrs == expected.attrs
    assert list(measure_threshold(full * 0.0, 1).columns) == list(expected.columns)


def test_every_measure_has_meaning_and_unit():
    for name, record in MEASURES.items():
        assert record.name == name
        assert len(record.meaning) > 10
        assert isinstance(record.unit("nm"), str)
        assert record.kind == "length" or record.length_power == 0
