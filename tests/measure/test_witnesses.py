"""Independent witnesses: scikit-image, OpenCV, SciPy's hull, and a slow plain version of the fused kernels."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import euler_number, regionprops_table

from segmetry.measure import label, measure
from segmetry.types import Calibration

LABELS_2D = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
LABELS_3D = hnp.arrays(np.int32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 2))
SPACING = st.sampled_from([(1.0, 1.0, 1.0), (0.5, 1.0, 1.7), (1.7, 0.5, 1.0), (2.0, 1.0, 1.0)])


def blobs(shape=(200, 240), seed=0, sigma=3.0, ndim=2):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return label(field > 0.3 * field.std(), connectivity=4 if ndim == 2 else 6), rng.integers(
        0, 60000, shape, np.uint16
    )


def test_scikit_image_2d():
    labels, image = blobs()
    ours = measure(labels, image)
    names = [
        "label", "area", "centroid", "bbox", "axis_major_length", "axis_minor_length", "eccentricity", "orientation",
        "perimeter_crofton", "intensity_mean", "intensity_min", "intensity_max", "intensity_std", "euler_number",
        "equivalent_diameter_area", "area_convex", "feret_diameter_max",
    ]  # fmt: skip
    theirs = pd.DataFrame(regionprops_table(labels, image, properties=names))
    theirs = theirs.rename(
        columns={"perimeter_crofton": "perimeter", "equivalent_diameter_area": "equivalent_diameter"}
    )
    assert len(ours) > 50
    for name in theirs.columns.drop(
        ["orientation", "area_convex", "feret_diameter_max", "axis_minor_length", "eccentricity"]
    ):
        assert ours[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), rel=1e-9, abs=1e-7), name
    thick = theirs["axis_minor_length"] > 4 / math.sqrt(12)  # below, ours has a floor
    for name in ("axis_minor_length", "eccentricity"):
        assert ours[name][thick].to_numpy() == pytest.approx(theirs[name][thick].to_numpy(), rel=1e-9, abs=1e-7)
    turned = (ours["orientation"] - np.degrees(theirs["orientation"])).to_numpy()
    long = (ours["eccentricity"] > 0.01).to_numpy()
    assert np.abs((turned[long] + 90) % 180 - 90).max() < 1e-6
    # Other conventions, so only near: their hull counts pixels, ours is a polygon.
    big = (ours["num_pixels"] > 200).to_numpy()
    assert ours["area_convex"][big].to_numpy() == pytest.approx(theirs["area_convex"][big].to_numpy(), rel=0.06)
    assert ours["feret_max"][big].to_numpy() == pytest.approx(theirs["feret_diameter_max"][big].to_numpy(), abs=1.5)


def test_scikit_image_with_spacing():
    labels, image = blobs(seed=1)
    spacing = (0.7, 1.9)
    ours = measure(labels, image, calibration=Calibration(spacing, "nm"))
    theirs = regionprops_table(
        labels, properties=("area", "axis_major_length", "equivalent_diameter_area"), spacing=spacing
    )
    assert ours["area"].to_numpy() == pytest.approx(theirs["area"])
    assert ours["equivalent_diameter"].to_numpy() == pytest.approx(theirs["equivalent_diameter_area"])
    long = theirs["axis_major_length"] > 4 * 0.7 / math.sqrt(12)
    assert ours["axis_major_length"].to_numpy()[long] == pytest.approx(theirs["axis_major_length"][long])


def test_scikit_image_3d():
    labels, image = blobs((40, 44, 48), sigma=2.0, ndim=3)
    ours = measure(labels, image)
    names = (
        "area",
        "centroid",
        "bbox",
        "equivalent_diameter_area",
        "intensity_mean",
        "intensity_std",
        "inertia_tensor",
    )
    theirs = regionprops_table(labels, image, properties=names)
    for mine, name in (("volume", "area"), ("equivalent_diameter", "equivalent_diameter_area"),
                       ("intensity_mean", "intensity_mean"), ("intensity_std", "intensity_std"),
                       *((f"bbox-{k}", f"bbox-{k}") for k in range(6)),
                       *((f"centroid-{k}", f"centroid-{k}") for k in range(3))):  # fmt: skip
        assert ours[mine].to_numpy() == pytest.approx(theirs[name], rel=1e-9), mine
    for k in range(len(ours)):
        points = np.argwhere(labels == ours["label"][k])
        values = np.linalg.eigvalsh(np.cov(points.T, bias=True).reshape(3, 3)) if len(points) > 1 else np.zeros(3)
        axes = 2 * np.sqrt(5 * np.maximum(values[::-1], 1 / 12))
        columns = ["axis_major_length", "axis_medium_length", "axis_minor_length"]
        assert ours.loc[k, columns].to_numpy(float) == pytest.approx(axes, rel=1e-9)


def test_opencv():
    labels, _ = blobs(seed=2)
    ours = measure(labels)
    for k in range(0, len(ours), 3):
        mask = (labels == ours["label"][k]).astype(np.uint8)
        # Edge midpoints doubled are whole numbers, which is what OpenCV's hull wants.
        points = np.argwhere(mask)[:, None] * 2 + np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
        points = points.reshape(-1, 2)[:, ::-1].astype(np.float32)
        hull = cv2.convexHull(points)
        assert ours["area_convex"][k] == pytest.approx(max(cv2.contourArea(hull) / 4, mask.sum()))
        (_, sides, _) = cv2.minAreaRect(hull)
        own = ours["aspect_ratio_rectangle"][k]
        if mask.sum() > 30:  # the least area may be had at several angles; then the ratio may differ
            assert own == pytest.approx(max(sides) / min(sides), rel=0.35)


def plain_2d(labels, spacing):
    """Every measure of an image's objects the slow and obvious way."""
    rows = []
    for k in np.unique(labels[labels > 0]):
        mask = labels == k
        points = np.argwhere(mask)
        n, area = len(points), mask.sum() * spacing[0] * spacing[1]
        padded = np.pad(mask, 1)
        crossings = []
        for axis_step in ((0, 1), (1, -1), (1, 0), (1, 1)):
            moved = np.roll(padded, axis_step, (0, 1))
            crossings.append(np.count_nonzero(moved != padded))
        diagonal = math.hypot(*spacing)
        slope = math.atan2(spacing[0], spacing[1])
        perimeter = 0.5 * (
            slope * crossings[0] * spacing[0]
            + (math.pi / 2 - slope) * crossings[2] * spacing[1]
            + math.pi / 4 * (crossings[1] + crossings[3]) * spacing[0] * spacing[1] / diagonal
        )
        middle = (points[:, None] + np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])).reshape(-1, 2) * spacing
        hull = ConvexHull(middle)
        corners = middle[hull.vertices]
        edges = np.roll(corners, -1, axis=0) - corners
        along = edges / np.linalg.norm(edges, axis=1)[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        widths = np.ptp(corners @ across.T, axis=0)
        spans = np.ptp(corners @ along.T, axis=0)
        covariance = np.cov((points * spacing).T, bias=True).reshape(2, 2) if n > 1 else np.zeros((2, 2))
        values = np.maximum(np.linalg.eigvalsh(covariance)[::-1], min(spacing) ** 2 / 12)
        rows.append(
            {
                "label": k,
                "area": area,
                "perimeter": perimeter,
                "area_convex": max(hull.volume, area),
                "feret_max": max((math.dist(a, b) for a, b in itertools.combinations(corners, 2)), default=0),
                "feret_min": widths.min(),
                "rectangle": (widths * spans).min(),
                "convexity": hull.area / perimeter if n > 1 else math.nan,
                "axis_major_length": 4 * math.sqrt(values[0]),
                "axis_minor_length": 4 * math.sqrt(values[1]),
                "euler_number": euler_number(padded, connectivity=2),
                "centroid-0": points[:, 0].mean(),
                "centroid-1": points[:, 1].mean(),
            }
        )
    return pd.DataFrame(rows)


@settings(max_examples=120, deadline=None)
@given(labels=LABELS_2D, spacing=SPACING)
def test_fused_equals_plain_2d(labels, spacing):
    spacing = spacing[:2]
    ours, plain = measure(labels, calibration=Calibration(spacing, "nm")), plain_2d(labels, spacing)
    assert len(ours) == len(plain)
    for name in plain.columns.drop("rectangle", errors="ignore"):
        assert ours[name].to_numpy(float) == pytest.approx(plain[name].to_numpy(float), rel=1e-9, nan_ok=True), name


def test_least_rectangle_equals_plain():
    from segmetry.measure.regions import Regions
    from segmetry.measure.runs import runs_of_labels

    for seed in range(4):
        labels, _ = blobs((60, 70), seed=seed)
        regions = Regions(runs_of_labels(labels), Calibration((1.0, 1.3), "nm"))
        plain = plain_2d(labels, (1.0, 1.3))
        assert regions.hulls.rectangle_long * regions.hulls.rectangle_short == pytest.approx(
            plain["rectangle"].to_numpy()
        )


@settings(max_examples=60, deadline=None)
@given(labels=LABELS_3D, spacing=SPACING)
def test_fused_equals_plain_3d(labels, spacing):
    ours = measure(labels, calibration=Calibration(spacing, "nm"))
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]
    assert len(steps) == 13
    for row, k in enumerate(np.unique(labels[labels > 0])):
        mask = np.pad(labels == k, 1)
        points = np.argwhere(labels == k) * np.array(spacing)
        assert ours["volume"][row] == pytest.approx(len(points) * math.prod(spacing))
        surface = 0.0
        for step, share in zip(steps, shares(spacing)):
            crossings = np.count_nonzero(np.roll(mask, step, (0, 1, 2)) != mask)
            surface += 2 * share * crossings * math.prod(spacing) / math.hypot(*(np.array(step) * spacing))
        assert ours["surface_area"][row] == pytest.approx(surface, rel=0.01)
        ends = (points[:, None] + np.concatenate([np.eye(3), -np.eye(3)]) / 2 * spacing).reshape(-1, 3)
        widest = max(math.dist(a, b) for a, b in itertools.combinations(ends, 2)) if len(ends) < 400 else None
        if widest is not None:
            assert ours["feret_max"][row] <= widest + 1e-9
            assert ours["feret_max"][row] >= 0.93 * widest


_SHARES: dict[tuple[float, ...], np.ndarray] = {}


def shares(spacing):
    """Share of the sphere that is nearest to each direction, by throwing many points at it."""
    if spacing not in _SHARES:
        steps = np.array([s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]) * spacing
        unit = steps / np.linalg.norm(steps, axis=1)[:, None]
        points = np.random.default_rng(0).normal(size=(400_000, 3))
        nearest = np.abs(points @ unit.T).argmax(axis=1)
        _SHARES[spacing] = np.bincount(nearest, minlength=13) / len(points)
    return _SHARES[spacing]
