"""Drawn contours move to the edge: analytic particles at random sub-pixel centres, drawn too wide, ragged or right."""

import math

import cv2
import numpy as np
import pytest

from segmetry.errors import ShapeMismatchError
from segmetry.segment.refine import refine_contours

FINE = 6
PITCH = 64


def thickness(kind, radius, row, col, height=PITCH, width=PITCH):
    """Return a plate's or a ball's projected thickness, its highest 1, averaged over each pixel."""
    r, c = (np.mgrid[: height * FINE, : width * FINE] + 0.5) / FINE - 0.5
    distance = np.hypot(r - row, c - col)
    fine = np.sqrt(np.maximum(radius**2 - distance**2, 0)) / radius if kind == "ball" else (distance < radius) * 1.0
    return fine.reshape(height, FINE, width, FINE).mean((1, 3))


def disk(radius, row, col, height=PITCH, width=PITCH):
    r, c = np.mgrid[:height, :width]
    return np.hypot(r - row, c - col) < radius


def picture(kind, radius, rng, *, signs=(1,), noise=3.0, blur=0.9, wide=1.5, ragged=0.5, n=3):
    """Return n x n particles of contrast 60, and labels whose contours are `wide` px outside and ragged."""
    image, labels = np.zeros((n * PITCH, n * PITCH)), np.zeros((n * PITCH, n * PITCH), np.int32)
    wave = cv2.GaussianBlur(rng.normal(size=image.shape), (0, 0), 4.0)
    wave *= ragged / wave.std()
    for k in range(n * n):
        at = np.s_[k // n * PITCH : (k // n + 1) * PITCH, k % n * PITCH : (k % n + 1) * PITCH]
        row, col = PITCH / 2 + rng.uniform(-0.5, 0.5, 2)
        image[at] = signs[k % len(signs)] * thickness(kind, radius, row, col)
        labels[at][disk(radius + wide + wave[at], row, col)] = k + 1
    image = 120 + 60 * cv2.GaussianBlur(image, (0, 0), blur) + rng.normal(0, noise, image.shape)
    return image.astype(np.float32), labels


def diameters(labels):
    return 2 * np.sqrt(np.bincount(labels.ravel())[1:] / math.pi)


@pytest.mark.parametrize(("wide", "ragged"), [(1.5, 0.5), (0.0, 0.0), (-1.0, 0.0)])
@pytest.mark.parametrize("radius", [8.2, 19.6])
@pytest.mark.parametrize("kind", ["ball", "flat"])
def test_diameters_come_out_right_from_wherever_they_were_drawn(kind, radius, wide, ragged):
    image, labels = picture(kind, radius, np.random.default_rng(3), wide=wide, ragged=ragged)
    refined = refine_contours(image, labels)
    assert refined.moved.all()
    assert diameters(refined.labels).mean() == pytest.approx(2 * radius, abs=0.3)
    assert 2 * np.sqrt(refined.area / math.pi).mean() == pytest.approx(2 * radius, abs=0.3)
    # A ring of width s round a disk: what the mean move says is what the areas say.
    moved = (diameters(refined.labels) - diameters(labels)) / 2
    np.testing.assert_allclose(refined.shift, moved, atol=0.25)


def test_dark_and_bright_particles_in_one_image():
    rng = np.random.default_rng(4)
    image, labels = picture("flat", 12.3, rng, signs=(1, -1))
    refined = refine_contours(image, labels)
    assert refined.moved.all()
    np.testing.assert_allclose(diameters(refined.labels), 24.6, atol=0.4)


def test_inverting_or_scaling_the_grey_changes_nothing():
    image, labels = picture("ball", 11.0, np.random.default_rng(5))
    once = refine_contours(image, labels)
    for other in (255 - image, 4 * image - 100):
        again = refine_contours(other.astype(np.float32), labels)
        np.testing.assert_array_equal(again.moved, once.moved)
        assert np.mean(again.labels != once.labels) < 1e-3, "rounding alone"
        np.testing.assert_allclose(again.area, once.area, rtol=2e-3)


def test_noise_without_an_edge_keeps_the_contour_drawn():
    rng = np.random.default_rng(6)
    _, labels = picture("flat", 10.0, rng)
    refined = refine_contours(rng.normal(100, 5, labels.shape).astype(np.float32), labels)
    assert not refined.moved.any()
    np.testing.assert_array_equal(refined.labels, labels)
    assert np.isnan(refined.area).all()
    assert (refined.shift == 0).all()
    assert "9 of 9" in refined.notes[0]


def test_a_dark_shell_round_a_bright_core_keeps_the_contour_drawn():
    rng = np.random.default_rng(7)
    image, labels = picture("flat", 18.0, rng, n=1, ragged=0)
    core = thickness("flat", 12.5, *np.argwhere(labels).mean(0))
    shell = thickness("flat", 18.0, *np.argwhere(labels).mean(0))
    image = 120 - 40 * shell + 90 * core + rng.normal(0, 2, image.shape)
    refined = refine_contours(cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.float32), labels)
    assert not refined.moved.any()
    np.testing.assert_array_equal(refined.labels, labels)


def test_the_side_that_touches_stays_and_the_free_side_moves():
    rng = np.random.default_rng(8)
    height, width, radius = 70, 110, 17.0
    at = [(35.3, 37.8), (34.6, 37.8 + 2 * radius)]
    image = sum(thickness("flat", radius, *place, height, width) for place in at)
    image = 100 + 50 * cv2.GaussianBlur(image, (0, 0), 0.8) + rng.normal(0, 2, image.shape)
    first, second = (disk(radius + 1.5, *place, height, width) for place in at)
    left = np.mgrid[:height, :width][1] < 37.8 + radius
    labels = np.where(first & left, 1, np.where(second & ~left, 2, 0)).astype(np.int32)
    refined = refine_contours(image.astype(np.float32), labels)
    assert refined.moved.all()
    new = refined.labels
    assert not np.any((new > 0) & (labels > 0) & (new != labels)), "no pixel changes hands"
    cut = labels[35, :]
    edge = np.flatnonzero((cut[:-1] == 1) & (cut[1:] == 2))[0]
    assert new[35, edge] == 1
    assert new[35, edge + 1] == 2
    assert np.flatnonzero(new[35] == 1)[0] == pytest.approx(37.8 - radius + 0.5, abs=1)
    assert np.flatnonzero(new[35] == 2)[-1] == pytest.approx(37.8 + 3 * radius - 0.5, abs=1)


def test_a_particle_cut_by_the_frame_keeps_its_side_there():
    rng = np.random.default_rng(9)
    image = 100 + 50 * cv2.GaussianBlur(thickness("flat", 20.0, 2.2, 32.0), (0, 0), 0.8)
    labels = disk(21.5, 2.2, 32.0).astype(np.int32)
    refined = refine_contours((image + rng.normal(0, 2, image.shape)).astype(np.float32), labels)
    assert refined.moved.all()
    first_row = np.flatnonzero(refined.labels[0])
    assert first_row.size == pytest.approx(2 * math.sqrt(20**2 - 2.2**2), abs=1.5)
    true = np.count_nonzero(disk(20.0, 2.2, 32.0))
    assert np.count_nonzero(refined.labels) == pytest.approx(true, rel=0.02)


def test_a_side_in_shade_is_not_cut_into():
    rng = np.random.default_rng(10)
    row, col, radius = 48.2, 47.7, 30.0
    plate = thickness("flat", radius, row, col, 96, 96)
    lit = 1 + 0.7 * (np.mgrid[:96, :96][1] - col) / radius  # 0.3 to 1.7 of the contrast from side to side
    image = 100 + 50 * cv2.GaussianBlur(plate * lit, (0, 0), 0.8) + rng.normal(0, 1.5, plate.shape)
    labels = disk(radius + 1.5, row, col, 96, 96).astype(np.int32)
    refined = refine_contours(image.astype(np.float32), labels)
    assert refined.moved.all()
    across = np.flatnonzero(refined.labels[48])
    assert across[0] == pytest.approx(col - radius + 0.5, abs=1)
    assert across[-1] == pytest.approx(col + radius - 0.5, abs=1)


def test_what_is_no_specimen_teaches_nothing():
    image, labels = picture("flat", 14.0, np.random.default_rng(11), n=1)
    valid = np.ones(image.shape, bool)
    valid[52:] = False
    spoilt = image.copy()
    spoilt[~valid] = 255
    once, again = (refine_contours(p, labels, valid=valid) for p in (image, spoilt))
    np.testing.assert_array_equal(once.moved, again.moved)
    assert not np.any(again.labels[52:] > labels[52:])


def test_numbers_stay_though_some_are_missing_and_inputs_are_not_changed():
    image, labels = picture("flat", 12.0, np.random.default_rng(12))
    labels[labels == 4] = 0
    pixels, drawn = image.copy(), labels.copy()
    refined = refine_contours(pixels, drawn)
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(drawn, labels)
    assert refined.labels.dtype == np.int32
    assert refined.moved.tolist() == [True] * 3 + [False] + [True] * 5
    for k in (1, 2, 3, 5, 9):
        assert np.mean(labels[refined.labels == k] == k) == 1


def test_empty_and_constant_images():
    nothing = refine_contours(np.zeros((20, 30), np.float32), np.zeros((20, 30), np.int32))
    assert nothing.labels.shape == (20, 30)
    assert nothing.moved.size == nothing.shift.size == nothing.area.size == 0
    labels = disk(9, 15, 15, 32, 32).astype(np.int32)
    flat = refine_contours(np.full((32, 32), 7, np.float32), labels)
    assert not flat.moved.any()
    np.testing.assert_array_equal(flat.labels, labels)


def test_a_rim_narrower_than_a_pixel_is_an_edge_too():
    rng = np.random.default_rng(13)
    radius, row, col = 24.3, 31.7, 32.2
    r, c = (np.mgrid[: PITCH * FINE, : PITCH * FINE] + 0.5) / FINE - 0.5
    below = radius - np.hypot(r - row, c - col)
    signal = (below > 0) * (1 + 2 * np.exp(-np.maximum(below, 0) / 0.8))
    image = cv2.GaussianBlur(signal.reshape(PITCH, FINE, PITCH, FINE).mean((1, 3)), (0, 0), 1.0)
    image = 100 + 50 * image + rng.normal(0, 1, image.shape)
    refined = refine_contours(image.astype(np.float32), disk(radius + 1.5, row, col).astype(np.int32))
    assert refined.moved.all()
    assert diameters(refined.labels)[0] == pytest.approx(2 * radius, abs=0.3)


def test_a_place_that_depends_on_the_kind_of_edge_is_in_doubt():
    large, small = (refine_contours(*picture("ball", radius, np.random.default_rng(14))) for radius in (20.0, 4.0))
    assert np.nanmean(large.doubt) < 0.1 < np.nanmean(small.doubt)


def test_shapes_must_agree():
    with pytest.raises(ShapeMismatchError, match="labels"):
        refine_contours(np.zeros((20, 30), np.float32), np.zeros((30, 20), np.int32))


def test_letters_without_any_shade_of_grey_are_no_trouble():
    """Black on white without noise: many profiles have no variance, and no template fits them."""
    page = np.full((200, 520), 255, np.uint8)
    for k in range(6):
        cv2.putText(page, "The quick brown fox jumps over it", (20, 40 + 30 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 1)
    labels = cv2.connectedComponents((cv2.erode(page, np.ones((5, 5))) < 128).astype(np.uint8))[1]
    refined = refine_contours(page.astype(np.float32), labels)
    assert labels.max() > 20
    assert refined.labels.shape == labels.shape
    assert np.isfinite(refined.shift).all()
