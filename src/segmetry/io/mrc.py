"""MRC of electron tomography, through mrcfile (the extra ``formats``).

The header is that of MRC2014 (Cheng et al. 2015, 10.1016/j.jsb.2015.04.002): voxels in Å, MAPC, MAPR and MAPS name the
axis of columns, rows and sections. Bytes (mode 0) are signed, except where IMOD says in its own fields that they are
not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.stored import Lazy, Stored, check_claim, library, make_scale, pick_plane

_HEADER = 1024
_IMOD_STAMP = 1146047817


def read_mrc(path: Path, page: int | None) -> Stored:
    """Return the image, stack or volume of an MRC file, its axes turned to planes, rows, columns.

    Raises
    ------
    ReadError
        If mrcfile is missing, the order of the axes makes no sense, or the file is cut off.
    """
    mrcfile = library("mrcfile", "mrcfile")
    with mrcfile.open(path, header_only=True) as file:
        header = file.header.copy()
    dtype = mrcfile.utils.data_dtype_from_header(header)
    shape = tuple(int(n) for n in mrcfile.utils.data_shape_from_header(header))
    with path.open("rb") as plain:
        size, compressed = path.stat().st_size, plain.read(2) == b"\x1f\x8b"
    check_claim(shape, dtype.itemsize, size, compressed=compressed)
    notes: list[str] = []
    raw = header.tobytes()
    order = "<" if header.mode.dtype.byteorder in "<=|" else ">"
    stamp, flags = np.frombuffer(raw, order + "i4", 2, 152)
    if dtype == np.int8 and stamp == _IMOD_STAMP and not flags & 1:
        dtype = np.dtype(np.uint8)
        notes.append("IMOD says that its bytes are not signed")
    axes = _letters(header, len(shape))
    if compressed:
        with mrcfile.open(path) as file:
            pixels: Any = np.asarray(file.data).view(dtype)
    else:
        pixels = _lazy(path, shape, dtype, _HEADER + int(header.nsymbt), size)
    cell, n_samples = header.cella, (int(header.mx), int(header.my), int(header.mz))
    lengths = {a: float(cell[a.lower()]) / n for a, n in zip("XYZ", n_samples) if n > 0}
    scale, more = (None, ()) if not any(lengths.values()) else make_scale(lengths, "Å", "MRC cell size")
    if any(abs(float(header.cellb[name]) - 90) > 0.01 for name in ("alpha", "beta", "gamma")) and any(
        float(header.cellb[name]) for name in ("alpha", "beta", "gamma")
    ):
        notes.append("the cell's angles are not 90 degrees: its axes are taken as if they were")
    pixels, axes = _turned(pixels, axes)
    if not isinstance(pixels, Lazy):
        pixels, axes = pick_plane(pixels, axes, page)
    return Stored(pixels, axes, scale, (*notes, *more), {"mode": int(header.mode)})


def _letters(header: Any, n_axes: int) -> str:
    """Return the letters of the stored axes: sections (``I`` where the file says that they are separate images)."""
    named = [int(header.maps), int(header.mapr), int(header.mapc)]
    if named == [0, 0, 0]:
        named = [3, 2, 1]  # an old file that does not say
    if sorted(named) != [1, 2, 3]:
        raise ReadError(f"its axes (MAPC, MAPR, MAPS) are {named[::-1]}, not 1, 2 and 3 in some order; it is damaged.")
    letters = "".join("XYZ"[k - 1] for k in named)
    if int(header.ispg) == 0 and n_axes == 3 and letters == "ZYX":
        letters = "IYX"
    return ("IJK" + letters)[-n_axes:] if n_axes > 3 else letters[-n_axes:]


def _lazy(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int) -> Lazy:
    end = offset + math.prod(shape) * dtype.itemsize
    if end > size:
        raise ReadError(f"it is cut off: its pixels end at byte {end}, the file at {size}; copy it again.")
    count = math.prod(shape[-2:])

    def plane(k: int) -> np.ndarray:
        return np.fromfile(path, dtype, count, offset=offset + k * count * dtype.itemsize).reshape(shape[-2:])

    def mapped() -> np.ndarray:
        return np.memmap(path, dtype, "r", offset, shape)

    return Lazy(shape, dtype, plane, size, compressed=False, mapped=mapped)


def _turned(pixels: Any, axes: str) -> tuple[Any, str]:
    """Return pixels whose last axes are rows and columns, mapped where the file has others there."""
    if axes.endswith("YX"):
        return pixels, axes
    array = pixels.whole(on_disk=True) if isinstance(pixels, Lazy) else pixels
    leading = [k for k, a in enumerate(axes) if a not in "YX"]
    order = [*leading, axes.index("Y"), axes.index("X")]
    return array.transpose(order), "".join(axes[k] for k in order)
