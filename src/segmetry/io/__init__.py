"""The only place that opens files: one door for images, and the files that results are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segmetry.io.atomic import atomic
from segmetry.io.axes import AxisValues, axis_values
from segmetry.io.coco import write_coco
from segmetry.io.facts import describe
from segmetry.io.geojson import write_geojson
from segmetry.io.labels import LabelFile, read_labels
from segmetry.io.ome_tiff import write_image, write_labels, write_maps
from segmetry.io.outlines import outlines
from segmetry.io.read import read  # now, not on first use: the module of the same name must not hide it
from segmetry.io.rois import write_rois
from segmetry.io.stream import Stack, open_stack
from segmetry.io.tables import read_table, write_table
from segmetry.later import later

_LATER = {
    "calibrate": "calibration",
    "Annotations": "scalebar",
    "ScaleBar": "scalebar",
    "Text": "scalebar",
    "find_annotations": "scalebar",
}
"""Public name -> module that holds it, loaded on first use: these need the image libraries."""

__all__ = [
    "Annotations",
    "AxisValues",
    "LabelFile",
    "ScaleBar",
    "Stack",
    "Text",
    "atomic",
    "axis_values",
    "calibrate",
    "describe",
    "find_annotations",
    "open_stack",
    "outlines",
    "read",
    "read_labels",
    "read_table",
    "write_coco",
    "write_geojson",
    "write_image",
    "write_labels",
    "write_maps",
    "write_rois",
    "write_table",
]

if TYPE_CHECKING:
    from segmetry.io.calibration import calibrate
    from segmetry.io.scalebar import Annotations, ScaleBar, Text, find_annotations

__getattr__ = later(__name__, _LATER)
