"""Spectra of regions of a time-of-flight cube, with counting errors; time of flight to wavelength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segmetry.errors import CalibrationError, ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.synth.crystal import NEUTRON_SPEED

if TYPE_CHECKING:
    import pandas as pd


def wavelength_of(time: np.ndarray, flight_path: float, *, delay: float = 0.0) -> np.ndarray:
    """Return the wavelength of neutrons by their time of flight, λ = h t / (m L).

    Parameters
    ----------
    time : array of float
        s.
    flight_path : float
        From source to detector, m.
    delay : float
        Time at which the neutrons left, on the clock of `time`, s.

    Returns
    -------
    wavelength : array of float
        Å.

    Raises
    ------
    CalibrationError
        If the flight path is not above 0.

    Examples
    --------
    >>> wavelength_of(np.array([0.01]), 39.56034).round(6)
    array([1.])
    """
    if not 0 < flight_path < np.inf:
        raise CalibrationError(f"the flight path must be above 0 m, got {flight_path}; it is in the instrument's log.")
    return (np.asarray(time, np.float64) - delay) * (NEUTRON_SPEED / flight_path)


def check_counts(counts: np.ndarray, what: str) -> None:
    """Refuse what no counts are.

    Raises
    ------
    ImageError
        If a value is negative or not finite, or there is none.
    """
    if not counts.size:
        raise ImageError(f"{what}: the cube is empty, shape {counts.shape}.")
    low = counts.min() if counts.dtype.kind != "c" else np.nan
    if not np.isfinite(low) or not np.isfinite(counts.max()):
        raise ImageError(f"{what}: values must be finite; leave out the frames or pixels that are not.")
    if low < 0:
        raise ImageError(
            f"{what}: counts are negative (least {low:g}); errors come from raw counts, so undo what was subtracted."
        )


def check_time(time: np.ndarray, n_bins: int) -> np.ndarray:
    """Return a time (or wavelength) axis as float64.

    Raises
    ------
    ShapeMismatchError
        If its length is not that of the cube.
    CalibrationError
        If it does not rise.
    """
    time = np.asarray(time, np.float64)
    if time.shape != (n_bins,):
        raise ShapeMismatchError(
            f"the time axis has {time.size} values but the cube {n_bins} frames; give one time for each frame."
        )
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise CalibrationError("the time axis must be finite and rise from frame to frame; sort the frames by time.")
    return time


@dataclass(frozen=True, eq=False)
class Spectra:
    """Spectra of L regions over T bins, with standard errors from counting.

    Parameters
    ----------
    labels : (L,) array of int
    n_pixels : (L,) array of int
    counts, open_beam : (L, T) array of float
        Neutrons of all pixels of a region together.
    dose_ratio : float
        Neutrons sent for `counts` over those sent for `open_beam`.
    """

    labels: np.ndarray
    n_pixels: np.ndarray
    counts: np.ndarray
    open_beam: np.ndarray
    dose_ratio: float = 1.0

    @property
    def transmission(self) -> np.ndarray:
        """Sum of counts over sum of open beam, at one dose; nan where the open beam holds no neutron."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.open_beam > 0, self.counts / self.open_beam / self.dose_ratio, np.nan)

    @property
    def transmission_error(self) -> np.ndarray:
        """Standard error of `transmission`; a bin without a neutron counts as one with one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            one = np.maximum(self.counts, 1) / self.open_beam / self.dose_ratio
            error = one * np.sqrt(1 / np.maximum(self.counts, 1) + 1 / self.open_beam)
            return np.where(self.open_beam > 0, error, np.nan)

    @property
    def attenuation(self) -> np.ndarray:
        """-ln(transmission), the attenuation coefficient times the thickness; nan where no neutron came through."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.counts > 0, -np.log(self.transmission), np.nan)

    @property
    def attenuation_error(self) -> np.ndarray:
        """Standard error of `attenuation`: (1/N + 1/N0)^(1/2)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            both = (self.counts > 0) & (self.open_beam > 0)
            return np.where(both, np.sqrt(1 / self.counts + 1 / self.open_beam), np.nan)

    def table(self, time: np.ndarray, flight_path: float | None = None) -> pd.DataFrame:
        """Return one row per region and bin; `time` in s, and wavelengths (Å) where the flight path (m) is known."""
        import pandas as pd

        n_regions, n_bins = self.counts.shape
        time = check_time(time, n_bins)
        columns = {"label": (np.repeat(self.labels, n_bins), ""), "bin": (np.tile(np.arange(n_bins), n_regions), "")}
        columns["time"] = (np.tile(time, n_regions), "s")
        if flight_path is not None:
            columns["wavelength"] = (np.tile(wavelength_of(time, flight_path), n_regions), "Å")
        for name in ("counts", "open_beam", "transmission", "transmission_error", "attenuation", "attenuation_error"):
            columns[name] = (getattr(self, name).ravel(), "")
        frame = pd.DataFrame({name: values for name, (values, _) in columns.items()})
        frame.attrs["units"] = {name: unit for name, (_, unit) in columns.items()}
        return frame


def label_spectra(counts: np.ndarray, labels: np.ndarray, open_beam: np.ndarray, *, dose_ratio: float = 1.0) -> Spectra:
    """Return the spectrum of a mask, or of every label.

    Parameters
    ----------
    counts : (T, M, N) array
        Neutrons, as they were counted.
    labels : (M, N) array of bool or int
        A mask is label 1; 0 is background. Of clusters, whose first is 0, give ``clusters + 1``.
    open_beam : (T, M, N) array
        Neutrons without the specimen.
    dose_ratio : float
        Neutrons sent for `counts` over those sent for `open_beam`: of the exposures, or the proton charges.

    Raises
    ------
    ShapeMismatchError
        If cubes and labels do not lie on each other.
    ImageError
        If counts are negative or not finite.
    LabelError
        If labels are negative or no whole numbers, or none is above 0.
    OptionError
        If the dose ratio is not above 0.

    Notes
    -----
    Counts are summed, and then divided: the mean of the pixels' own ratios would weigh pixels with few neutrons as much
    as those with many, and is too high where the open beam is weak. Of a wedge, the sum gives the mean transmission.

    Examples
    --------
    >>> cube, beam = np.full((2, 3, 3), 25), np.full((2, 3, 3), 100)
    >>> found = label_spectra(cube, np.eye(3, dtype=bool), beam)
    >>> found.n_pixels, found.counts, found.transmission_error.round(4)
    (array([3]), array([[75., 75.]]), array([[0.0323, 0.0323]]))
    """
    counts, open_beam, labels = np.asarray(counts), np.asarray(open_beam), np.asarray(labels)
    if counts.ndim != 3 or counts.shape != open_beam.shape or labels.shape != counts.shape[1:]:
        raise ShapeMismatchError(
            f"spectra: counts {counts.shape}, open beam {open_beam.shape} and labels {labels.shape} must be two (time, "
            "row, column) cubes and their frame; crop all to one window."
        )
    if labels.dtype.kind not in "bui" or (labels.size and labels.min() < 0):
        raise LabelError(f"spectra: labels are whole numbers from 0 up, or a mask, got {labels.dtype}.")
    if not 0 < dose_ratio < np.inf:
        raise OptionError(f"spectra: the dose ratio must be above 0, got {dose_ratio}.")
    names, dense = np.unique(labels, return_inverse=True)
    n_pixels = np.bincount(dense.ravel())
    first = int(names[0] == 0)
    if names.size == first:
        raise LabelError("spectra: the mask is empty; no pixel is above 0.")
    check_counts(counts, "counts")
    check_counts(open_beam, "open beam")
    dense = dense.ravel()

    def sums(cube: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(dense, frame.ravel(), names.size)[first:] for frame in cube], axis=1)

    names_kept = names[first:].astype(np.int64)
    return Spectra(names_kept, n_pixels[first:], sums(counts), sums(open_beam), float(dose_ratio))


def pixel_spectra(counts: np.ndarray, mask: np.ndarray, open_beam: np.ndarray, *, dose_ratio: float = 1.0) -> Spectra:
    """Return the spectrum of each pixel of a mask, line by line, labelled from 1; arguments as for `label_spectra`.

    Examples
    --------
    >>> cube, beam = np.arange(8).reshape(2, 2, 2), np.full((2, 2, 2), 100)
    >>> pixel_spectra(cube, np.eye(2, dtype=bool), beam).counts
    array([[0., 4.],
           [3., 7.]])
    """
    row, col = np.nonzero(mask)
    here, there = (np.asarray(cube)[:, row, col].T.astype(np.float64) for cube in (counts, open_beam))
    return Spectra(np.arange(1, row.size + 1), np.ones(row.size, np.int64), here, there, dose_ratio)
