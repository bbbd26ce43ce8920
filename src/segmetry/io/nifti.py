"""NIfTI-1 and -2 of medical imaging, through nibabel (the extra ``formats``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues
from segmetry.io.stored import Lazy, Stored, check_claim, library, make_scale, pick_plane

_UNITS = {"mm": "mm", "micron": "µm", "meter": "m"}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}

_SAME = 1e-3
"""Relative difference up to which the lengths of the header and of the affine are the same."""


def read_nifti(path: Path, page: int | None) -> Stored:
    """Return the volume of a NIfTI file, its axes turned round: stored x, y, z become columns, rows, planes.

    The voxels keep their order in the file. Their lengths are those of the affine (of its columns), which says where
    voxels are; a note tells where the header's own differ by more than 0.1 %, where axes are not at right angles, and
    where they lie oblique to the patient. The orientation is in the metadata: ``"RAS"`` says that columns go to the
    right, rows to the front, planes upwards.

    Raises
    ------
    ReadError
        If nibabel is missing, or the affine maps voxels onto each other.
    """
    nibabel = library("nibabel", "nibabel")
    image: Any = nibabel.load(path)
    header, size = image.header, path.stat().st_size
    n_axes = len(image.shape)
    if not 2 <= n_axes <= 6:
        raise ReadError(f"it has {n_axes} axes; save the volume alone.")
    compressed = path.name.lower().endswith(".gz")
    check_claim(image.shape, header.get_data_dtype().itemsize, size, compressed=compressed)
    axes = "CITZYX"[-n_axes:]
    if compressed:  # each plane would mean to unpack all before it
        pixels: Any
        pixels, axes = pick_plane(np.asarray(image.dataobj).T, axes, page)
    else:
        pixels = _lazy(image, size)
    affine = np.asarray(image.affine, np.float64)
    lengths, notes = _lengths(affine, [float(z) for z in header.get_zooms()[:3]])
    unit, time_unit = header.get_xyzt_units()
    scale, more = make_scale(lengths, _UNITS[unit], "NIfTI affine") if unit in _UNITS else (None, ())
    if scale is None and not more:
        more = ("the NIfTI header names no unit of length: the voxel size is left unknown",)
    values = {}
    if n_axes > 3 and time_unit in _SECONDS and float(header.get_zooms()[3]) > 0:
        step, start = (float(t) * _SECONDS[time_unit] for t in (header.get_zooms()[3], header["toffset"]))
        values["T"] = AxisValues(tuple((start + step * np.arange(image.shape[3])).tolist()), "s", "time")
    metadata = {"orientation": "".join(str(code) for code in nibabel.aff2axcodes(affine))}
    return Stored(pixels, axes, scale, (*notes, *more), metadata, axis_values=values)


def _lengths(affine: np.ndarray, zooms: list[float]) -> tuple[dict[str, float | None], list[str]]:
    """Return the lengths of the affine's columns, and notes on what is odd.

    Raises
    ------
    ReadError
        If it is singular or not finite.
    """
    turn = affine[:3, :3]
    found = np.linalg.norm(turn, axis=0)
    finite = bool(np.isfinite(turn).all())
    cosines = turn / np.where(found > 0, found, 1)
    if not finite or abs(float(np.linalg.det(cosines))) < 1e-6:
        raise ReadError(
            "its affine is singular: voxels along one axis fall onto each other, so they have no volume; write a right "
            "affine (sform or qform) with the tool that made the file."
        )
    notes = []
    off = [abs(a - z) > _SAME * a for a, z in zip(found, zooms)]
    if any(off):
        header, said = (" x ".join(f"{v:.6g}" for v in part) for part in (zooms, found[: len(zooms)]))
        notes.append(f"the header gives voxels of {header}, its affine of {said}: those of the affine are taken")
    angles = np.abs(cosines.T @ cosines - np.eye(3))
    if angles.max() > 1e-3:
        notes.append(
            f"its axes are up to {np.degrees(np.arcsin(min(angles.max(), 1.0))):.2g} degrees off right angles: volumes "
            "by length x width x height are too large"
        )
    tilt = float(np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0), 0, 1))).max())
    if tilt > 0.5:
        notes.append(f"its axes lie oblique to the patient, by up to {tilt:.3g} degrees; planes are those of the file")
    return dict(zip("XYZ", (float(v) for v in found))), notes


def _lazy(image: Any, size: int) -> Lazy:
    data = image.dataobj
    shape = tuple(int(n) for n in image.shape[::-1])
    dtype = np.asarray(data[(slice(0, 1),) * len(shape)]).dtype
    raw = (data.slope, data.inter) == (1, 0)

    def plane(k: int) -> np.ndarray:
        index = [int(i) for i in np.unravel_index(k, shape[:-2])][::-1]
        return np.asarray(data[(slice(None), slice(None), *index)]).T

    def mapped() -> np.ndarray:
        return np.asanyarray(data).T

    return Lazy(shape, dtype, plane, size, compressed=False, mapped=mapped if raw else None)
