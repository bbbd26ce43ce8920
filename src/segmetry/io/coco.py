"""Instances as COCO JSON, the common tongue of detection networks and annotation programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.io.atomic import atomic
from segmetry.io.outlines import Outline, flat_labels, outlines
from segmetry.types import Segmentation


def write_coco(
    path: str | Path,
    labels: Segmentation | np.ndarray,
    *,
    image_name: str = "image.tif",
    category: str = "particle",
) -> None:
    """Write a label image as COCO JSON: one annotation for each object, also where it is in parts.

    An object is a list of polygons along its pixel edges; one with holes is a run-length mask, because COCO's polygons
    have none. ``area`` is its number of pixels, ``bbox`` is ``[x, y, width, height]`` in pixels, ``id`` its label.

    Parameters
    ----------
    path : path
        ``.json``.
    labels : Segmentation or (M, N) array of int
        0 is background. Scores of a segmentation are written where it has them.
    image_name : str
        File name of the image.
    category : str
        What the objects are.

    Raises
    ------
    LabelError
        If the labels are no two-dimensional array of whole numbers.
    WriteError
        If the file cannot be written.
    """
    array = flat_labels(labels, "COCO")
    scores = labels.scores if isinstance(labels, Segmentation) else None
    areas = dict(zip(*(a.tolist() for a in np.unique(array, return_counts=True))))
    height, width = array.shape
    annotations = []
    for outline in outlines(array):
        annotation: dict[str, Any] = {"id": outline.label, "image_id": 1, "category_id": 1, "iscrowd": 0}
        annotation |= _shape(outline, array) | {"area": areas[outline.label]}
        if scores is not None:
            annotation["score"] = float(scores[outline.label - 1])
        annotations.append(annotation)
    data = {
        "info": {"description": "instances measured with segmetry", "version": "1.0"},
        "licenses": [],
        "images": [{"id": 1, "file_name": image_name, "width": width, "height": height}],
        "categories": [{"id": 1, "name": category, "supercategory": ""}],
        "annotations": annotations,
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(data) + "\n", encoding="utf-8")


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return COCO's uncompressed run lengths of a mask: column by column, the first run counts pixels outside.

    Examples
    --------
    >>> run_lengths(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def _shape(outline: Outline, labels: np.ndarray) -> dict[str, Any]:
    """Return segmentation and box."""
    corners = np.concatenate([shell for shell, _ in outline.parts])
    (top, left), (bottom, right) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    box = [left, top, right - left, bottom - top]
    if any(holes for _, holes in outline.parts):
        # Only the columns of the object are looked at; the rest is one run before and one after.
        height, width = labels.shape
        runs = run_lengths(labels[:, left:right] == outline.label)
        runs[0] += left * height
        rest = (width - right) * height
        if len(runs) % 2:
            runs[-1] += rest
        elif rest:
            runs.append(rest)
        return {"segmentation": {"size": [height, width], "counts": runs}, "bbox": box}
    return {"segmentation": [shell[:, ::-1].ravel().tolist() for shell, _ in outline.parts], "bbox": box}
