"""Scattered neutrons: measured behind a grid of black bodies, spread over the frame."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from segmetry.errors import ImageError, OptionError, unknown_name
from segmetry.prepare.filters import gaussian
from segmetry.prepare.frames import average_frames, without_dark
from segmetry.prepare.normalise import transmission

_TERMS = 6
"""Terms of the polynomial: 1, row, column, their product, their squares."""


class Dots(NamedTuple):
    """Shadows of black bodies: (K, 2) centres as row and column, and (K,) radii, in px."""

    centres: np.ndarray
    radii: np.ndarray


class ScatterField(NamedTuple):
    """Scattered counts over the frame.

    `pixels` and `standard_error` are (M, N) float32; `values` and `residuals` (K,) are the dots' means and what the
    field leaves of them.
    """

    pixels: np.ndarray
    standard_error: np.ndarray
    values: np.ndarray
    residuals: np.ndarray


def find_dots(
    with_grid: np.ndarray, open_beam: np.ndarray, dark: np.ndarray | None = None, *, min_radius: float = 3.0
) -> Dots:
    """Return the shadows of a grid of black bodies.

    Parameters
    ----------
    with_grid : (M, N) or (K, M, N) array
        Open beam with the grid in it, best without a sample: a dark sample would be taken for dots, or hide some.
    open_beam, dark : (M, N) or (K, M, N) array
    min_radius : float
        Smallest radius of a dot, in px.

    Notes
    -----
    The share of the beam left is smoothed (1 px) and split by Otsu's threshold; holes are filled. Patches are left out
    that touch the border, are smaller than the least disk, or fill their bounding box unlike an ellipse that is nearly
    round (area over the ellipse's beyond 0.8 to 1.2, sides of 1 : 1.5 or more).

    Raises
    ------
    ImageError
        If there is no dot.
    """
    share = transmission(average_frames(with_grid, what="the frame with the grid").pixels, open_beam, dark)
    left = gaussian(np.where(share.valid, share.pixels, np.float32(1)), 1.0)
    grey = cv2.normalize(left, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    _, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outlines, -1, color=1, thickness=cv2.FILLED)
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask)
    x, y, width, height, area = stats[1:].T
    inside = (x > 0) & (y > 0) & (x + width < left.shape[1]) & (y + height < left.shape[0])
    fullness = area / (np.pi / 4 * width * height)
    round_ = (np.abs(fullness - 1) < 0.2) & (np.maximum(width, height) < 1.5 * np.minimum(width, height))
    keep = inside & round_ & (area >= np.pi * min_radius**2)
    if not keep.any():
        raise ImageError(
            f"no round shadow of at least {min_radius:g} px radius in the frame with the grid; is it the right file?"
        )
    return Dots(centres[1:][keep][:, ::-1].copy(), np.sqrt(area[keep] / np.pi))


def scatter_field(
    with_grid: np.ndarray,
    dots: Dots,
    dark: np.ndarray | None = None,
    *,
    model: str = "polynomial",
    scale: float = 1.0,
    core: float = 0.6,
) -> ScatterField:
    """Return the scattered counts over the frame, from what is left behind black bodies.

    Give it to `transmission` as ``scatter=(field of the sample, field of the open beam)``, each from frames with the
    grid, the first with the sample in place.

    Parameters
    ----------
    with_grid : (M, N) or (K, M, N) array
    dots : Dots
        From `find_dots`.
    dark : (M, N) or (K, M, N) array, optional
    model : {"polynomial", "spline"}
        Of second degree in row and column (seven dots or more), or a thin-plate spline through every dot (five or
        more), which follows any field, and the dots' noise too.
    scale : float
        Dose of the frames it is taken off over that of the frames with the grid, over the transmission of the grid's
        plate.
    core : float
        Share of a dot's radius that its mean is taken in: its rim is blurred.

    Notes
    -----
    `standard_error` is that of the fitted polynomial, from the scatter of the residuals; for the spline it is one
    number, the root mean square of what each dot is off a spline through all the others. Where black bodies let a
    share of the beam through, it is in the field.

    References
    ----------
    Boillat et al., Opt. Express 26, 15769 (2018), doi:10.1364/OE.26.015769; Carminati et al., PLoS ONE 14, e0210300
    (2019), doi:10.1371/journal.pone.0210300.
    """
    if not 0 < core <= 1 or not 0 < scale < np.inf:
        raise OptionError(f"scatter_field: core must be in (0, 1] and scale above 0, got {core!r} and {scale!r}.")
    least = {"polynomial": _TERMS + 1, "spline": 5}
    if model not in least:
        raise unknown_name("model of a scatter field", model, least)
    if len(dots.radii) < least[model]:
        raise ImageError(f"a {model} over the frame needs {least[model]} dots or more, got {len(dots.radii)}.")
    frame = average_frames(with_grid, what="the frame with the grid").pixels
    frame = without_dark("the frame with the grid", frame, dark)
    each = zip(dots.centres, dots.radii, strict=True)
    values = np.array([scale * _core_mean(frame, row, col, core * radius) for (row, col), radius in each])
    fit = _polynomial if model == "polynomial" else _spline
    pixels, error, at_dots = fit(dots.centres, values, frame.shape)
    return ScatterField(pixels.astype(np.float32), error.astype(np.float32), values, values - at_dots)


def _core_mean(frame: np.ndarray, row: float, col: float, radius: float) -> float:
    """Return the mean of a frame over a disk of one pixel at least."""
    radius = max(radius, 1.0)
    top, left = (max(int(v - radius), 0) for v in (row, col))
    part = frame[top : int(row + radius) + 2, left : int(col + radius) + 2]
    i, j = np.indices(part.shape)
    inside = (np.hypot(i + top - row, j + left - col) <= radius) & np.isfinite(part)
    if not inside.any():
        raise ImageError(f"the dot at row {row:.0f}, column {col:.0f} holds no usable pixel; leave it out.")
    return float(part[inside].mean(dtype=np.float64))


Fit = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Field, its standard error (both (M, N)), and the field at the dots."""


def _terms(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    y, x = (2 * places[..., k] / max(shape[k] - 1, 1) - 1 for k in range(2))
    return np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)


def _polynomial(centres: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> Fit:
    design = _terms(centres, shape)
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ values
    at_dots = design @ coefficients
    rank = int(np.linalg.matrix_rank(design))
    if rank < _TERMS:
        raise ImageError("the dots lie on a line or a conic, which leaves a polynomial open; use model 'spline'.")
    variance = float(((values - at_dots) ** 2).sum() / (len(values) - rank))
    everywhere = _terms(np.moveaxis(np.indices(shape), 0, -1).astype(np.float64), shape)
    spread = ((everywhere @ (inverse @ inverse.T)) * everywhere).sum(axis=-1)
    return everywhere @ coefficients, np.sqrt(variance * np.maximum(spread, 0)), at_dots


def _spline(centres: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> Fit:
    from scipy.interpolate import RBFInterpolator

    def through(keep: np.ndarray | slice) -> RBFInterpolator:
        return RBFInterpolator(centres[keep], values[keep], kernel="thin_plate_spline")

    each = np.arange(len(values))
    try:
        left_out = [values[k] - through(each != k)(centres[k : k + 1])[0] for k in each]
        whole = through(slice(None))
    except np.linalg.LinAlgError:
        raise ImageError("the dots lie on a line, or two of them at one place; a field needs them all over.") from None
    places = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2).astype(np.float64)
    error = np.full(shape, np.sqrt(np.mean(np.square(left_out))))
    return whole(places).reshape(shape), error, whole(centres)
