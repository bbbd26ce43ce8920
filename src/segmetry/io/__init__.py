"""The only place that opens files: one door for images, and the files that results are written to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from segmetry.io.atomic import atomic
from segmetry.io.coco import write_coco
from segmetry.io.facts import describe
from segmetry.io.geojson import write_geojson
from segmetry.io.labels import LabelFile, read_labels
from segmetry.io.ome_tiff import write_image, write_labels
from segmetry.io.outlines import outlines
from segmetry.io.read import read  # now, not on first use: the module of the same name must not hide it
from segmetry.io.rois import write_rois
from segmetry.io.tables import read_table, write_table

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
    "LabelFile",
    "ScaleBar",
    "Text",
    "atomic",
    "calibrate",
    "describe",
    "find_annotations",
    "outlines",
    "read",
    "read_labels",
    "read_table",
    "write_coco",
    "write_geojson",
    "write_image",
    "write_labels",
    "write_rois",
    "write_table",
]

if TYPE_CHECKING:
    from segmetry.io.calibration import calibrate
    from segmetry.io.scalebar import Annotations, ScaleBar, Text, find_annotations


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(import_module(f"segmetry.io.{_LATER[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'segmetry.io' has no attribute {name!r}")
