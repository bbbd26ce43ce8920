"""Random crops of labelled images: one warp for flip, turn, zoom and shear, then the changes of grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from segmetry.errors import OptionError
from segmetry.segment.pyramid import typical_side
from segmetry.train import greys
from segmetry.train.data import Example, pyramid
from segmetry.train.options import check_shares, zoom_range

UNKNOWN = 65535
"""Label of what lies outside of an image, while it is warped."""


@dataclass(frozen=True)
class CropOptions:
    """How crops of particle images are drawn.

    Parameters
    ----------
    side : int
        Side of a crop in px of the network's input.
    stride : int
        Input pixels per pixel of the network's maps: labels come at that resolution.
    normalised : float
        Share of crops that are zoomed so that the image's typical particle has about `typical` px; the others are
        zoomed by anything in `zoom`.
    typical : float
        Square root of the area of a particle after normalisation, in px.
    spread : float
        Factor up and down by which normalised crops vary.
    zoom : (float, float)
        Range of zooms, drawn log-uniformly.
    invert, blur, noise, shade, text : float
        Share of crops that are inverted, blurred, made noisy, shaded, or get letters burned in (background, unless
        on a particle).
    """

    side: int = 256
    stride: int = 2
    normalised: float = 0.5
    typical: float = 64.0
    spread: float = 2.0
    zoom: tuple[float, float] = (0.25, 1.7)
    invert: float = 0.2
    blur: float = 0.2
    noise: float = 0.3
    shade: float = 0.25
    text: float = 0.06

    def __post_init__(self) -> None:
        object.__setattr__(self, "zoom", zoom_range("crops", self.zoom))
        check_shares("crops", self, "normalised", "invert", "blur", "noise", "shade", "text")
        if self.stride < 1 or self.side < self.stride or self.side % self.stride:
            raise OptionError(f"crops: side must be a multiple of stride, got {self.side} and {self.stride}.")
        if not (self.typical > 0 and self.spread >= 1):
            raise OptionError(f"crops: typical must be > 0 and spread >= 1, got {self.typical} and {self.spread}.")


@dataclass(frozen=True, eq=False)
class Prepared:
    """An example as crops are cut from it."""

    levels: list[np.ndarray]
    labels: np.ndarray
    mean: float
    sd: float
    typical: float


def prepare(example: Example) -> Prepared:
    """Return an example with its pyramid and the statistics that crops need."""
    pixels = example.pixels
    return Prepared(
        pyramid(pixels),
        example.labels.astype(np.uint16),
        float(pixels.mean(dtype=np.float64)),
        max(float(pixels.std(dtype=np.float64)), 1e-6),
        typical_side(np.bincount(example.labels.ravel())[1:]),
    )


def draw_crop(example: Prepared, rng: np.random.Generator, options: CropOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return a random crop: image (side, side) float32 in standard deviations, labels int32 at the maps' resolution.

    Labels are -1 outside of the image, where the crop is 0.
    """
    o = options
    zoom = _draw_zoom(example, rng, o)
    matrix = _draw_matrix(example.labels.shape, zoom, rng, o.side)
    level = int(np.clip(math.floor(-math.log2(zoom) + 1e-9), 0, len(example.levels) - 1))
    image = cv2.warpAffine(
        example.levels[level],
        _at_level(matrix, example.levels[0].shape, example.levels[level].shape),
        (o.side, o.side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=example.mean,
    ).astype(np.float32)
    n = o.side // o.stride
    half = matrix.copy()
    half[:, 2] += half[:, :2] @ np.full(2, (o.stride - 1) / 2)
    half[:, :2] *= o.stride
    labels = cv2.warpAffine(
        example.labels,
        half,
        (n, n),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNKNOWN,
    ).astype(np.int32)
    labels[labels == UNKNOWN] = -1
    image = (image - np.float32(example.mean)) * np.float32(1 / example.sd)
    outside = cv2.resize((labels < 0).astype(np.uint8), (o.side, o.side), interpolation=cv2.INTER_NEAREST) > 0
    image = change_greys(image, rng, o)
    image[outside] = 0
    return image, labels


def _draw_zoom(example: Prepared, rng: np.random.Generator, o: CropOptions) -> float:
    low, high = np.log(o.zoom)
    if rng.random() >= o.normalised or not example.typical > 0:
        return math.exp(rng.uniform(low, high))
    wanted = np.clip(math.log(o.typical / example.typical), math.log(0.2), math.log(1.4))
    return math.exp(wanted + rng.uniform(-1, 1) * math.log(o.spread))


def _draw_matrix(shape: tuple[int, int], zoom: float, rng: np.random.Generator, side: int) -> np.ndarray:
    """Return the (2, 3) matrix from pixels (column, row) of the crop to those of the image."""
    stretch = math.exp(rng.normal(0, 0.08))
    angle = math.pi / 2 * rng.integers(4)
    if rng.random() < 0.3:
        angle += rng.uniform(-0.5, 0.5)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([(-1.0) ** rng.integers(2), 1.0])
    linear = turn @ np.diag([stretch / zoom, 1 / (stretch * zoom)])
    reach = side / zoom
    centre = []
    for length in (shape[1], shape[0]):
        # A crop that fits lies inside by at least seven eighths; one that does not, about the middle.
        slack = max(length - 0.75 * reach, 0.25 * reach) / 2
        centre.append((length - 1) / 2 + rng.uniform(-slack, slack))
    shift = np.array(centre) - linear @ np.full(2, (side - 1) / 2)
    return np.column_stack([linear, shift])


def _at_level(matrix: np.ndarray, whole: tuple[int, ...], level: tuple[int, ...]) -> np.ndarray:
    """Return the matrix onto a level of the pyramid of another shape: pixel centres move as (x + .5) factor - .5."""
    factor = np.array([level[1] / whole[1], level[0] / whole[0]])  # column first, as in the matrix
    out = matrix * factor[:, None]
    out[:, 2] += 0.5 * factor - 0.5
    return out


def change_greys(image: np.ndarray, rng: np.random.Generator, o: CropOptions) -> np.ndarray:
    """Return a crop with other contrast, gamma, sign, shading, blur and noise, in standard deviations as it came."""
    image = np.clip(image, -5, 5)
    if rng.random() < 0.5:
        image = greys.bend(image, rng)
    if rng.random() < o.shade:
        image = greys.shade(image, rng)
    if rng.random() < o.text:
        image = greys.burn_letters(image, rng)
    if rng.random() < o.invert:
        image = -image
    image = greys.contrast(image, rng)
    if rng.random() < o.blur:
        image = greys.soften(image, rng)
    if rng.random() < o.noise:
        image = greys.roughen(image, rng)
    return image


class Crops:
    """Crops by number: the same number gives the same crop, so that a run can stop and go on anywhere.

    Parameters
    ----------
    real, made : sequence of Example
        Labelled images, and synthetic scenes.
    share : float
        Share of the crops from synthetic scenes, after the first `warm` crops, of which half are.
    warm : int
        Crops of pre-training.
    seed : int
    """

    def __init__(
        self,
        real: Sequence[Example],
        made: Sequence[Example] = (),
        *,
        share: float = 0.0,
        warm: int = 0,
        seed: int = 0,
        options: CropOptions | None = None,
    ) -> None:
        self.real, self.made = [prepare(e) for e in real], [prepare(e) for e in made]
        self.share, self.warm, self.seed = share, warm, seed
        self.options = options or CropOptions()

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
        """Return image, labels, and the generator of crop `number` for what comes after."""
        rng = np.random.default_rng([self.seed, number])
        share = 0.5 if number < self.warm else self.share
        source = self.made if self.made and rng.random() < share else self.real
        image, labels = draw_crop(source[int(rng.integers(len(source)))], rng, self.options)
        return image, labels, rng
