"""NumPy's ``.npy``: one array, never a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from segmetry.errors import ReadError
from segmetry.io.stored import Stored, check_claim, check_memory, pick_plane


def read_npy(path: Path, page: int | None, *, mapped: bool = False) -> Stored:
    """Return the array of an ``.npy`` file; `mapped` leaves it there.

    A last axis of 3 or 4 after two longer ones is colour if the array is 8-bit; else three axes are a volume. Arrays
    with more axes need a `page`.

    Raises
    ------
    ReadError
        If the header is damaged, the file is shorter than it says, or it holds Python objects.
    """
    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ReadError(f"version {version} of the .npy format is not known.")
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(file)
        start = file.tell()
        if dtype.hasobject:
            raise ReadError("it holds Python objects, which could run code; save a plain array of numbers instead.")
        if dtype.kind not in "biufc":
            raise ReadError(f"it holds {dtype}, not plain numbers; save one array of numbers.")
        if len(shape) < 2:
            raise ReadError(f"its array has the shape {shape}; an image needs at least rows and columns.")
        size = path.stat().st_size
        check_claim(shape, dtype.itemsize, size, compressed=False)
        count = int(np.prod(shape, dtype=object))
        if start + count * dtype.itemsize > size:
            raise ReadError(
                f"it is cut off: shape {shape} needs {count * dtype.itemsize} bytes, {size - start} are there."
            )
        if not mapped:
            check_memory(shape, dtype.itemsize)
        array = np.memmap(file, dtype, "r", start, (count,)) if mapped else np.fromfile(file, dtype=dtype, count=count)
    array = array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
    if len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4 and array.dtype == np.uint8:
        axes = "YXS"
    else:
        axes = ("JKLMNOPQ" + "IYX")[-len(shape) :]
    if len(axes) != len(shape):
        raise ReadError(f"its array has {len(shape)} axes; save the two or three that are the image.")
    return Stored(*pick_plane(array, axes, page))
