"""Beam hardening: the attenuation of a polychromatic beam made proportional to thickness again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.frames import as_frames


@dataclass(frozen=True)
class Linearisation:
    """A polynomial that makes attenuation proportional to thickness: ``p + c2 p^2 + c3 p^3 + ...``.

    Parameters
    ----------
    coefficients : tuple of float
        c2, c3, ...; none leaves the attenuation as it is. That of p is 1, so that thin parts keep theirs.
    limit : float
        Largest attenuation the polynomial was fitted to; beyond it goes on as a straight line.
    coefficient : float
        Attenuation per length of a thin part, in 1 / the wedge's unit of length; nan if no wedge was given.
    residual : float
        Root mean square of the wedge's misfit, in attenuation; nan if no wedge was given.

    Raises
    ------
    OptionError
        If the polynomial does not rise all the way from 0 to the limit.
    """

    coefficients: tuple[float, ...]
    limit: float
    coefficient: float = np.nan
    residual: float = np.nan

    def __post_init__(self) -> None:
        if not 0 < self.limit < np.inf or not np.isfinite(self.coefficients).all():
            raise OptionError(
                f"linearisation: coefficients {self.coefficients} and limit {self.limit!r} must be finite, the limit "
                "above 0."
            )
        if self._slope(np.linspace(0, self.limit, 257)).min() <= 0:
            raise OptionError(
                f"linearisation: the polynomial with coefficients {self.coefficients} turns back below an attenuation "
                f"of {self.limit:g}; lower its degree, or the limit."
            )

    def _slope(self, p: np.ndarray) -> np.ndarray:
        slope = np.ones_like(p)
        for k, c in enumerate(self.coefficients, 2):
            slope += k * c * p ** (k - 1)
        return slope

    def _value(self, p: np.ndarray) -> np.ndarray:
        value = p.copy()
        for k, c in enumerate(self.coefficients, 2):
            value += c * p**k
        return value


class Linearised(NamedTuple):
    """Attenuation proportional to thickness, its variance, and where it lies beyond the calibration."""

    pixels: np.ndarray
    variance: np.ndarray
    beyond: np.ndarray


def fit_hardening(attenuation: np.ndarray, thickness: np.ndarray, *, degree: int = 3) -> Linearisation:
    """Return the linearisation that a wedge of known thicknesses asks for.

    Parameters
    ----------
    attenuation, thickness : (K,) array
        Measured ``-ln T`` behind K known lengths of the sample's material; pairs with nan are left out.
    degree : int
        Of the polynomial; 1 to 8, less than the number of thicknesses.

    Notes
    -----
    Least squares of ``L = a1 p + ... + an p^n``, no constant: nothing attenuates nothing. Then mu = 1 / a1 and
    ``ck = ak / a1``.
    """
    p, length = np.asarray(attenuation, np.float64).ravel(), np.asarray(thickness, np.float64).ravel()
    if p.shape != length.shape:
        raise ShapeMismatchError(f"fit_hardening: {p.size} attenuations but {length.size} thicknesses; give pairs.")
    good = np.isfinite(p) & np.isfinite(length)
    p, length = p[good], length[good]
    if not 1 <= degree <= 8 or np.unique(length[length > 0]).size < degree + 1:
        raise OptionError(
            f"fit_hardening: degree {degree!r} must be 1 to 8 and needs {degree + 1} thicknesses above 0 at least, got "
            f"{np.unique(length[length > 0]).size}."
        )
    if length.min() < 0 or p.max() <= 0:
        raise ImageError("fit_hardening: thicknesses must not be negative, and the wedge must attenuate.")
    top = p.max()
    powers = (p[:, None] / top) ** np.arange(1, degree + 1)
    a = np.linalg.lstsq(powers, length, rcond=None)[0] / top ** np.arange(1, degree + 1)
    if a[0] <= 0:
        raise ImageError(
            "fit_hardening: attenuation does not rise with thickness; check the pairs, or lower the degree."
        )
    rest = (p[:, None] ** np.arange(1, degree + 1) @ a - length) / a[0]
    return Linearisation(
        tuple(float(v) for v in a[1:] / a[0]), float(top), float(1 / a[0]), float(np.sqrt(np.mean(rest**2)))
    )


def linearise(
    attenuation: np.ndarray, linearisation: Linearisation, *, variance: np.ndarray | float = np.nan
) -> Linearised:
    """Return attenuation that is proportional to thickness, with its variance.

    Parameters
    ----------
    attenuation : (M, N) or (T, M, N) array
        ``-ln T``, before any reconstruction. Below 0 (noise in air) it stays as it is.
    linearisation : Linearisation
        From `fit_hardening`, or with coefficients that are known.
    variance : array of that shape, optional
        Multiplied by the square of the polynomial's slope.
    """
    p = as_frames("the attenuation", attenuation)
    inside = np.clip(p, 0, np.float32(linearisation.limit))
    slope = linearisation._slope(inside)
    pixels = linearisation._value(inside) + slope * (p - inside)
    spread = np.broadcast_to(np.asarray(variance, np.float32), p.shape) * slope**2
    return Linearised(pixels.astype(np.float32), spread.astype(np.float32), p > linearisation.limit)
