"""Random geometry and greys of a training sample: everything that moves pixels is one warp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from segmetry.errors import OptionError
from segmetry.train import greys
from segmetry.train.options import check_shares, zoom_range

IGNORED = 255
"""Class number, in label arrays of 8 bits, of what nobody labelled and of what lies outside of the image."""


@dataclass(frozen=True)
class AugmentOptions:
    """How far samples may differ from the images they are cut from. Shares are of the samples.

    Parameters
    ----------
    flip : bool
        Mirror along every axis, in half of the samples each.
    turn : bool
        Quarter turns in the plane; in volumes of equal spacing also of the axes among each other.
    rotate : float
        Share that is turned freely, by up to `angle` to either side.
    angle : float
        In degrees.
    zoom : (float, float)
        Range of enlargements, drawn log-uniformly.
    stretch : float
        Standard deviation of the logarithm of the ratio of the sides.
    elastic : float
        Share that is bent elastically.
    elastic_shift, elastic_size : float
        Standard deviation of the shift, and how far apart shifts are independent, in px of the sample.
    gamma, shade, invert, blur, noise : float
        Share that gets another gamma, a slope of brightness, the other sign, a blur, noise.
    contrast : float
        Standard deviation of the logarithm of the contrast, and of the offset.
    cubic : bool
        Cubic interpolation of the image in place of linear. Labels are those of the nearest pixel.
    """

    flip: bool = True
    turn: bool = True
    rotate: float = 0.3
    angle: float = 45.0
    zoom: tuple[float, float] = (0.8, 1.25)
    stretch: float = 0.05
    elastic: float = 0.2
    elastic_shift: float = 3.0
    elastic_size: float = 32.0
    gamma: float = 0.3
    shade: float = 0.2
    invert: float = 0.0
    blur: float = 0.1
    noise: float = 0.2
    contrast: float = 0.15
    cubic: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "zoom", zoom_range("augment", self.zoom))
        check_shares("augment", self, "rotate", "elastic", "gamma", "shade", "invert", "blur", "noise")
        for name in ("stretch", "elastic_shift", "contrast"):
            if not getattr(self, name) >= 0:
                raise OptionError(f"augment: {name} must be >= 0, got {getattr(self, name)!r}.")
        if not self.elastic_size >= 4:
            raise OptionError(f"augment: elastic_size must be at least 4 px, got {self.elastic_size!r}.")

    @classmethod
    def none(cls) -> AugmentOptions:
        """Return the options that change nothing: samples are crops as they are."""
        return cls(
            flip=False, turn=False, rotate=0, zoom=(1, 1), stretch=0, elastic=0, gamma=0, shade=0, blur=0, noise=0,
            contrast=0,
        )  # fmt: skip


class Warp(NamedTuple):
    """Where the pixels of a sample lie in its image.

    Parameters
    ----------
    matrix : (2, 3) array
        Pixel (column, row) of the sample to that of the image.
    field : (2, M, N) array of float32 or None
        Elastic shift of each pixel (column, row), in px of the image, after the matrix.
    shape : (M, N)
        Sides of the sample.
    """

    matrix: np.ndarray
    field: np.ndarray | None
    shape: tuple[int, int]

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Return column and row in the image of each pixel of the sample, (M, N) float32 each."""
        (a, b, c), (d, e, f) = self.matrix.astype(np.float32)
        columns = np.arange(self.shape[1], dtype=np.float32)
        rows = np.arange(self.shape[0], dtype=np.float32)[:, None]
        x, y = (a * columns + c) + b * rows, (d * columns + f) + e * rows
        if self.field is not None:
            x += self.field[0]
            y += self.field[1]
        return x, y


def draw_warp(
    rng: np.random.Generator, shape: Sequence[int], centre: Sequence[float] | np.ndarray, options: AugmentOptions
) -> Warp:
    """Return a random warp of a sample about a place of its image.

    Parameters
    ----------
    rng : Generator
    shape : (M, N)
        Sides of the sample.
    centre : (row, column)
        Place in the image that the middle of the sample shows.
    options : AugmentOptions
    """
    o = options
    zoom = math.exp(rng.uniform(*np.log(o.zoom)))
    aspect = math.exp(rng.normal(0, o.stretch)) if o.stretch else 1.0
    angle = math.pi / 2 * rng.integers(4) if o.turn else 0.0
    if rng.random() < o.rotate:
        angle += math.radians(rng.uniform(-o.angle, o.angle))
    cos, sin = math.cos(angle), math.sin(angle)
    mirror = np.where(rng.random(2) < 0.5, -1.0, 1.0) if o.flip else np.ones(2)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(mirror * (aspect / zoom, 1 / (aspect * zoom)))
    exact = np.allclose(linear, np.round(linear))
    if exact:
        linear = np.round(linear)
    middle = np.array([shape[1] - 1, shape[0] - 1]) / 2
    shift = np.array([centre[1], centre[0]], float) - linear @ middle
    if exact:
        shift = np.round(shift)  # nothing between pixels, which would only blur
    field = _draw_field(rng, shape, linear, o) if rng.random() < o.elastic else None
    return Warp(np.column_stack([linear, shift]), field, (shape[0], shape[1]))


def _draw_field(rng: np.random.Generator, shape: Sequence[int], linear: np.ndarray, o: AugmentOptions) -> np.ndarray:
    """Return smooth random shifts (2, M, N): a cubic spline with independent coefficients on a coarse grid."""
    rows, columns = (_spline(n, o.elastic_size, rng.random()) for n in shape)
    coarse = rng.standard_normal((2, rows.shape[1], columns.shape[1])) * (o.elastic_shift / SPLINE_RMS**2)
    bent = np.einsum("ij,jkl->ikl", linear, coarse).astype(np.float32)
    return rows @ bent @ columns.T


SPLINE_RMS = math.sqrt(151 / 315)
"""Root mean square of a cubic spline whose coefficients are independent with variance 1."""


def _spline(n: int, step: float, start: float) -> np.ndarray:
    """Return (n, nodes) float32: what each node of a cubic B-spline adds to each of n pixels."""
    at = (np.arange(n) / step + start)[:, None] - np.arange(-1, math.ceil(n / step) + 3)
    far = np.abs(at)
    outer, inner = np.maximum(2 - far, 0), np.maximum(1 - far, 0)
    return ((outer * outer * outer - 4 * inner * inner * inner) / 6).astype(np.float32)


def apply_warp(
    warp: Warp, image: np.ndarray, labels: np.ndarray, fill: Sequence[float], *, cubic: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample of an image and of its labels.

    Parameters
    ----------
    warp : Warp
    image : (C, M, N) array
        Of any type; read only where the sample lies.
    labels : (M, N) array of uint8
    fill : sequence of float
        What each channel is outside of the image.
    cubic : bool

    Returns
    -------
    image : (C, m, n) array of float32
    labels : (m, n) array of uint8
        `IGNORED` outside of the image.
    """
    x, y = warp.places()
    rows, columns = (_span(at, n) for at, n in ((y, labels.shape[0]), (x, labels.shape[1])))
    x, y = x - np.float32(columns.start), y - np.float32(rows.start)
    part = np.ascontiguousarray(labels[rows, columns])
    how = {"borderMode": cv2.BORDER_CONSTANT}
    known = cv2.remap(part, x, y, cv2.INTER_NEAREST, borderValue=IGNORED, **how)
    kind = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    out = np.empty((len(image), *warp.shape), np.float32)
    for channel, value, target in zip(image, fill, out, strict=True):
        target[:] = cv2.remap(_readable(channel[rows, columns]), x, y, kind, borderValue=value, **how)
    return out, known


def warp_maps(warp: Warp, maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return a sample (K, m, n) float32 of maps (M, N) that were made of labels.

    Interpolated linearly, so that none leaves its range; outside of the image is what lies at its edge.
    """
    x, y = warp.places()
    out = np.empty((len(maps), *warp.shape), np.float32)
    for one, target in zip(maps, out, strict=True):
        target[:] = cv2.remap(one, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out


def _span(at: np.ndarray, n: int) -> slice:
    """Return the part of an axis of n pixels that places lie in, with what interpolation needs beside them."""
    low = min(max(0, math.floor(float(at.min())) - 2), n - 1)
    return slice(low, max(low + 1, min(n, math.ceil(float(at.max())) + 3)))


def _readable(pixels: Any) -> np.ndarray:
    """Return pixels as a type that OpenCV warps, in this machine's order of bytes."""
    pixels = np.asarray(pixels)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    kept = pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32)
    return np.ascontiguousarray(pixels if kept else pixels.astype(np.float32))


def change_greys(image: np.ndarray, rng: np.random.Generator, options: AugmentOptions) -> np.ndarray:
    """Return an image (M, N) in standard deviations with other greys."""
    o = options
    changes = ((o.gamma, greys.bend), (o.shade, greys.shade), (o.blur, greys.soften), (o.noise, greys.roughen))
    for share, change in changes:
        if share and rng.random() < share:
            image = change(image, rng)
    if o.contrast:
        image = greys.contrast(image, rng, o.contrast)
    if o.invert and rng.random() < o.invert:
        image = -image
    return image
