"""Edges lie where the particle ends, not at half height: analytic profiles at random sub-pixel centres."""

import cv2
import numpy as np
import pytest

from segmetry.segment.edges import place_edges

FINE = 8


def picture(kind: str, radius: float, rng: np.random.Generator, *, noise: float, n: int = 4):
    """Return an image of n x n balls (or plates), blurred by 1.2 px in all, with labels at half height."""
    pitch = int(2 * radius + 24)
    side = n * pitch
    image = np.zeros((side, side), np.float32)
    labels = np.zeros((side, side), np.int32)
    for k in range(n * n):
        top, left = k // n * pitch, k % n * pitch
        row, col = pitch / 2 + rng.uniform(-0.5, 0.5, 2)
        r, c = (np.mgrid[: pitch * FINE, : pitch * FINE] + 0.5) / FINE - 0.5
        distance = np.hypot(r - row, c - col)
        chord = np.sqrt(np.maximum(radius**2 - distance**2, 0)) / radius
        thickness = chord if kind == "ball" else (distance < radius).astype(float)
        tile = thickness.reshape(pitch, FINE, pitch, FINE).mean((1, 3))
        image[top : top + pitch, left : left + pitch] = tile
    image = cv2.GaussianBlur(image, (0, 0), 0.66)
    image += rng.normal(0, noise, image.shape).astype(np.float32)
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    n_labels, labels = cv2.connectedComponents((smooth > 0.5).astype(np.uint8), connectivity=4)
    assert n_labels == n * n + 1
    return smooth, labels


def diameters(labels):
    return 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("radius", [10.3, 19.7])
@pytest.mark.parametrize("kind", ["ball", "flat"])
def test_diameters_are_unbiased(kind, radius, noise):
    rng = np.random.default_rng(5)
    smooth, labels = picture(kind, radius, rng, noise=noise)
    before = diameters(labels)
    edges = place_edges(smooth, labels, noise=noise * 0.27)
    after = diameters(edges.labels)
    if kind == "ball":  # half of the height is at sqrt(3)/2 of the radius, blur makes it less
        assert before.mean() / (2 * radius) < np.sqrt(3) / 2
    assert after.mean() == pytest.approx(2 * radius, abs=0.3)
    assert edges.info[f"n_{kind}"] >= 14, "of 16 edges"


def test_a_bright_rim_does_not_move_the_edge_outwards():
    rng = np.random.default_rng(6)
    radius, pitch = 20.0, 64
    r, c = (np.mgrid[: pitch * FINE, : pitch * FINE] + 0.5) / FINE - 0.5
    depth = radius - np.hypot(r - 31.7, c - 32.2)
    signal = (depth > 0) * (1 + 3 * np.exp(-np.maximum(depth, 0) / 2))
    image = signal.reshape(pitch, FINE, pitch, FINE).mean((1, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(image + rng.normal(0, 0.05, image.shape).astype(np.float32), (0, 0), 1.2)
    labels = (smooth > 0.5).astype(np.int32)  # half of the plateau inside the rim
    assert diameters(labels)[0] > 2 * radius + 1
    # This rim (height 3, width 2 px) lies between those that are tried, hence a fifth of a pixel on either side.
    assert diameters(place_edges(smooth, labels, noise=0.013).labels)[0] == pytest.approx(2 * radius, abs=0.5)


def test_touching_particles_keep_their_cut():
    rng = np.random.default_rng(7)
    smooth, labels = picture("flat", 12.0, rng, noise=0.05)
    half = labels.copy()
    half[:, ::1][labels == 6] = np.where(np.nonzero(labels == 6)[1] < np.nonzero(labels == 6)[1].mean(), 6, 17)
    after = place_edges(smooth, half, noise=0.014).labels
    assert set(np.unique(after)) == set(range(18))
    mine = (after == 6) | (after == 17)
    agree = (half[mine] == after[mine]) | (half[mine] == 0)
    assert agree.all(), "the cut does not wander"


def test_what_cannot_be_fitted_keeps_its_outline():
    labels = np.zeros((40, 40), np.int32)
    labels[5:8, 5:8] = 1  # smaller than any profile
    labels[20:35, 20:35] = 2  # no edge in the image at all
    image = np.random.default_rng(8).normal(size=(40, 40)).astype(np.float32)
    edges = place_edges(image, labels, noise=1.0)
    np.testing.assert_array_equal(edges.labels, labels)
    assert edges.info["n_kept"] == 2
    assert place_edges(image, np.zeros_like(labels), noise=1.0).labels.max() == 0


def test_texture_is_no_bright_rim():
    rng = np.random.default_rng(9)
    smooth, labels = picture("flat", 12.0, rng, noise=0.05, n=5)
    texture = cv2.GaussianBlur(rng.normal(size=labels.shape).astype(np.float32), (0, 0), 6)
    inside = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.0)
    edges = place_edges(smooth + 0.2 * texture / texture.std() * inside, labels, noise=0.014)
    # An overshoot that only had to fit better was found seven times, and diameters were 0.5 px too small.
    assert edges.info["n_rim"] <= 3, "of 25"
    assert diameters(edges.labels).mean() == pytest.approx(24, abs=0.35)


@pytest.mark.parametrize("seed", range(3))
def test_every_particle_stays_in_one_piece(seed):
    """Bright grains within reach of a particle's edge are no part of it."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:160, :160]
    labels, image = np.zeros(rows.shape, np.int32), np.zeros(rows.shape, np.float32)
    for number, (row, col) in enumerate(((45, 45), (45, 115), (115, 45), (115, 115)), 1):
        distance = np.hypot(rows - row, cols - col)
        labels[distance < 17] = number
        image[distance < 20] = 1
    image[rng.random(image.shape) < 0.2] += 1.5
    placed = place_edges(cv2.GaussianBlur(image, (0, 0), 0.7), labels, noise=0.02).labels
    for number in range(1, 5):
        n_with_ground, _ = cv2.connectedComponents((placed == number).astype(np.uint8), connectivity=8)
        assert n_with_ground == 2
