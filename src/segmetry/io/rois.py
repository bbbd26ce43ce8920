"""Regions for ImageJ and Fiji: a zip of ``.roi`` files, as the ROI Manager saves and opens it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import LabelError
from segmetry.io.atomic import atomic
from segmetry.io.outlines import Outline, outlines
from segmetry.types import Segmentation

_LONG = 32767
"""Corners beyond it do not fit ImageJ's 16-bit coordinates; they go as 32-bit floats."""

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_rois(path: str | Path, labels: Segmentation | np.ndarray) -> None:
    """Write the outline of every object as a zip of ImageJ ROIs, named by label.

    Outlines run along pixel edges, so ImageJ counts the very pixels of the object. An object with holes or in several
    parts is one composite ROI. The same labels give the same bytes.

    Parameters
    ----------
    path : path
        ``.zip``.
    labels : Segmentation or (M, N) or (P, M, N) array of int
        A volume gives one ROI for each object and plane, with its position in the stack.

    Raises
    ------
    LabelError
        If the labels are no array of whole numbers with two or three axes.
    WriteError
        If the file cannot be written.
    """
    array = labels.labels if isinstance(labels, Segmentation) else np.asarray(labels)
    if array.ndim not in (2, 3):
        raise LabelError(f"ROIs need labels with 2 or 3 axes, got shape {array.shape}.")
    planes = array[None] if array.ndim == 2 else array
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for plane, one in enumerate(planes):
            for outline in outlines(one):
                name = f"{outline.label:05d}" if array.ndim == 2 else f"{outline.label:05d}-z{plane + 1:04d}"
                entry = zipfile.ZipInfo(f"{name}.roi", _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                roi = _roi(outline, name, position=0 if array.ndim == 2 else plane + 1)
                archive.writestr(entry, roi.tobytes())


def _roi(outline: Outline, name: str, position: int) -> Any:
    """Return the ROI of one object: a polygon where it is one ring within 16 bits, else a composite of paths."""
    import roifile

    shell, holes = outline.parts[0]
    if len(outline.parts) == 1 and not holes and shell.max() <= _LONG:
        roi = roifile.ImagejRoi.frompoints(shell[:, ::-1], name=name)
        roi.roitype = roifile.ROI_TYPE.TRACED
    else:
        roi = roifile.ImagejRoi()
        roi.name = name
        roi.roitype = roifile.ROI_TYPE.RECT
        path: list[float] = []
        for ring in (r for part in outline.parts for r in (part[0], *part[1])):
            for k, (row, col) in enumerate(ring.tolist()):
                path += (_MOVE if k == 0 else _LINE, col, row)
            path.append(_CLOSE)
        roi.multi_coordinates = np.array(path, np.float32)
        roi.shape_roi_size = len(path)
    corners = np.concatenate([part[0] for part in outline.parts])
    (roi.top, roi.left), (roi.bottom, roi.right) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi.position = position
    return roi
