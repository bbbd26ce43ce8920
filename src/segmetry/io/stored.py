"""What a format reader hands to the door: pixels as they lie in the file, and what the file says of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from segmetry.cost import available_memory, gigabytes
from segmetry.errors import CalibrationError, ReadError
from segmetry.io.axes import AxisValues
from segmetry.units import PIXEL, normalise_unit

MAX_COMPRESSED = 2 * 2**30
"""Bytes: a compressed file that would unpack to more is refused before anything is allocated."""

MAX_PLAIN = 64 * 2**30
"""Bytes: no image may claim more, compressed or not."""

MAX_RATIO = 5000
"""A file that claims to unpack to more than this many times its size is refused (above 64 MiB). Deflate cannot exceed
1032, and a micrograph never comes near."""


@dataclass(frozen=True)
class Scale:
    """Pixel lengths as a file gives them: a length for each axis letter it speaks of.

    Parameters
    ----------
    lengths : mapping of str to float
        ``{"Y": 0.5, "X": 0.5}``; an axis that the file is silent about is absent.
    unit : str
        A unit of length.
    detail : str
        The exact place.
    rel_uncertainty : float
        Relative standard uncertainty, where the file implies one (a bar counted in whole pixels).
    """

    lengths: Mapping[str, float]
    unit: str
    detail: str
    rel_uncertainty: float = 0.0


@dataclass(frozen=True, eq=False)
class Lazy:
    """Pixels that stay in a file until a plane is asked for.

    Parameters
    ----------
    shape : tuple of int
        Leading axes, then those of a plane.
    dtype : dtype
    plane : callable
        Plane ``k``, counted along the leading axes. Any dtype that goes into `dtype`.
    file_size : int
        Bytes on the disk.
    compressed : bool
        Whether they are fewer than the pixels' own.
    n_leading : int
        How many axes are leading; all but rows and columns by default.
    mapped : callable or None
        Gives the whole array without reading it, where the file's bytes are the pixels.
    close : callable
        Lets the file go.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    plane: Callable[[int], np.ndarray]
    file_size: int
    compressed: bool = True
    n_leading: int = -1
    mapped: Callable[[], np.ndarray] | None = None
    close: Callable[[], None] = lambda: None

    @property
    def leading(self) -> tuple[int, ...]:
        """Shape of the leading axes."""
        return self.shape[: self.n_leading if self.n_leading >= 0 else len(self.shape) - 2]

    @property
    def n_planes(self) -> int:
        """Number of planes."""
        return math.prod(self.leading)

    def whole(self, *, on_disk: bool = False) -> np.ndarray:
        """Return all pixels, in memory or `on_disk`: mapped where that can be, else unpacked into a temporary file.

        Raises
        ------
        ReadError
            If the claim is absurd, or the pixels do not fit into memory.
        """
        if on_disk and self.mapped is not None:
            return self.mapped()
        check_claim(self.shape, self.dtype.itemsize, self.file_size, compressed=self.compressed)
        if on_disk:
            with tempfile.TemporaryFile() as file:
                pixels: np.ndarray = np.memmap(file, self.dtype, "w+", shape=self.shape)
        else:
            check_memory(self.shape, self.dtype.itemsize)
            pixels = np.empty(self.shape, self.dtype)
        flat = pixels.reshape((self.n_planes, *self.shape[len(self.leading) :]))
        for k in range(self.n_planes):
            flat[k] = self.plane(k)
        return pixels


@dataclass(frozen=True, eq=False)
class Stored:
    """Pixels as they lie in a file.

    Parameters
    ----------
    pixels : array or Lazy
        Any dtype.
    axes : str
        One letter per dimension: ``YX`` for the plane, ``S`` for colour samples, ``Z T E C`` where the file names them,
        ``I`` for a sequence without a name.
    scale : Scale or None
        Pixel lengths, or None where the file gives none that can be trusted.
    notes : tuple of str
        What the user should know.
    metadata : mapping
        Voltage, detector, date...
    numbers : array, Lazy or None
        Where brightness is not what is stored (a colour table, white as 0), the numbers that are: labels are these.
        Its axes are those of `pixels` without ``S``.
    axis_values : mapping of str to AxisValues
        What the steps of axes without a length mean, by letter.
    """

    pixels: Any
    axes: str
    scale: Scale | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    numbers: Any = None
    axis_values: Mapping[str, AxisValues] = field(default_factory=dict)


def library(name: str, package: str) -> Any:
    """Return a module of a library that only some kinds of file need.

    Raises
    ------
    ReadError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ReadError(f"this kind of file needs {package}: pip install segmetry[formats]") from None


def check_memory(shape: Sequence[int], itemsize: int) -> None:
    """Refuse pixels that do not fit into the memory that is free.

    Raises
    ------
    ReadError
        Which says what they need, and how to read them in blocks.
    """
    needed, free = math.prod(shape) * itemsize, available_memory() * 2**20
    if needed > free:  # never where nobody tells: nan
        raise ReadError(
            f"its {_by(shape)} values need {gigabytes(needed)} of memory, {gigabytes(free)} are free; read it plane by "
            "plane or in blocks with segmetry.io.open_stack(), or pick one plane with page=."
        )


def check_claim(shape: Sequence[int], itemsize: int, file_size: int, *, compressed: bool) -> None:
    """Refuse an image that claims to be empty or far too large, before memory is taken for it.

    Raises
    ------
    ReadError
        If a side is 0, or the decoded size is over the limits of this module.
    """
    if not shape or min(shape) < 1:
        raise ReadError(f"the image is empty: it claims {_by(shape)} pixels; save it again from the source.")
    n_bytes = math.prod(shape) * itemsize
    limit = MAX_COMPRESSED if compressed else MAX_PLAIN
    if n_bytes > limit:
        raise ReadError(
            f"it claims {_by(shape)} values, {n_bytes / 2**30:.3g} GiB unpacked, more than the limit of "
            f"{limit // 2**30} GiB; crop it, pick one page, or read it in blocks with segmetry.io.open_stack()."
        )
    if n_bytes > 2**26 and n_bytes > MAX_RATIO * file_size:
        raise ReadError(
            f"it claims {_by(shape)} values, {n_bytes / 2**20:.0f} MiB, out of a file of {file_size} bytes; "
            "it is damaged or made to exhaust memory."
        )


def pick_plane(pixels: np.ndarray, axes: str, page: int | None) -> tuple[np.ndarray, str]:
    """Return one plane (with its colour samples) of a stack, counted along the leading axes; None keeps all.

    Raises
    ------
    ReadError
        If there is no such page.
    """
    if page is None:
        return pixels, axes
    plane = [k for k, a in enumerate(axes) if a in "YXS"]
    leading = [k for k in range(len(axes)) if k not in plane]
    moved = pixels.transpose(leading + plane)
    n_pages = math.prod(moved.shape[: len(leading)])
    check_page(page, n_pages)
    flat = moved.reshape((n_pages, *moved.shape[len(leading) :]))
    return flat[page], "".join(axes[k] for k in plane)


def check_page(page: int, n_pages: int) -> None:
    """Raise a ReadError where a file has no such page."""
    if not 0 <= page < n_pages:
        pages = "one page: page=0" if n_pages == 1 else f"{n_pages} pages: page=0 to page={n_pages - 1}"
        raise ReadError(f"there is no page {page}; it has {pages}.")


def make_scale(
    lengths: Mapping[str, float | None], unit: object, detail: str, *, rel_uncertainty: float = 0.0
) -> tuple[Scale | None, tuple[str, ...]]:
    """Return a checked scale, or None and a note that says why the file's figure was not taken.

    A square pixel is assumed, with a note, where only one of ``"Y"`` and ``"X"`` is given.
    """
    try:
        name = normalise_unit(str(unit))
    except CalibrationError:
        return None, (f"{detail} gives a pixel size in {str(unit)!r}, which is no unit of length: left unknown",)
    if name == PIXEL:
        return None, ()
    given = {axis: value for axis, value in lengths.items() if value is not None}
    bad = {axis: value for axis, value in given.items() if not 0 < value < math.inf}
    if bad:
        axis, value = next(iter(bad.items()))
        return None, (f"{detail} gives a pixel size of {value} {name} along {axis}: left unknown",)
    notes: tuple[str, ...] = ()
    if "X" not in given and "Y" not in given:
        return None, ()
    for one, other in ("YX", "XY"):
        if one not in given:
            given[one] = given[other]
            notes = (f"{detail} gives the pixel size along {other} only: square pixels assumed",)
    return Scale(given, name, detail, rel_uncertainty), notes


def number(value: object) -> float | None:
    """Return a tag's value as a number, None where it is none; a rational (numerator, denominator) is divided.

    Examples
    --------
    >>> number("1.5e-9"), number((300, 1)), number("n/a"), number((1, 0))
    (1.5e-09, 300.0, None, None)
    """
    if isinstance(value, tuple | list):
        if len(value) == 2:
            top, bottom = number(value[0]), number(value[1])
            return top / bottom if top is not None and bottom else None
        return number(value[0]) if len(value) == 1 else None
    try:
        return float(str(value).strip().replace(",", "."))
    except ValueError:
        return None


def _by(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)
