"""Label images from files: the numbers as stored, never colours or brightness."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues
from segmetry.io.formats import Format
from segmetry.io.places import find_place
from segmetry.io.read import decode, file_calibration, known_values, plain_numbers, three_axes
from segmetry.io.stored import Lazy, Stored
from segmetry.types import Calibration


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a label file holds.

    Parameters
    ----------
    values : (M, N) or (P, M, N) array
        Whole numbers; or float scores, where they were asked for.
    calibration : Calibration
        Pixel size, unknown where the file gives none.
    axes : str
        ``"YX"``, or ``"ZYX"``, ``"TYX"``, ``"EYX"`` for a stack.
    axis_values : mapping of str to AxisValues
        What the steps of an axis without a length are, where the file says.
    """

    values: np.ndarray
    calibration: Calibration
    axes: str = "YX"
    axis_values: Mapping[str, AxisValues] = field(default_factory=dict)


def read_labels(path: str | os.PathLike[str], *, scores: bool = False) -> LabelFile:
    """Return the labels in a file: PNG, TIFF, ``.npy``, a folder of slices; with ``formats`` also NIfTI, HDF5...

    A picture with a colour table gives its indices; colour whose three samples are equal gives one of them. Floats that
    are whole numbers become integers.

    Parameters
    ----------
    path : path
    scores : bool
        Whether fractions are allowed: the file then holds a score or a probability per pixel.

    Raises
    ------
    ReadError
        If the file cannot be read, or holds colours, fractions or values that are not finite.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> np.save(path, np.array([[0.0, 7.0], [70000.0, 7.0]]))
    >>> read_labels(path).values
    array([[    0,     7],
           [70000,     7]], dtype=int32)
    """
    return decode(find_place(path), None, lambda kind, stored: _labels(kind, stored, scores))


def _labels(kind: Format, stored: Stored, scores: bool) -> LabelFile:
    values, axes = stored.pixels, stored.axes
    if stored.numbers is not None:
        numbers = stored.numbers
        values, axes = numbers.whole() if isinstance(numbers, Lazy) else numbers, axes.replace("S", "")
    if kind.name in ("JPEG", "video"):
        raise ReadError(f"{kind.name} does not keep numbers as they are; save labels as PNG, TIFF or NPY.")
    values, axes = _one_sample(plain_numbers(values), axes)
    values, axes, _ = three_axes(values, axes)
    calibration, _ = file_calibration(stored.scale, axes, None)
    if values.dtype.kind == "f":
        values = _whole(values, scores)
    return LabelFile(np.ascontiguousarray(values), calibration, axes, known_values(stored, axes, values.shape)[0])


def _one_sample(values: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    if "S" not in axes:
        return values, axes
    values, axes = np.moveaxis(values, axes.index("S"), -1), axes.replace("S", "")
    n_colours = 1 if values.shape[-1] < 3 else 3
    first = values[..., 0]
    if any(not np.array_equal(first, values[..., k]) for k in range(1, n_colours)):
        raise ReadError(
            "it holds colours, not label numbers; save the numbers as grey or indexed PNG, 16-bit TIFF or NPY."
        )
    return first, axes


def _whole(values: np.ndarray, scores: bool) -> np.ndarray:
    n_odd = int(np.count_nonzero(~np.isfinite(values)))
    if n_odd:
        raise ReadError(f"{n_odd} of its {values.size} values are not finite; labels are whole numbers.")
    if not (values == np.rint(values)).all():
        if scores:
            return values
        raise ReadError(
            "it holds fractions, not labels; save label numbers, or threshold it first "
            "(a probability can be judged with --kind semantic)."
        )
    if values.size and max(abs(values.min()), abs(values.max())) > np.iinfo(np.int32).max:
        raise ReadError(f"its values reach {values.max():g}; labels go up to {np.iinfo(np.int32).max}.")
    return values.astype(np.int32)
