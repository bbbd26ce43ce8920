"""Spectra of regions: sums by hand, errors against drawn counts, wavelengths, bad input, and a real run."""

from __future__ import annotations

import numpy as np
import pytest

import realdata
from segmetry.errors import CalibrationError, ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.measure.spectra import check_time, label_spectra, wavelength_of


def test_sums_by_hand():
    counts = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.uint16)
    beam = np.full((2, 2, 2), 10, np.uint16)
    found = label_spectra(counts, np.array([[0, 7], [3, 7]]), beam, dose_ratio=2.0)
    assert found.labels.tolist() == [3, 7]
    assert found.n_pixels.tolist() == [1, 2]
    assert found.counts.tolist() == [[3, 7], [6, 14]]
    assert found.transmission == pytest.approx(np.array([[0.15, 0.35], [0.15, 0.35]]))
    assert found.attenuation == pytest.approx(-np.log(found.transmission))
    assert found.attenuation_error[1, 0] == pytest.approx((1 / 6 + 1 / 20) ** 0.5)
    assert found.transmission_error[1, 0] == pytest.approx(0.15 * (1 / 6 + 1 / 20) ** 0.5)


def test_the_errors_are_those_of_drawn_counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (4000, 4, 5))
    beam = rng.poisson(9.0, (4000, 4, 5))
    found = label_spectra(counts, np.ones((4, 5), bool), beam)
    for value, error, truth in (
        (found.transmission, found.transmission_error, 1 / 3),
        (found.attenuation, found.attenuation_error, np.log(3)),
    ):
        z = (value - truth) / error
        assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.03)
        assert value.std() == pytest.approx(np.median(error), rel=0.05)


def test_sums_are_not_means_of_ratios():
    beam = np.array([[[1000, 10]]])
    found = label_spectra(np.array([[[500, 9]]]), np.ones((1, 2), bool), beam)
    assert found.transmission[0, 0] == pytest.approx(509 / 1010)


def test_where_no_neutron_is_there_is_no_number():
    beam = np.array([[[0]], [[4]], [[4]]])
    found = label_spectra(np.array([[[0]], [[0]], [[2]]]), np.ones((1, 1), bool), beam)
    assert np.isnan(found.transmission[0]).tolist() == [True, False, False]
    assert found.transmission[0, 1:].tolist() == [0, 0.5]
    assert np.isnan(found.attenuation[0]).tolist() == [True, True, False]
    assert found.transmission_error[0, 1] > 0


def test_the_table_has_a_row_for_each_label_and_bin():
    found = label_spectra(np.full((3, 2, 2), 5), np.array([[1, 2], [2, 0]]), np.full((3, 2, 2), 10))
    table = found.table(np.array([0.01, 0.02, 0.03]), 39.56034)
    assert table.shape == (6, 10)
    assert table.wavelength.round(6).tolist() == [1, 2, 3] * 2
    assert table.counts.tolist() == [5] * 3 + [10] * 3
    assert table.attrs["units"]["wavelength"] == "Å"
    assert "wavelength" not in found.table(np.array([1, 2, 3.0])).columns


def test_wavelength_against_the_constants():
    planck, neutron = 6.62607015e-34, 1.67492749804e-27
    assert wavelength_of(np.array([0.02]), 24.0) == pytest.approx(planck * 0.02 / neutron / 24 * 1e10, rel=1e-7)
    assert wavelength_of(np.array([0.02]), 24.0, delay=0.01) == pytest.approx(wavelength_of(np.array([0.01]), 24.0))
    with pytest.raises(CalibrationError, match="flight path"):
        wavelength_of(np.array([1.0]), 0.0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": np.zeros((2, 2), bool)}, LabelError, "empty"),
        ({"labels": np.full((2, 2), -1)}, LabelError, "from 0 up"),
        ({"labels": np.ones((2, 2))}, LabelError, "whole numbers"),
        ({"labels": np.ones((3, 2), bool)}, ShapeMismatchError, "crop"),
        ({"counts": np.full((3, 2, 2), -1)}, ImageError, "negative"),
        ({"counts": np.full((3, 2, 2), np.nan)}, ImageError, "finite"),
        ({"counts": np.ones((2, 2, 2))}, ShapeMismatchError, "crop"),
        ({"open_beam": np.full((3, 2, 2), -2.0)}, ImageError, "open beam: counts are negative"),
        ({"dose_ratio": 0.0}, OptionError, "dose ratio"),
    ],
)
def test_what_cannot_be_is_refused(change, error, words):
    good = {"counts": np.ones((3, 2, 2), int), "labels": np.ones((2, 2), bool), "open_beam": np.ones((3, 2, 2), int)}
    with pytest.raises(error, match=words):
        label_spectra(**(good | change))


def test_a_time_axis_of_the_wrong_length():
    with pytest.raises(ShapeMismatchError, match="4 values but the cube 3"):
        check_time(np.arange(4), 3)
    with pytest.raises(CalibrationError, match="rise"):
        check_time(np.array([0, 2, 1]), 3)


@pytest.mark.slow
def test_a_real_run_counts_as_poisson_and_its_bins_are_what_its_file_says():
    folder = realdata.folder("neutron-tof")
    if folder is None:
        pytest.skip("the frames are not here; set SEGMETRY_DATA to the folder that holds neutron-tof/")
    fits = pytest.importorskip("astropy.io.fits")
    frames, headers = [], []
    for path in sorted(folder.glob("*.fits")):
        with fits.open(path, memmap=False) as file:
            frames.append(file[0].data.astype(np.float64))
            headers.append(file[0].header)
    cube = np.stack(frames)
    time = np.array([h["TOF"] for h in headers])
    listed = np.loadtxt(folder / "Image019_Spectra.txt")
    # Ten of the run's bins, and the axis of its first ten: the same length of a bin, and of its header.
    assert check_time(time, len(cube)).size == len(listed) == 10
    assert np.diff(time) == pytest.approx(np.diff(listed[:, 0]).mean(), rel=1e-4)
    assert np.diff(time) == pytest.approx(headers[0]["TIMEBIN"], rel=1e-4)
    found = label_spectra(cube, np.ones(cube.shape[1:], bool), cube)
    assert found.counts[0] == pytest.approx([h["N_COUNTS"] for h in headers], rel=0.02)
    # Frames of neighbouring times see nearly the same beam: their difference has the variance of the counts.
    lit = cube.mean(0) > 5
    away = (cube[1:] - cube[:-1])[:, lit]
    scale = found.counts[0, 1:] / found.counts[0, :-1]
    mean = (cube[1:] + cube[:-1])[:, lit].mean(1)
    assert scale == pytest.approx(1, abs=0.05)
    assert away.var(1) / mean == pytest.approx(1, abs=0.15)
