"""Shapes as pixels: coverage of each pixel by a disk, an ellipse, a polygon or any body at any sub-pixel place.

Points are ``(row, col)`` with the origin at the centre of pixel (0, 0), so a pixel reaches half a pixel to each side.
A pixel belongs to a shape where at least half of it is covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from segmetry.errors import OptionError

LABEL_RULE = 0.5
"""Share of a pixel that a shape has to cover, before any blur, for the pixel to carry its label."""

Inside = Callable[..., np.ndarray]


def supersampling_for(diameter: float) -> int:
    """Return how many samples per pixel and axis a shape of this diameter (px) gets.

    Odd, so that no pixel is covered to exactly one half and the label rule never ties; fewer for large shapes, where
    the edge is a smaller part of the area.
    """
    return 7 if diameter < 16 else 5 if diameter < 80 else 3


def sample_axis(start: int, stop: int, samples: int) -> np.ndarray:
    """Return the coordinates of the samples of the pixels ``start .. stop - 1``, `samples` per pixel."""
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    return (np.arange(start, stop)[:, None] + offsets).ravel()


def pixel_means(samples_image: np.ndarray, samples: int) -> np.ndarray:
    """Return the mean over each pixel of an array that has `samples` values per pixel and axis, as float32."""
    if samples == 1:
        return samples_image.astype(np.float32)
    if samples_image.ndim != 2:
        blocks = [n for size in samples_image.shape for n in (size // samples, samples)]
        return samples_image.reshape(blocks).mean(axis=tuple(range(1, len(blocks), 2)), dtype=np.float32)
    rows, cols = samples_image.shape
    image = np.ascontiguousarray(samples_image, np.float32)
    return cv2.resize(image, (cols // samples, rows // samples), interpolation=cv2.INTER_AREA)


def _window(low: float, high: float, n: int) -> tuple[int, int]:
    return max(0, math.floor(low + 0.5)), min(n, math.floor(high + 0.5) + 1)


def cover(
    inside: Inside,
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray,
    shape: tuple[int, ...],
    samples: int,
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return a window and how much of each of its pixels is inside a body, for any number of axes.

    Parameters
    ----------
    inside : callable
        Takes one array of coordinates per axis, which broadcast, and returns 0 or 1 (or bool) at each point.
    low, high : sequence of float
        Corners of a box that holds the body; it may reach over the frame, and the window then ends there.
    shape : tuple of int
        Shape of the frame.
    samples : int
        Samples per pixel and axis.
    """
    ends = [_window(a, b, n) for a, b, n in zip(low, high, shape)]
    window = tuple(slice(start, max(start, stop)) for start, stop in ends)
    if any(start >= stop for start, stop in ends):
        return window, np.zeros([w.stop - w.start for w in window], np.float32)
    axes = np.meshgrid(*(sample_axis(*end, samples) for end in ends), indexing="ij", sparse=True)
    return window, pixel_means(inside(*axes), samples)


def touches(window: Sequence[slice], mask: np.ndarray, shape: Sequence[int]) -> bool:
    """Return whether a mask in a window has a pixel in the outermost rows or columns of the frame."""
    for axis, (w, n) in enumerate(zip(window, shape)):
        ends = ([0] if w.start == 0 else []) + ([-1] if w.stop == n else [])
        if any(mask.take(end, axis=axis).any() for end in ends):
            return True
    return False


def _coverage(
    inside: Inside, box: tuple[float, float, float, float], shape: tuple[int, int], samples: int
) -> np.ndarray:
    if len(shape) != 2 or min(shape) < 1:
        raise OptionError(f"a raster needs a shape (rows, columns) of at least one pixel, got {shape}.")
    out = np.zeros(shape, np.float32)
    window, part = cover(inside, box[::2], box[1::2], shape, samples)
    out[window] = part
    return out


def raster_ellipse(
    centre: tuple[float, float],
    axes: tuple[float, float],
    angle: float,
    shape: tuple[int, int],
    *,
    supersampling: int | None = None,
) -> np.ndarray:
    """Return how much of each pixel an ellipse covers.

    Parameters
    ----------
    centre : (row, col)
        Any sub-pixel place, also outside the frame.
    axes : (a, b)
        Semi-axes in px.
    angle : float
        Degrees from the row axis (downwards) to the axis `a`, turning towards the columns: the convention of
        scikit-image's ``orientation``.
    shape : (rows, cols)
        Shape of the image.
    supersampling : int, optional
        Samples per pixel and axis.

    Returns
    -------
    coverage : (M, N) array of float32
        0 to 1. ``coverage >= 0.5`` is the mask.
    """
    if not (min(axes) > 0 and math.isfinite(max(axes))):
        raise OptionError(f"the semi-axes of an ellipse must be positive, got {axes}.")
    a, b = axes
    sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    half_row, half_col = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)

    def inside(row: np.ndarray, col: np.ndarray) -> np.ndarray:
        dr, dc = row - centre[0], col - centre[1]
        along, across = (dr * cos + dc * sin) / a, (dc * cos - dr * sin) / b
        return (along * along + across * across <= 1).astype(np.float32)

    box = (centre[0] - half_row, centre[0] + half_row, centre[1] - half_col, centre[1] + half_col)
    return _coverage(inside, box, shape, supersampling or supersampling_for(2 * min(axes)))


def raster_disk(
    centre: tuple[float, float], radius: float, shape: tuple[int, int], *, supersampling: int | None = None
) -> np.ndarray:
    """Return how much of each pixel a disk covers, as `raster_ellipse` does for an ellipse."""
    return raster_ellipse(centre, (radius, radius), 0.0, shape, supersampling=supersampling)


def raster_polygon(vertices: np.ndarray, shape: tuple[int, int], *, supersampling: int | None = None) -> np.ndarray:
    """Return how much of each pixel a polygon covers (even-odd rule, so it need not be convex).

    Parameters
    ----------
    vertices : (K, 2) array
        Corners as (row, col), in order, without repeating the first.
    shape : (rows, cols)
        Shape of the image.
    supersampling : int, optional
        Samples per pixel and axis.
    """
    corners = np.asarray(vertices, float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise OptionError(f"a polygon needs at least three (row, col) corners, got an array of shape {corners.shape}.")

    def inside(row: np.ndarray, col: np.ndarray) -> np.ndarray:
        odd = np.zeros((row.size, col.size), bool)
        for (r1, c1), (r2, c2) in zip(corners, np.roll(corners, -1, axis=0)):
            if r1 == r2:
                continue
            crosses = (row >= min(r1, r2)) & (row < max(r1, r2))
            odd ^= crosses & (col < c1 + (row - r1) * ((c2 - c1) / (r2 - r1)))
        return odd.astype(np.float32)

    low, high = corners.min(axis=0), corners.max(axis=0)
    samples = supersampling or supersampling_for(float((high - low).min()))
    return _coverage(inside, (low[0], high[0], low[1], high[1]), shape, samples)


def regular_polygon(centre: tuple[float, float], radius: float, n_corners: int, angle: float = 0.0) -> np.ndarray:
    """Return the corners (row, col) of a regular polygon with circumscribed `radius`; `angle` in degrees."""
    phi = np.deg2rad(angle) + 2 * np.pi * np.arange(n_corners) / n_corners
    return np.column_stack([centre[0] + radius * np.cos(phi), centre[1] + radius * np.sin(phi)])


def draw_disk(centre: tuple[float, float], radius: float, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return a label image with one disk: int32, 1 where at least half of the pixel is covered.

    Without `shape` the image is just large enough for the disk.
    """
    if shape is None:
        shape = (math.ceil(centre[0] + radius) + 2, math.ceil(centre[1] + radius) + 2)
    return (raster_disk(centre, radius, shape) >= LABEL_RULE).astype(np.int32)
