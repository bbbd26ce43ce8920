"""Stacks larger than memory: planes and blocks of planes, one after the other."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from segmetry.errors import OptionError, ReadError
from segmetry.io.axes import KEY
from segmetry.io.formats import Format
from segmetry.io.places import find_place
from segmetry.io.read import decode, file_calibration, grey, known_values, name_of, one_line, plain_numbers, three_axes
from segmetry.io.stored import Lazy, Stored
from segmetry.types import Calibration


@dataclass(frozen=True, eq=False)
class Stack:
    """A stack in a file or folder; a plane is read when it is asked for. Close it, or use it in a ``with``.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows, columns (P, M, N).
    dtype : dtype
        Of every plane.
    axes : str
        ``"ZYX"``, ``"TYX"`` or ``"EYX"``.
    calibration : Calibration
        As of the `Image` that `segmetry.read` would give.
    name : str
    notes : tuple of str
    metadata : mapping
        With ``"axis_values"``, where the file has them.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    axes: str
    calibration: Calibration
    name: str
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    _read: Callable[[int], np.ndarray] = field(repr=False, kw_only=True)
    _close: Callable[[], None] = field(repr=False, kw_only=True)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.plane, range(len(self)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def n_bytes(self) -> int:
        """What all planes together take in memory."""
        return self.shape[0] * self.shape[1] * self.shape[2] * self.dtype.itemsize

    def plane(self, k: int) -> np.ndarray:
        """Return plane ``k`` (M, N), in memory.

        Raises
        ------
        ReadError
            If there is no such plane, or it cannot be read.
        """
        if not 0 <= k < len(self):
            raise ReadError(f"{self.name}: there is no plane {k}; it has {len(self)}, from 0.")
        return self._read(k)

    def blocks(self, n_planes: int, *, overlap: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Return blocks of planes: the number of the first, and the planes (<= `n_planes`, M, N).

        Parameters
        ----------
        n_planes : int
            Planes in a block; the last may have fewer.
        overlap : int
            How many planes a block shares with the one before.

        Raises
        ------
        OptionError
            If `n_planes` is not larger than `overlap`, or that is negative.
        """
        if not 0 <= overlap < n_planes:
            raise OptionError(f"blocks: {n_planes} planes with an overlap of {overlap}; take 0 <= overlap < n_planes.")
        return self._blocks(n_planes, overlap)

    def _blocks(self, n_planes: int, overlap: int) -> Iterator[tuple[int, np.ndarray]]:
        first, shared = 0, np.empty((0, *self.shape[1:]), self.dtype)
        while True:
            end = min(first + n_planes, len(self))
            block = np.empty((end - first, *self.shape[1:]), self.dtype)
            block[: len(shared)] = shared
            for k in range(first + len(shared), end):
                block[k - first] = self.plane(k)
            yield first, block
            if end == len(self):
                return
            shared = block[len(block) - overlap :]
            first = end - overlap

    def close(self) -> None:
        """Let the file go."""
        self._close()


def open_stack(path: str | os.PathLike[str], *, pixel_size: str | Calibration | None = None, axes: str = "") -> Stack:
    """Return the stack in a file or folder, to be read plane by plane.

    Where the pixels lie in the file as they are (``.npy``, TIFF, FITS, NIfTI, MRC, HDF5 that are not compressed), and
    for HDF5, folders and video, one plane is in memory at a time. A compressed TIFF is unpacked into a temporary file.

    Parameters
    ----------
    path : path
        As `segmetry.read` takes it: ``"scan.h5::/exchange/data"``, a folder of slices.
    pixel_size, axes
        As of `segmetry.read`.

    Raises
    ------
    ReadError
        As `segmetry.read` does, and if it is a single image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> np.save(path, np.arange(24).reshape(4, 2, 3))
    >>> with open_stack(path) as stack:
    ...     [int(plane.sum()) for plane in stack]
    ...     [(first, block.shape) for first, block in stack.blocks(3, overlap=1)]
    [15, 51, 87, 123]
    [(0, (3, 2, 3)), (2, (2, 2, 3))]
    """
    place = find_place(path)
    place = place._replace(axes=axes or place.axes)

    def stack(kind: Format, stored: Stored) -> Stack:
        lazy = _lazy(stored)
        plane_axes = "".join(a for a in stored.axes if a in "YX") + "S" * ("S" in stored.axes)
        leading = "".join(a for a in stored.axes if a not in "YXS")
        rows, columns = (n for n, a in zip(lazy.shape[len(leading) :], plane_axes) if a != "S")
        outline = np.broadcast_to(np.zeros((), bool), (*lazy.leading, rows, columns))
        outline, letters, notes = three_axes(outline, leading + "YX")
        shape = outline.shape
        if len(letters) == 2:
            lazy.close()
            raise ReadError("it is a single image, not a stack; use segmetry.read().")
        known, more = known_values(stored, letters, shape)
        calibration, said = file_calibration(stored.scale, letters, pixel_size)

        def read(k: int) -> np.ndarray:
            with one_line(place, kind):
                pixels, _, _ = grey(plain_numbers(lazy.plane(k)), plane_axes)
                return np.ascontiguousarray(pixels)

        return Stack(
            shape,
            plain_numbers(np.empty(0, lazy.dtype)).dtype,
            letters,
            calibration,
            name_of(path),
            (*stored.notes, *notes, *more, *said),
            {"format": kind.name, **stored.metadata}
            | ({KEY: {letter: v.as_dict() for letter, v in known.items()}} if known else {}),
            _read=read,
            _close=lazy.close,
        )

    return decode(place, None, stack, mapped=True, lazy=True)


def _lazy(stored: Stored) -> Lazy:
    """Return pixels plane by plane; those of an array on the disk leave the memory again."""
    if isinstance(stored.pixels, Lazy):
        return stored.pixels
    array = stored.pixels
    leading = [k for k, a in enumerate(stored.axes) if a not in "YXS"]
    plane = [k for k, a in enumerate(stored.axes) if a in "YXS"]
    turned = array.transpose(leading + plane)
    shape = turned.shape[: len(leading)]

    def one(k: int) -> np.ndarray:
        pixels = np.array(turned[tuple(int(i) for i in np.unravel_index(k, shape))])
        _forget(array)
        return pixels

    return Lazy(turned.shape, array.dtype, one, array.nbytes, n_leading=len(leading))


def _forget(array: np.ndarray) -> None:
    """Let the pages of a mapped file go, which else count as held until the system needs them."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
