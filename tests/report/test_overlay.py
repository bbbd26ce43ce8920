"""What is drawn, and where: counted by hand on small images."""

from __future__ import annotations

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from segmetry.errors import ShapeMismatchError
from segmetry.report.overlay import BAR, DROPPED, KEPT, layers, overlay
from segmetry.report.picture import encode_drawing, encode_jpeg, encode_png, stretch


def two_squares(side: int = 600) -> np.ndarray:
    labels = np.zeros((side, side), np.int32)
    labels[100:200, 100:200] = 1
    labels[300:400, 100:200] = 2
    return labels


def test_stretch_maps_the_percentiles_to_black_and_white():
    pixels = np.arange(10_001, dtype=np.float32).reshape(73, 137)
    grey = stretch(pixels, percentiles=(10, 90))
    assert (grey[pixels <= 1000] == 0).all()
    assert (grey[pixels >= 9000] == 255).all()
    inside = (pixels > 1000) & (pixels < 9000)
    assert grey[inside] == pytest.approx((pixels[inside] - 1000) / 8000 * 255, abs=0.51)


def test_stretch_is_the_same_for_every_dtype():
    eight = np.random.default_rng(0).integers(10, 200, (60, 70)).astype(np.uint8)
    for dtype in (np.uint16, np.int32, np.float32, np.float64):
        assert np.abs(stretch(eight).astype(int) - stretch(eight.astype(dtype))).max() <= 1


def test_ignored_pixels_have_no_vote_on_the_contrast():
    pixels = np.random.default_rng(0).integers(100, 120, (80, 90)).astype(np.uint8)
    footer = pixels.copy()
    footer[60:] = 255
    ignore = np.zeros(pixels.shape, bool)
    ignore[60:] = True
    assert (stretch(footer, ignore=ignore)[:60] == stretch(pixels[:60])).all()
    assert stretch(footer)[:60].max() < 60  # without the mask the specimen would be nearly black


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((5, 6), 7, np.uint8),
        np.full((5, 6), np.nan),
        np.full((5, 6), np.inf, np.float32),
        np.zeros((1, 1), bool),
        np.full((3, 3), 1.7e308),
    ],
    ids=["constant", "nan", "inf", "one bit", "huge"],
)
def test_nothing_to_stretch_is_black(pixels):
    assert (stretch(pixels) == 0).all()


def test_stretch_of_extreme_floats_stays_in_range():
    pixels = np.array([[-1.7e308, 0.0], [1.7e308, np.nan]])
    grey = stretch(pixels, percentiles=(0, 100))
    assert grey.tolist() == [[0, 128], [255, 0]]


def test_outline_lies_on_the_border_and_inside_the_object_only():
    labels = two_squares(1000)
    made = layers(np.full(labels.shape, 50, np.uint8), labels, numbers=False)
    assert made.scale == 1
    drawn = made.drawing[..., 3] > 0
    assert drawn[100, 150]
    assert drawn[199, 150]
    assert drawn[150, 100]
    assert drawn[150, 199]
    assert not drawn[labels == 0].any()
    assert not drawn[103:197, 103:197].any()


def test_touching_objects_keep_both_lines_in_two_colours():
    labels = np.zeros((1000, 1000), np.int32)
    labels[400:500, 400:500], labels[400:500, 500:600] = 1, 2
    made = layers(np.zeros(labels.shape, np.uint8), labels, numbers=False)
    left, right = made.drawing[450, 499], made.drawing[450, 500]
    assert left[3] == right[3] == 255
    assert tuple(left[:3]) != tuple(right[:3])
    assert {tuple(left[:3].tolist()), tuple(right[:3].tolist())} <= set(KEPT)


def test_neighbours_on_a_checkerboard_all_differ():
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((125, 125), int)).astype(np.int32)
    drawing = layers(np.zeros(labels.shape, np.uint8), labels, numbers=False).drawing
    colour = np.array([[drawing[125 * i, 125 * j, :3] for j in range(8)] for i in range(8)]).astype(int)
    assert np.abs(np.diff(colour, axis=0)).sum(-1).min() > 0
    assert np.abs(np.diff(colour, axis=1)).sum(-1).min() > 0


def test_dropped_objects_are_dashed_and_have_their_own_colour():
    labels = two_squares(1000)
    drawing = layers(np.zeros(labels.shape, np.uint8), labels, dropped=np.array([2]), numbers=False).drawing
    edge = drawing[300, 100:200]
    shown = edge[:, 3] > 0
    assert 0.3 < shown.mean() < 0.7
    assert (edge[shown, :3] == DROPPED).all()
    assert (drawing[100, 100:200, 3] == 255).all()


def test_dropped_labels_that_do_not_occur_do_no_harm():
    labels = two_squares()
    picture = overlay(np.zeros(labels.shape, np.uint8), labels, dropped=np.array([7, 99999]), numbers=False)
    assert (picture == overlay(np.zeros(labels.shape, np.uint8), labels, numbers=False)).all()


def test_numbers_stand_in_large_objects_and_not_on_others():
    labels = two_squares(1000)
    labels[500:503, 500:503] = 3  # too small to hold its number: that goes beside it
    plain = layers(np.zeros(labels.shape, np.uint8), labels, numbers=False).drawing[..., 3] > 0
    with_numbers = layers(np.zeros(labels.shape, np.uint8), labels).drawing[..., 3] > 0
    text = with_numbers & ~plain
    assert text[140:160, 140:160].any()
    assert text[340:360, 140:160].any()
    rows, cols = np.nonzero(text[440:560, 440:560])
    assert len(rows) > 0
    assert np.hypot(rows - 61, cols - 61).max() < 40
    assert not text[500:503, 500:503].any()


def test_the_bar_is_drawn_between_its_ends():
    bar = SimpleNamespace(value=50, unit="nm", x0=100.0, y0=900.0, x1=300.0, y1=900.0)
    labels = np.zeros((1000, 1000), np.int32)
    drawing = layers(np.zeros(labels.shape, np.uint8), labels, bar=bar).drawing
    on = drawing[900, :, 3] > 128
    assert np.abs(np.flatnonzero(on)[[0, -1]] - [100, 300]).max() <= 2
    assert on[102:299].all()
    assert (drawing[900, 150:250, :3] == BAR).all()


@pytest.mark.parametrize(
    ("shape", "side"),
    [
        ((50, 40), (400, 320)),
        ((512, 680), (1024, 1360)),
        ((1200, 900), (1200, 900)),
        ((6000, 3000), (1600, 800)),
    ],
)
def test_display_size(shape, side):
    picture = overlay(np.zeros(shape, np.uint8), np.zeros(shape, np.int32))
    assert picture.shape == (*side, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_odd_shapes_are_drawn_too(shape):
    labels = np.ones(shape, np.int32)
    bar = SimpleNamespace(value=1, unit="µm", x0=0.0, y0=0.0, x1=0.0, y1=0.0)
    picture = overlay(np.zeros(shape, np.uint16), labels, ignore=np.ones(shape, bool), bar=bar, legend=True)
    assert picture.ndim == 3


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeMismatchError, match="same"):
        overlay(np.zeros((5, 5)), np.zeros((5, 6), np.int32))
    with pytest.raises(ShapeMismatchError, match="one plane"):
        overlay(np.zeros((2, 5, 5)), np.zeros((2, 5, 5), np.int32))


def test_inputs_are_left_alone():
    pixels, labels = (
        np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8),
        two_squares(600)[:300, :300],
    )
    before = pixels.copy(), labels.copy()
    overlay(pixels, labels, ignore=labels == 1, dropped=np.array([1]), legend=True)
    assert (pixels == before[0]).all()
    assert (labels == before[1]).all()


def test_legend_adds_a_strip_and_leaves_the_picture():
    labels = two_squares()
    plain, full = (overlay(np.zeros(labels.shape, np.uint8), labels, legend=legend) for legend in (False, True))
    assert (full[: len(plain)] == plain).all()
    assert len(full) > len(plain)


def test_encoded_pictures_come_back():
    labels = two_squares()
    made = layers(np.random.default_rng(0).integers(0, 255, labels.shape).astype(np.uint8), labels, ignore=labels == 2)
    picture = made.flat()
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert (back == picture).all()
    drawing = np.array(Picture.open(io.BytesIO(encode_drawing(made.drawing))).convert("RGBA")).astype(int)
    assert np.abs(drawing[..., 3] - made.drawing[..., 3]).max() <= 36  # opacity in eight steps
    opaque = made.drawing[..., 3] > 36
    assert np.abs(drawing[opaque, :3] - made.drawing[opaque, :3]).max() <= 7  # colours in 32
    assert Picture.open(io.BytesIO(encode_jpeg(made.base))).size == made.base.shape[::-1]
