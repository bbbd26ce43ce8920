"""The formats for other programs that a result can be written in besides its own files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segmetry.io.coco import write_coco
from segmetry.io.geojson import write_geojson
from segmetry.io.rois import write_rois
from segmetry.io.tables import write_table
from segmetry.types import Segmentation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Export:
    """A format: its name as an option, the file it makes, and how: `write(path, labels, table, image_name)`."""

    name: str
    file: str
    write: Callable[[Path, Segmentation, pd.DataFrame, str], None]


EXPORTS = {
    e.name: e
    for e in (
        Export("rois", "rois.zip", lambda path, labels, table, name: write_rois(path, labels)),
        Export("coco", "coco.json", lambda path, labels, table, name: write_coco(path, labels, image_name=name)),
        Export(
            "geojson", "outlines.geojson", lambda path, labels, table, name: write_geojson(path, labels, table=table)
        ),
        Export("parquet", "regions.parquet", lambda path, labels, table, name: write_table(path, table)),
    )
}
"""Every format, by name."""
