"""Objects as GeoJSON in pixels, origin at the top left corner, as QuPath opens it."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.io.atomic import atomic
from segmetry.io.outlines import Ring, flat_labels, outlines
from segmetry.types import Segmentation

if TYPE_CHECKING:
    import pandas as pd


def write_geojson(
    path: str | Path,
    labels: Segmentation | np.ndarray,
    *,
    table: pd.DataFrame | None = None,
    category: str = "particle",
) -> None:
    """Write every object as a GeoJSON feature: a polygon with its holes, or a multi-polygon where it is in parts.

    Parameters
    ----------
    path : path
        ``.geojson``.
    labels : Segmentation or (M, N) array of int
        0 is background.
    table : DataFrame, optional
        Measurements, one row for each ``label``; finite numbers go along as measurements named ``"area [nm^2]"``.
    category : str
        QuPath's classification of the objects.

    Raises
    ------
    LabelError
        If the labels are no two-dimensional array of whole numbers.
    WriteError
        If the file cannot be written.
    """
    array = flat_labels(labels, "GeoJSON")
    measured = {} if table is None else _measurements(table)
    features = []
    for outline in outlines(array):
        polygons = [[_closed(shell), *map(_closed, holes)] for shell, holes in outline.parts]
        single = len(polygons) == 1
        properties: dict[str, Any] = {
            "objectType": "detection",
            "name": str(outline.label),
            "classification": {"name": category},
        }
        if outline.label in measured:
            properties["measurements"] = measured[outline.label]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"segmetry label {outline.label}")),  # QuPath wants a UUID
                "geometry": {
                    "type": "Polygon" if single else "MultiPolygon",
                    "coordinates": polygons[0] if single else polygons,
                },
                "properties": properties,
            }
        )
    data = {"type": "FeatureCollection", "features": features}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")


def _closed(ring: Ring) -> list[list[int]]:
    """Return a ring as GeoJSON wants it: x before y, the first corner again at the end."""
    corners = ring[:, ::-1].tolist()
    return [*corners, corners[0]]


def _measurements(table: pd.DataFrame) -> dict[int, dict[str, float]]:
    """Return the numbers of each row by label, named with their units."""
    units = table.attrs.get("units", {})
    columns = [c for c in table.columns if c != "label" and table[c].dtype.kind in "iuf"]
    names = [f"{c} [{units[c]}]" if units.get(c) else str(c) for c in columns]
    rows = table[columns].to_numpy(dtype=float).tolist()
    labels = table["label"].tolist()
    return {
        int(label): {name: value for name, value in zip(names, row) if math.isfinite(value)}
        for label, row in zip(labels, rows)
    }
