"""What must not change, or must change in a known way: shift, turn, flip, padding, numbering, pixel size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segmetry.measure import MEASURES, measure
from segmetry.types import Calibration, Segmentation

PLACE = ("centroid", "bbox", "orientation", "touches_edge", "edge_weight")
"""Measures of where an object lies; they have their own laws."""


def scene(ndim, seed=0):
    """Random blobs of about 10 pixels, and intensities; a wide empty margin, so that nothing meets the frame."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((50,) * ndim, np.int32)
    cells = rng.integers(0, 3, (8,) * ndim) * rng.integers(1, 60, (8,) * ndim)
    core = np.kron(cells, np.ones((3,) * ndim, int))
    core *= rng.random(core.shape) < 0.8
    labels[(slice(13, 37),) * ndim] = core
    return labels, rng.integers(0, 1000, labels.shape).astype(np.uint16)


def forms(table):
    """The columns that do not say where an object lies, as numbers, sorted by label."""
    names = [c for c in table.columns if c.split("-")[0] not in PLACE and c not in ("shape", "shape_confidence")]
    return table[names].astype(float).to_numpy()


@pytest.mark.parametrize("ndim", [2, 3])
def test_shift(ndim):
    labels, image = scene(ndim)
    step = (5, -3, 4)[:ndim]
    once, moved = measure(labels, image), measure(np.roll(labels, step, range(ndim)), np.roll(image, step, range(ndim)))
    assert forms(moved) == pytest.approx(forms(once), rel=1e-9, nan_ok=True)
    for axis in range(ndim):
        assert (moved[f"centroid-{axis}"] - once[f"centroid-{axis}"]).to_numpy() == pytest.approx(step[axis])
        assert (moved[f"bbox-{axis}"] - once[f"bbox-{axis}"]).eq(step[axis]).all()


TURNS = {
    "quarter turn": lambda a: np.rot90(a),
    "half turn": lambda a: np.rot90(a, 2),
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[..., ::-1],
    "transposed": lambda a: np.swapaxes(a, 0, -1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_turns_and_flips(ndim, turn):
    labels, image = scene(ndim, seed=1)
    once, turned = measure(labels, image), measure(TURNS[turn](labels), TURNS[turn](image))
    drop = ["feret_max", "feret_min", "feret_ratio"] if ndim == 3 else []  # there, directions are sampled
    for name, rel in zip(drop, (1e-3, 0.05, 0.05)):
        assert np.sort(turned[name]) == pytest.approx(np.sort(once[name]), rel=rel)
    a, b = (forms(t.drop(columns=drop)) for t in (once, turned))
    assert b == pytest.approx(a, rel=1e-9, abs=1e-9, nan_ok=True)


def test_orientation_turns_along():
    labels, _ = scene(2, seed=2)
    once, turned = measure(labels)["orientation"], measure(np.rot90(labels))["orientation"]
    change = (turned - once).to_numpy() % 180
    assert change[~np.isnan(change)] == pytest.approx(90)


@pytest.mark.parametrize("ndim", [2, 3])
def test_padding(ndim):
    labels, image = scene(ndim, seed=3)
    once, padded = measure(labels, image), measure(np.pad(labels, 7), np.pad(image, 7))
    assert forms(padded) == pytest.approx(forms(once), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("ndim", [2, 3])
def test_numbers_do_not_matter(ndim):
    labels, image = scene(ndim, seed=4)
    names = np.unique(labels)[1:]
    new = np.random.default_rng(0).choice(2**31 - 1, names.size, replace=False).astype(np.int32)
    table = np.zeros(names.max() + 1, np.int32)
    table[names] = new
    once, renamed = measure(labels, image), measure(table[labels], image)
    assert renamed["label"].tolist() == sorted(new)
    order = np.argsort(np.argsort(new))
    again = renamed.iloc[order].drop(columns="label").reset_index(drop=True)
    for column in again:
        if column == "shape":
            assert again[column].equals(once[column])
        else:
            a, b = again[column].to_numpy(float), once[column].to_numpy(float)
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "ndim"), [(m.name, ndim) for m in MEASURES.values() for ndim in m.dims if m.kind != "text"]
)
def test_every_measure_scales_by_its_power(name, ndim):
    record = MEASURES[name]
    labels, image = scene(ndim, seed=5)
    spacing = (1.5, 1.0, 0.8)[:ndim]
    scores = np.linspace(0, 1, labels.max())
    doubt = (image / 2000).astype(np.float32)
    segmentation = Segmentation(labels, scores=scores, uncertainty=doubt, epistemic=doubt / 3)
    once, twice = (
        measure(segmentation, image, calibration=Calibration([s * k for s in spacing], "nm"), measures=[name])
        for k in (1.0, 2.0)
    )
    assert twice.attrs == once.attrs
    expected = once.iloc[:, 1:].astype(float) * 2.0**record.length_power
    assert twice.iloc[:, 1:].astype(float).to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9, nan_ok=True)


def test_anisotropic_pixels_are_repeated_pixels():
    """Areas, moments and hulls of 1 x 3 pixels are those of the image with every pixel drawn three times."""
    labels, image = scene(2, seed=6)
    wide = measure(labels, image, calibration=Calibration((1, 3), "nm"))
    drawn = measure(np.repeat(labels, 3, axis=1), np.repeat(image, 3, axis=1))
    for name in ("area", "equivalent_diameter", "intensity_mean", "intensity_std", "nearest_neighbour_distance"):
        assert wide[name].to_numpy() == pytest.approx(drawn[name].to_numpy(), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(labels=hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.integers(0, 4)))
def test_bounds_that_always_hold(labels):
    table = measure(labels)
    if labels.ndim == 2:
        assert (table["area_convex"] >= table["area"]).all()
        some = table.dropna(subset=["solidity"])
        assert some["solidity"].between(0, 1).all()
        assert some["eccentricity"].between(0, 1).all()
        assert (some["aspect_ratio_rectangle"] >= 1 - 1e-12).all()
        assert some["shape_confidence"].between(0, 1).all()
        assert (table["feret_max"] <= np.hypot(*labels.shape) + 1e-9).all()
    else:
        assert (table["axis_major_length"] >= table["axis_medium_length"]).all()
    assert (table["axis_major_length"] >= table["axis_minor_length"]).all()
    assert (table["feret_max"] >= table["feret_min"] - 1e-9).all()
    assert table["num_pixels"].sum() == np.count_nonzero(labels)
