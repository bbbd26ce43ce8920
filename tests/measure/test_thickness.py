"""Local thickness against a brute force and against bodies of known width."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import solids
from segmetry.errors import CalibrationError, ImageError, LabelError, ShapeMismatchError
from segmetry.measure.thickness import local_thickness, thickness_of, thickness_table
from segmetry.types import Calibration


def brute_force(labels, spacing):
    """The definition: every ball that lies in an object, over every pixel that it covers."""
    points, flat = np.argwhere(np.ones(labels.shape, bool)) * np.array(spacing), labels.ravel()
    out = np.zeros(flat.size)
    for k in np.flatnonzero(flat):
        square = ((points - points[k]) ** 2).sum(axis=1)
        reach = square[flat != flat[k]].min()
        inside = square < reach * (1 - 1e-9)
        out[inside] = np.maximum(out[inside], 2 * np.sqrt(reach))
    return out.reshape(labels.shape)


def blobs(shape, sigma, seed):
    """Two labels that touch, of all widths."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    labels = (field > 0).astype(np.int32)
    labels[(field > 0) & (np.arange(shape[-1]) > shape[-1] // 2)] = 2
    return labels


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((11, 11, 11), (1, 1, 1)),
        ((8, 11, 12), (2, 1, 1)),
        ((30, 26), (1, 1)),
        ((25, 28), (0.7, 1.3)),
        ((1, 24, 20), (1, 1, 1)),
    ],
)
def test_every_ball_counts(shape, spacing):
    labels = blobs(shape, 2.5 if len(shape) == 2 else (0 if shape[0] == 1 else 1.5, 1.5, 1.5), 0)
    found = local_thickness(labels, calibration=Calibration(spacing, "mm"))
    assert found == pytest.approx(brute_force(labels, spacing), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 1, 1), (1.3, 0.7, 0.9)])
def test_every_ball_counts_in_24_cubed(spacing):
    labels = blobs((24,) * 3, 2.5, 0)
    found = local_thickness(labels, calibration=Calibration(spacing, "mm"))
    assert found == pytest.approx(brute_force(labels, spacing), abs=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 6, 7])
def test_plates_along_an_axis(width):
    """Even widths as they are, odd ones a pixel more, by the distance from centre to centre."""
    mask = np.zeros((12, 16, 16), bool)
    mask[2 : 2 + width] = True
    found = local_thickness(mask)
    assert (found[mask] == width + width % 2).all()
    assert (found[~mask] == 0).all()
    assert (local_thickness(mask[:, :, 0])[2 : 2 + width] == width + width % 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_plates_fibres_and_balls_at_random(spacing):
    """The middle of a plate is .5 voxel too thick at most, that of a fibre .5 too thin, a ball 1.5."""
    rng = np.random.default_rng(2)
    calibration, worst = Calibration(spacing, "mm"), max(spacing)
    for _ in range(2):
        plate = solids.slab(7.3, 14, spacing, rng, solids.rotation(rng))
        fibre = solids.cylinder(30, 4, spacing, rng, solids.rotation(rng))
        ball = solids.ball(7, spacing, rng)
        for body, width, low, high in ((plate, 7.3, -0.1, 1), (fibre, 8, -0.6, 0.3), (ball, 14, -1.5, 0.3)):
            table = thickness_table(body, calibration=calibration)
            assert low <= (table["thickness_p50"][0] - width) / worst <= high
    assert table.attrs["units"]["thickness_max"] == "mm"


def test_laws():
    labels = blobs((15, 16, 17), 2, 3)
    found = local_thickness(labels)
    assert (local_thickness(labels[::-1, :, ::-1])[::-1, :, ::-1] == found).all()
    assert (found == local_thickness(np.ascontiguousarray(labels.T)).T).all()
    assert local_thickness(labels, calibration=Calibration((3, 3, 3), "nm")) == pytest.approx(3 * found, rel=1e-6)
    both = [np.where(labels == k, local_thickness(labels == k), 0) for k in (1, 2)]
    assert (sum(both) <= found.max()).all()
    assert (sum(both) == found).all()


def test_statistics_by_hand():
    thickness, labels = np.array([[2.0, 4, 6, 9]]), np.array([[3, 3, 3, 5]])
    found = thickness_of(thickness, labels, np.array([3, 4, 5]), (50, 75))
    assert found.mean == pytest.approx([4, np.nan, 9], nan_ok=True)
    assert found.std == pytest.approx([np.sqrt(8 / 3), np.nan, 0], nan_ok=True)
    assert found.max == pytest.approx([6, np.nan, 9], nan_ok=True)
    assert found.percentiles[[0, 2]].tolist() == [[4, 5], [9, 9]]


def test_what_cannot_be_measured():
    assert np.isnan(local_thickness(np.ones((5, 5, 5), bool))).all()
    assert np.isnan(thickness_table(np.ones((3, 3, 3), int))["thickness_mean"]).all()
    assert len(thickness_table(np.zeros((4, 4, 4), int))) == 0
    assert (local_thickness(np.zeros((4, 4), bool)) == 0).all()
    one = np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    assert local_thickness(one)[1, 1, 1] == 2
    with pytest.raises(LabelError):
        local_thickness(np.full((3, 3), 0.5))
    with pytest.raises(ImageError, match="at least one pixel"):
        local_thickness(np.zeros((0, 3), bool))
    with pytest.raises(ShapeMismatchError, match="2 pixel lengths for 3 axes"):
        local_thickness(one, calibration=Calibration((1, 1), "nm"))
    with pytest.raises(CalibrationError):
        local_thickness(one, calibration=Calibration((np.nan, 1, 1), "nm"))
