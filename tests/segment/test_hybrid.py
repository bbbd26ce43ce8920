"""The default method: edges at half height, no particles in noise, specks, polarity."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from segmetry.segment import segment
from segmetry.segment.objects import fill_holes, half_height, remove_small
from segmetry.segment.polarity import bend, choose_polarity


def soft_disk(shape, centre, radius, blur):
    """Return a disk of height 1 drawn eight times finer and averaged, then blurred: its half height is its edge."""
    fine = np.arange(shape[0] * 8) / 8 - 7 / 16, np.arange(shape[1] * 8) / 8 - 7 / 16
    inside = np.hypot(fine[0][:, None] - centre[0], fine[1][None, :] - centre[1]) <= radius
    cover = inside.reshape(shape[0], 8, shape[1], 8).mean(axis=(1, 3)).astype(np.float32)
    return cv2.GaussianBlur(cover, (0, 0), blur)


@pytest.mark.parametrize("radius", [8, 15, 30])
@pytest.mark.parametrize("noise", [0, 5])
def test_diameters_of_blurred_disks_are_unbiased(radius, noise):
    rng = np.random.default_rng(radius)
    found = []
    for _ in range(12):
        cover = soft_disk((100, 110), np.array([50, 55]) + rng.uniform(-0.5, 0.5, 2), radius, 1.5)
        image = 150 - 80 * cover + rng.normal(0, noise, cover.shape)
        labels = segment(image, "hybrid", options={"polarity": "dark"}).labels
        assert labels.max() == 1
        found.append(2 * math.sqrt((labels == 1).sum() / math.pi))
    # Small disks come out too large, by 0.6 px at r = 8: the ring begins 2 px outside, where blur still reaches.
    assert np.mean(found) == pytest.approx(2 * radius, abs=0.7 if radius == 8 else 0.4)


def test_the_edge_does_not_depend_on_the_first_guess():
    image = 80 * soft_disk((80, 80), (40, 40), 15, 1.5)
    guesses = [(image > level).astype(np.int32) for level in (15.0, 25.0, 40.0, 55.0, 65.0)]
    spread = [np.ptp([int(m.sum()) for m in masks]) for masks in (guesses, [half_height(image, m) for m in guesses])]
    assert spread[1] < 0.5 * spread[0]


@pytest.mark.parametrize("polarity", ["auto", "dark", "bright"])
@pytest.mark.parametrize("sigma", [2, 25])
def test_noise_holds_no_particles(polarity, sigma):
    for seed in range(4):
        image = np.random.default_rng(seed).normal(120, sigma, (300, 400))
        assert segment(image, "hybrid", options={"polarity": polarity}).n_regions == 0


@pytest.mark.parametrize("polarity", ["dark", "bright"])
def test_a_slope_of_the_background_is_no_particle(polarity):
    image = np.linspace(60, 180, 400)[None, :] + np.random.default_rng(0).normal(0, 5, (300, 400))
    assert segment(image, "hybrid", options={"polarity": polarity}).n_regions == 0


def test_specks_are_dropped_counted_and_can_be_kept():
    image = np.full((300, 300), 150.0)
    for row, column, radius in ((70, 70, 40), (200, 70, 39), (70, 200, 41), (230, 230, 7), (170, 260, 7)):
        image -= 80 * soft_disk((300, 300), (row, column), radius, 1.0)
    image += np.random.default_rng(0).normal(0, 2, image.shape)
    found = segment(image, "hybrid", options={"polarity": "dark"})
    assert found.n_regions == 3
    assert found.info["specks"]["n"] == 2
    # 5 % of the area of the typical one, of radius 40: 8.9 px in radius, 18 px across.
    assert found.notes == (
        "2 objects smaller than 18 px across were dropped as specks (5 % of the typical area); "
        "--set specks=0 keeps them",
    )
    picking = found.info["picking"]
    assert (picking["n_before"], picking["n_kept"], sum(picking["n_dropped"])) == (5, 3, 2)
    everything = segment(image, "hybrid", options={"polarity": "dark", "specks": 0})
    assert everything.n_regions == 5
    assert everything.notes == ()


def test_holes_and_small_objects_counted_on_paper():
    mask = np.array(
        [[0, 1, 1, 1, 0, 0], [0, 1, 0, 1, 0, 1], [0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 1, 1]], np.uint8
    )
    filled = mask.copy()
    filled[1, 2] = 1
    np.testing.assert_array_equal(fill_holes(mask), filled)
    large = filled.copy()
    large[1, 5] = large[3, 0] = large[4] = 0
    np.testing.assert_array_equal(remove_small(filled, 3), large)
    gap = np.array([[0, 1, 0], [1, 0, 1], [1, 1, 1]], np.uint8)  # open through a corner: no hole
    gap[0, 1] = 0
    np.testing.assert_array_equal(fill_holes(gap), gap)


@pytest.mark.parametrize("shape", [(512, 600), (300, 300), (1500, 1800)])
def test_polarity_of_disks_and_of_the_inverse(shape):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image = np.full(shape, 100, np.float32)
        for _ in range(shape[0] * shape[1] // 12000):
            centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
            cv2.circle(image, centre, int(rng.uniform(8, 30)), 200, -1)
        image = cv2.GaussianBlur(image, (0, 0), 1.5) + rng.normal(0, 10, shape).astype(np.float32)
        assert choose_polarity(image).polarity == "bright"
        assert choose_polarity(300 - image).polarity == "dark"
        assert bend(300 - image, 3.0) == pytest.approx(-bend(image, 3.0), abs=2e-3)


def test_polarity_of_real_micrographs(emps):
    """Every tenth training image; the study has the figure for all of them."""
    right = []
    for path in sorted((emps / "images").glob("*.png"))[::10]:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = (cv2.imread(str(emps / "segmaps" / path.name), cv2.IMREAD_UNCHANGED) > 0).view(np.uint8)
        outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
        ring = (outside > 2) & (outside <= 8)
        truth = "bright" if image[mask > 0].mean() > image[ring].mean() else "dark"
        right.append(choose_polarity(image.astype(np.float32)).polarity == truth)
    assert np.mean(right) >= 0.9
