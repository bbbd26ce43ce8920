"""The words that every part of segmetry shares: small frozen records, checked once when they are built."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from segmetry.errors import CalibrationError, ImageError, LabelError, ShapeMismatchError
from segmetry.units import PIXEL, convert, normalise_unit, parse_length

SPATIAL_AXES = "ZYX"
"""Letters of `Image.axes` that are lengths."""

CalibrationSource = Literal["metadata", "scale bar", "user", "none"]
Kind = Literal["semantic", "instance"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one pixel measures. Unknown is said, never 1.0.

    Parameters
    ----------
    spacing : tuple of float
        Length of a pixel along each spatial axis, in array order (plane, row, column).
    unit : str
        Unit of `spacing`; ``"px"`` means that the image was never calibrated, and then `spacing` is all ones.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size (0.01 is one per cent); common to all axes.
    source : {"metadata", "scale bar", "user", "none"}
        Where the pixel size came from.
    detail : str
        The exact place: a tag, a scale bar's text.

    Raises
    ------
    CalibrationError
        If a length is not positive and finite, or the unit is not a length.
    """

    spacing: tuple[float, ...]
    unit: str = PIXEL
    rel_uncertainty: float = 0.0
    source: CalibrationSource = "none"
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        object.__setattr__(self, "unit", normalise_unit(self.unit))
        if not self.spacing or not all(0 < s < math.inf for s in self.spacing):
            raise CalibrationError(
                f"pixel size must be positive and finite, got {self.spacing} {self.unit}; "
                "read it from the scale bar, or leave it unknown to measure in pixels."
            )
        if not (0 <= self.rel_uncertainty < math.inf):
            raise CalibrationError(f"the uncertainty of the pixel size must be >= 0, got {self.rel_uncertainty}.")
        if self.unit == PIXEL and any(s != 1 for s in self.spacing):
            raise CalibrationError(f"a pixel size in pixels can only be 1, got {self.spacing}; name a unit of length.")

    @classmethod
    def unknown(cls, ndim: int = 2) -> Calibration:
        """Return the calibration of an image that has none: one pixel is one pixel."""
        return cls((1.0,) * ndim)

    @classmethod
    def from_text(cls, text: str, ndim: int | None = None, *, rel_uncertainty: float = 0.0) -> Calibration:
        """Return a user's calibration from text.

        Parameters
        ----------
        text : str
            One length for all axes, ``"0.52 nm"``, or one for each in array order: ``"0.5 nm, 0.6 nm"`` or
            ``"0.5 x 0.6 nm"`` (rows, columns), ``"20 nm, 5 nm, 5 nm"`` (planes first). What follows ``±`` (or ``+-``,
            ``+/-``) is the standard uncertainty, in the same unit: ``"0.52 ± 0.01 nm"``; of several the relatively
            largest counts for all axes.
        ndim : int, optional
            Number of axes; as many as `text` names unless told, two where it names one.
        rel_uncertainty : float
            Relative standard uncertainty where the text has none.

        Raises
        ------
        CalibrationError
            If a part is not a positive length, or the number of lengths is neither one nor `ndim`.

        Examples
        --------
        >>> Calibration.from_text("500 pm, 0.6 nm").spacing, Calibration.from_text("2 x 0.5 x 0.5 nm").spacing
        ((500.0, 600.0), (2.0, 0.5, 0.5))
        """
        parts = [_length_with_doubt(part) for part in _one_by_one(text)]
        ndim = ndim or max(len(parts), 2)
        if len(parts) not in (1, ndim) or len(parts) > len(SPATIAL_AXES):
            raise CalibrationError(
                f"pixel size {text!r} has {len(parts)} lengths, the image {ndim} axes of length; give one for all, or "
                "one for each: rows, columns (planes of a volume before them)."
            )
        unit = parts[0][1]
        spacing = tuple(convert(length, own, unit) for length, own, _ in parts) * (ndim if len(parts) == 1 else 1)
        doubts = [doubt for _, _, doubt in parts if doubt is not None]
        return cls(spacing, unit, max(doubts, default=rel_uncertainty), "user", f"given as {text.strip()}")

    @property
    def known(self) -> bool:
        """Whether a pixel has a length."""
        return self.unit != PIXEL

    @property
    def pixel_size(self) -> float:
        """Geometric mean of the spacing: the side of a square (cubic) pixel of equal area (volume)."""
        return math.prod(self.spacing) ** (1 / len(self.spacing))


def _one_by_one(text: str) -> list[str]:
    """Return each of several lengths; one without a unit has that of the last.

    A comma behind a unit parts two lengths; one behind a digit is a decimal comma.
    """
    parts = re.split(r"(?<=[^\d\s.,])\s*,|(?<=[\d\s])[x×*](?=[\s\d.])", text)
    unit = re.search(r"[^\d\s.,]*$", parts[-1].strip())
    if len(parts) == 1 or not unit:
        return parts
    return [f"{part} {unit[0]}" if re.fullmatch(r"[-+±/\d.,eE\s]+", part) else part for part in parts]


def _length_with_doubt(text: str) -> tuple[float, str, float | None]:
    """Return a length, its unit, and its relative standard uncertainty where it has one: ``"0.52 ± 0.01 nm"``."""
    parts = re.fullmatch(r"(.+?)(?:±|\+/?-)\s*([\d.,eE+-]+)\s*([^\d\s].*)", text.strip())
    if not parts:
        return *parse_length(text), None
    number, doubt, unit = parts.groups()
    value, unit = parse_length(f"{number} {unit}")
    return value, unit, parse_length(f"{doubt} {unit}")[0] / value


@dataclass(frozen=True, slots=True)
class Source:
    """Where pixels came from: a file, its hash (SHA-256, hexadecimal) and its page."""

    path: Path
    sha256: str
    page: int = 0


Frame = tuple[tuple[int, int], ...]
"""First index, and one after the last, along each axis."""


def frame_of(ignore: np.ndarray | None, shape: tuple[int, ...]) -> Frame:
    """Return the box that holds all pixels that are not ignored: the image without its footer.

    Examples
    --------
    >>> footer = np.zeros((10, 8), bool)
    >>> footer[7:] = True
    >>> frame_of(footer, (10, 8))
    ((0, 7), (0, 8))
    """
    if ignore is None or not ignore.any() or ignore.all():
        return tuple((0, n) for n in shape)
    box = []
    for axis in range(ignore.ndim):
        seen = np.flatnonzero(~ignore.all(axis=tuple(a for a in range(ignore.ndim) if a != axis)))
        box.append((int(seen[0]), int(seen[-1]) + 1))
    return tuple(box)


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels with meaning.

    Parameters
    ----------
    pixels : array
        Raw intensities; their order is `axes`. Never rescaled on reading.
    axes : str
        One letter per dimension: ``"YX"``, ``"ZYX"``, ``"TYX"``, ``"EYX"`` (energy or time of flight), ``"YXC"``.
    calibration : Calibration
        One length for each letter of `axes` that is in ``"ZYX"``.
    name : str
        Short name for tables and folders.
    source : Source or None
        The file it was read from.
    notes : tuple of str
        What a reader did that the user should know ("colour was turned into luminance").
    metadata : mapping
        What else the file said: acceleration voltage, detector, date.
    ignore : bool array or None
        True where pixels are not specimen: burned-in text, scale bar, footer. Shape of the spatial axes.
    channels : (C, ...) array or None
        All channels, of which `pixels` is the first: what is shown and measured. None where `pixels` is all there is.
    """

    pixels: np.ndarray
    axes: str = ""
    calibration: Calibration = None  # type: ignore[assignment]  # filled in __post_init__
    name: str = "image"
    source: Source | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    ignore: np.ndarray | None = None
    channels: Any = None

    def __post_init__(self) -> None:
        if not self.axes:
            default = {2: "YX", 3: "ZYX"}.get(self.pixels.ndim)
            if default is None:
                raise ImageError(f"{self.name}: an array of shape {self.pixels.shape} needs its axes named, e.g. 'YX'.")
            object.__setattr__(self, "axes", default)
        if len(self.axes) != self.pixels.ndim or len(set(self.axes)) != len(self.axes):
            raise ImageError(f"{self.name}: axes {self.axes!r} do not fit an array of shape {self.pixels.shape}.")
        if self.pixels.size == 0:
            raise ImageError(f"{self.name}: the image is empty, shape {self.pixels.shape}.")
        if np.iscomplexobj(self.pixels):
            raise ImageError(f"{self.name}: pixels are complex; take the modulus (np.abs) or the phase first.")
        n_spatial = sum(a in SPATIAL_AXES for a in self.axes)
        if self.calibration is None:
            object.__setattr__(self, "calibration", Calibration.unknown(n_spatial))
        if len(self.calibration.spacing) != n_spatial:
            raise CalibrationError(
                f"{self.name}: {len(self.calibration.spacing)} pixel lengths for the {n_spatial} axes {self.axes!r}."
            )
        if self.ignore is not None and self.ignore.shape != self.spatial_shape:
            raise ShapeMismatchError(
                f"{self.name}: the mask of ignored pixels is {self.ignore.shape}, the image {self.spatial_shape}."
            )
        if self.channels is not None and self.channels.shape[1:] != self.pixels.shape:
            raise ShapeMismatchError(
                f"{self.name}: the channels are {self.channels.shape[1:]}, the first of them {self.pixels.shape}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `pixels`."""
        return self.pixels.shape

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Number of pixels along each spatial axis."""
        return tuple(n for n, a in zip(self.pixels.shape, self.axes, strict=True) if a in SPATIAL_AXES)

    @property
    def frame(self) -> Frame:
        """Box of the pixels that are specimen, see `frame_of`."""
        return frame_of(self.ignore, self.spatial_shape)

    def replace(self, **changes: Any) -> Image:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label image and what the method knows about it.

    Parameters
    ----------
    labels : int32 array
        0 is background; instances are numbered 1..L without gaps, classes keep their numbers.
    kind : {"instance", "semantic"}
        Whether a label is an object or a class.
    method : mapping
        The record that made it, as data: ``{"method": "hybrid", "window": 65, ...}``.
    classes : tuple of str
        Names of the classes 0..K-1 of a semantic segmentation.
    info : mapping
        What the method chose: polarity, thresholds, noise; what picking dropped as a function of size.
    notes : tuple of str
        What the user should know.
    probability, uncertainty : float arrays or None
        Foreground probability, and predictive uncertainty (entropy) in nats, in the shape of `labels`.
    epistemic : float array or None
        The part of `uncertainty` that is about the model, not the image: mutual information, nats.
    scores : (L,) array or None
        Confidence per object in [0, 1]; ``scores[i]`` belongs to label ``i + 1``.
    on_edge : (L,) bool array or None
        Whether the contour of each object was placed on the edge of the grey, or stays as it was drawn.
    samples : tuple of int32 arrays
        Monte Carlo segmentations of the same image.
    """

    labels: np.ndarray
    kind: Kind = "instance"
    method: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    classes: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    notes: tuple[str, ...] = ()
    probability: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    epistemic: np.ndarray | None = None
    scores: np.ndarray | None = None
    on_edge: np.ndarray | None = None
    samples: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int32:
            raise LabelError(f"labels must be int32, got {self.labels.dtype}; use labels.astype(np.int32).")
        for name in ("probability", "uncertainty", "epistemic"):
            array = getattr(self, name)
            if array is not None and array.shape != self.labels.shape:
                raise ShapeMismatchError(f"{name} is {array.shape} but labels are {self.labels.shape}.")

    @property
    def aleatoric(self) -> np.ndarray | None:
        """The part of `uncertainty` that is in the image, not in the model, nats; None where it is not known."""
        if self.uncertainty is None or self.epistemic is None:
            return None
        return self.uncertainty - self.epistemic

    @property
    def n_regions(self) -> int:
        """Largest label: the number of objects of an instance segmentation."""
        return int(self.labels.max(initial=0))


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A number that can be defended.

    Parameters
    ----------
    name : str
        ``"d50"``, ``"mean"``, ``"number_density"``.
    value : float
        Best value; nan where it cannot be had.
    low, high : float
        Interval for the *population* the objects were drawn from; nan where it cannot be had.
    unit : str
        Unit of value and ends: ``"nm"``, ``"µm^-2"``, ``""`` for a ratio.
    level : float
        Coverage that the interval aims at.
    method : str
        How the interval was made, in words.
    contributions : mapping of str to float
        Share of the interval's variance by cause (counting, segmentation, calibration); sums to 1 where known.
    this_image : Interval or None
        Narrower interval for *this image's own* objects (segmentation and pixel size only, no counting).
    n : int
        Number of objects it rests on.
    note : str
        A doubt in words, or why the value is nan.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    level: float = 0.95
    method: str = ""
    contributions: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    this_image: Interval | None = None
    n: int = 0
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; nan becomes None."""

        def plain(x: float) -> float | None:
            return float(x) if math.isfinite(x) else None

        this_image = self.this_image and {"low": plain(self.this_image.low), "high": plain(self.this_image.high)}
        return {
            "value": plain(self.value),
            "low": plain(self.low),
            "high": plain(self.high),
            "unit": self.unit,
            "level": self.level,
            "method": self.method,
            "contributions": {k: plain(v) for k, v in self.contributions.items()},
            "this_image": this_image or None,
            "n": self.n,
            "note": self.note,
        }
