"""NIfTI-1 and -2 of medical imaging, through nibabel (the extra ``formats``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.stored import Stored, check_claim, make_scale, pick_plane

_UNITS = {"mm": "mm", "micron": "µm", "meter": "m"}


def read_nifti(path: Path, page: int | None) -> Stored:
    """Return the volume of a NIfTI file, its axes turned round: stored x, y, z become columns, rows, planes.

    The voxels keep their order in the file; the affine's orientation is in the metadata, its voxel lengths are the
    pixel size.

    Raises
    ------
    ReadError
        If nibabel is missing.
    """
    try:
        import nibabel
    except ImportError:
        raise ReadError("this kind of file needs nibabel: pip install segmetry[formats]") from None
    image: Any = nibabel.load(path)
    header = image.header
    compressed = path.name.lower().endswith(".gz")
    check_claim(image.shape, header.get_data_dtype().itemsize, path.stat().st_size, compressed=compressed)
    pixels = np.asarray(image.dataobj).T
    axes = "CITZYX"[-pixels.ndim :] if pixels.ndim <= 6 else ""
    if len(axes) != pixels.ndim or pixels.ndim < 2:
        raise ReadError(f"it has {pixels.ndim} axes; save the volume alone.")
    unit = header.get_xyzt_units()[0]
    lengths = {letter: float(length) for letter, length in zip("XYZ", header.get_zooms())}
    scale, notes = make_scale(lengths, _UNITS[unit], "NIfTI voxel size") if unit in _UNITS else (None, ())
    if scale is None and not notes:
        notes = ("the NIfTI header names no unit of length: the voxel size is left unknown",)
    orientation = "".join(str(code) for code in nibabel.aff2axcodes(image.affine))
    pixels, axes = pick_plane(pixels, axes, page)
    return Stored(pixels, axes, scale, notes, {"orientation": orientation})
