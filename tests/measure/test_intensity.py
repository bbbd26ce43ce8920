"""Contrast, edge sharpness, saturation: scenes whose answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from segmetry.measure import label, measure, measure_threshold
from segmetry.types import Calibration


def edge_scene(sigma, noise=0.0, step=-40.0, seed=0, n=5, radius=22, pitch=80):
    """Disks at random sub-pixel centres with an edge of known Gaussian width: labels, and the image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: n * pitch, : n * pitch].astype(float)
    distance = np.full(y.shape, np.inf)
    for row in range(n):
        for col in range(n):
            cy, cx = (row + 0.5) * pitch + rng.uniform(-0.5, 0.5), (col + 0.5) * pitch + rng.uniform(-0.5, 0.5)
            distance = np.minimum(distance, np.hypot(y - cy, x - cx) - radius)
    profile = 0.5 * (1 - np.vectorize(math.erf)(distance / (sigma * math.sqrt(2)))) if sigma else (distance <= 0) * 1.0
    return label(distance <= 0), 100 + step * profile + noise * rng.normal(size=y.shape)


@pytest.mark.parametrize("step", [-40.0, 25.0])
def test_contrast_is_the_step(step):
    labels, image = edge_scene(0, step=step)
    table = measure(labels, image)
    assert table["contrast"].to_numpy() == pytest.approx(step, rel=1e-9)
    assert table["contrast_to_noise"].isna().all()  # a flat background has no noise to compare with
    noisy = measure(*edge_scene(0, noise=5.0, step=step))
    assert noisy["contrast"].mean() == pytest.approx(step, abs=4 * 5 / math.sqrt(25 * 600))
    assert noisy["contrast_to_noise"].mean() == pytest.approx(step / 5, rel=0.02)


@pytest.mark.parametrize("noise", [0.0, 8.0])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_edge_sharpness_is_the_slope(sigma, noise):
    """One over (sigma sqrt(2 pi)), seen through pixels: the step over one pixel across the edge."""
    labels, image = edge_scene(sigma, noise=noise)
    # The ring begins 2 px out, where 2 % (sigma 1) to 16 % (sigma 2) of the step are left: the true contrast is known.
    table = measure(labels, image)
    slope = table["edge_sharpness"] * table["contrast"] / -40
    expected = math.erf(0.5 / (sigma * math.sqrt(2)))
    # A pixel face lies anywhere up to half a pixel from the edge, where the slope is a little less.
    assert slope.mean() == pytest.approx(expected, rel=0.06)
    assert (table["edge_sharpness"] > 0).all()


def test_edge_sharpness_has_the_unit_of_one_over_length_on_any_raster():
    labels, image = edge_scene(2.0)
    once = measure(labels, image)["edge_sharpness"].mean()
    labels, image = (np.ascontiguousarray(a[:, ::2]) for a in (labels, image))
    wide = measure(labels, image, calibration=Calibration((1, 2), "nm"))
    assert wide["edge_sharpness"].mean() == pytest.approx(once, rel=0.12)
    assert wide.attrs["units"]["edge_sharpness"] == "nm^-1"


def test_the_ring_leaves_out_neighbours_text_and_the_blurred_edge():
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 10:20], labels[10:20, 26:36] = 1, 2
    image = np.full(labels.shape, 50.0)
    image[labels > 0] = 10
    near = cv2.dilate((labels > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    image[near & (labels == 0)] = 500  # blur: within 2 px of an object
    ignore = np.zeros(labels.shape, bool)
    ignore[22:30] = True
    image[ignore] = 900
    table = measure(labels, image, ignore=ignore)
    assert table["contrast"].tolist() == [-40, -40]


def test_plain_ring():
    """The ring's mean, the slow way, on random objects that touch each other and the frame."""
    rng = np.random.default_rng(5)
    labels = label(cv2.GaussianBlur(rng.normal(size=(90, 110)), (0, 0), 3) > 0.15, connectivity=4)
    image = rng.normal(100, 10, labels.shape).astype(np.float32)
    table = measure(labels, image)
    places = np.argwhere(np.ones(labels.shape))
    objects = np.argwhere(labels > 0)
    far = np.array([((objects - p) ** 2).sum(axis=1).min() > 2**2 for p in places]).reshape(labels.shape)
    for row, k in enumerate(table["label"]):
        own = np.argwhere(labels == k)
        close = np.array([((own - p) ** 2).sum(axis=1).min() <= 6**2 for p in places]).reshape(labels.shape)
        ring = far & close & (labels == 0)
        expected = image[labels == k].mean(dtype=float) - image[ring].mean(dtype=float) if ring.any() else np.nan
        assert table["contrast"][row] == pytest.approx(expected, rel=1e-6, abs=1e-5, nan_ok=True)


def test_saturation():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 25:35] = 1, 2
    image = np.full(labels.shape, 100, np.uint8)
    image[5, 5:8] = 255  # 3 of 100 pixels
    image[5, 25] = 255  # 1 of 100: not more than 1 %
    assert measure(labels, image)["saturated"].tolist() == [True, False]
    assert measure(labels, image.astype(np.uint16) * 16 + 15)["saturated"].tolist() == [True, False]  # 12 bits in 16
    assert measure(labels, image.astype(float))["saturated"].tolist() == [False, False]  # a float names no limit
    image[labels == 2] = 0
    assert measure(labels, image)["saturated"].tolist() == [True, True]


@pytest.mark.parametrize(("kind", "top"), [("int16", 32767), ("int16", 4095), ("int32", 16383), ("uint32", 2**32 - 1)])
def test_saturation_of_whole_numbers_of_any_type(kind, top):
    """Cameras of 12 and 14 bits come in signed types as well (DM3 and DM4 files)."""
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 25:35] = 1, 2
    image = np.where(labels == 1, top, np.where(labels == 2, top - 1, 100)).astype(kind)
    assert measure(labels, image)["saturated"].tolist() == [True, False]
    assert measure_threshold(image, 200)["saturated"].tolist() == [True, False]


def test_std_of_large_numbers_does_not_cancel():
    labels = np.ones((10, 10), np.int32)
    image = 1e9 + np.arange(100.0).reshape(10, 10)
    table = measure(labels, image, measures=["intensity_std", "intensity_mean"])
    assert table["intensity_std"][0] == pytest.approx(np.arange(100).std(), rel=1e-9)
    assert table["intensity_mean"][0] == pytest.approx(1e9 + 49.5, rel=1e-15)
