"""Shape classes of figures drawn at random sizes, places and angles, clean and with rough outlines."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from segmetry.measure import measure
from segmetry.measure.shape import SHAPES


def figure(kind, diameter, rng):
    """A mask of one figure with this equivalent diameter in px, at a random place and angle."""
    side = int(2.6 * diameter) + 8
    cy, cx = side / 2 + rng.uniform(-0.5, 0.5, 2)
    y, x = np.mgrid[:side, :side]
    angle = rng.uniform(0, 2 * math.pi)
    u = math.cos(angle) * (y - cy) + math.sin(angle) * (x - cx)
    v = math.cos(angle) * (x - cx) - math.sin(angle) * (y - cy)
    area = math.pi * diameter**2 / 4
    if kind == "sphere":
        return u**2 + v**2 <= diameter**2 / 4
    if kind == "ellipsoid":
        ratio = rng.uniform(1.3, 1.6)
        return u**2 / ratio + v**2 * ratio <= diameter**2 / 4
    if kind == "rod":
        ratio = rng.uniform(2.2, 4)
        if rng.random() < 0.5:  # flat ends
            width = math.sqrt(area / ratio)
            return (np.abs(u) <= ratio * width / 2) & (np.abs(v) <= width / 2)
        radius = math.sqrt(area / (math.pi + 4 * (ratio - 1)))
        return np.maximum(np.abs(u) - radius * (ratio - 1), 0) ** 2 + v**2 <= radius**2
    if kind == "cube":
        ratio = rng.uniform(1, 1.5)
        width = math.sqrt(area / ratio)
        return (np.abs(u) <= ratio * width / 2) & (np.abs(v) <= width / 2)
    if kind in ("triangle", "hexagon"):
        n = 3 if kind == "triangle" else 6
        inner = math.sqrt(area / (n * math.tan(math.pi / n)))
        angles = 2 * math.pi * np.arange(n) / n
        return np.all([math.cos(t) * u + math.sin(t) * v <= inner for t in angles], axis=0)
    form = rng.integers(3)
    if form == 0:  # an L
        s = math.sqrt(area / 3)
        return (np.abs(u) <= s) & (np.abs(v) <= s) & ~((u > 0) & (v > 0))
    if form == 1:  # a crescent
        r = 0.65 * diameter
        return (u**2 + v**2 <= r**2) & ((u - 0.8 * r) ** 2 + v**2 > (0.75 * r) ** 2)
    r = diameter / 2 / math.sqrt(1.045)  # five lobes
    return np.hypot(u, v) <= r * (1 + 0.3 * np.cos(5 * np.arctan2(v, u)))


def roughen(mask, rng):
    """The outline as a noisy image gives it: blurred by 1 px, with correlated noise, cut at half height."""
    noise = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), 1.0)
    soft = cv2.GaussianBlur(mask.astype(float), (0, 0), 1.0) + 0.12 * noise / noise.std()
    _, parts, stats, _ = cv2.connectedComponentsWithStats((soft > 0.5).astype(np.uint8), connectivity=4)
    return parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def classify(kind, diameter, n, seed, rough=False):
    rng = np.random.default_rng([seed, int(diameter), SHAPES.index(kind)])
    tiles = [figure(kind, diameter, rng) for _ in range(n)]
    tiles = [roughen(t, rng) if rough else t for t in tiles]
    stack = np.concatenate([tile * (k + 1) for k, tile in enumerate(tiles)])
    return measure(stack, measures=["shape", "shape_confidence"])


@pytest.mark.parametrize("diameter", [15, 25, 50])
@pytest.mark.parametrize("kind", SHAPES)
def test_clean_figures(kind, diameter):
    table = classify(kind, diameter, 80, seed=100)
    right = (table["shape"] == kind).mean()
    assert right >= (0.97 if kind != "irregular" or diameter > 15 else 0.85)


@pytest.mark.parametrize("diameter", [15, 25, 50])
@pytest.mark.parametrize("kind", SHAPES)
def test_rough_figures(kind, diameter):
    table = classify(kind, diameter, 80, seed=200, rough=True)
    least = {"sphere": 0.8, "hexagon": 0.7, "ellipsoid": 0.8, "irregular": 0.75}.get(kind, 0.9)
    assert (table["shape"] == kind).mean() >= least


def test_confidence_tells_right_from_wrong():
    """Over all kinds at 12 to 20 px with rough outlines: who is sure is right more often."""
    tables = [classify(k, d, 60, seed=300, rough=True).assign(kind=k) for k in SHAPES for d in (12, 15, 20)]
    right = np.concatenate([(t["shape"] == t["kind"]).to_numpy() for t in tables])
    sure = np.concatenate([t["shape_confidence"].to_numpy() for t in tables])
    assert right[sure > 0.9].mean() > 0.9
    assert right[sure < 0.6].mean() < right[sure > 0.9].mean() - 0.1


def test_anisotropic_pixels():
    """A disk on 1 x 2 nm pixels is a sphere, though it is an ellipse in pixels."""
    from segmetry.types import Calibration

    y, x = np.mgrid[-40:41, -20:21]
    mask = ((y * 1.0) ** 2 + (x * 2.0) ** 2 <= 30**2).astype(int)
    assert measure(mask)["shape"][0] == "rod"
    assert measure(mask, calibration=Calibration((1, 2), "nm"))["shape"][0] == "sphere"
