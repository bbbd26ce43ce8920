"""What a segmentation does not know, in the form that statistics take: tables of its samples, and moved borders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.catalogue import MEASURES
from segmetry.measure.flags import clear_of_mask
from segmetry.measure.labelling import as_labels
from segmetry.measure.regions import Regions
from segmetry.measure.runs import runs_of_labels
from segmetry.measure.table import check_inputs, tabulate
from segmetry.types import Calibration, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_MEASURES = (
    "area",
    "volume",
    "equivalent_diameter",
    "centroid",
    "aspect_ratio",
    "circularity",
    "feret_max",
    "feret_min",
    "solidity",
    "roundness",
    "edge_weight",
    "touches_edge",
)
"""Measures that the statistics of an image rest on: what the table of a sample holds."""

BORDER = "border_sd_px"
"""Entry of `Segmentation.info`: standard uncertainty of a shift that all borders have in common, px."""

COUNT = "count_sd"
"""Entry of `Segmentation.info`: standard uncertainty of the number of particles in the image; None where unknown."""

_LEAST = 0.1
"""A border moved inwards leaves at least this share of a diameter."""


def sample_tables(
    segmentation: Segmentation,
    image: Image | None = None,
    *,
    calibration: Calibration | None = None,
    ignore: np.ndarray | None = None,
) -> tuple[pd.DataFrame, ...]:
    """Return one table for each Monte Carlo sample of a segmentation, with what statistics are made from.

    Parameters
    ----------
    segmentation : Segmentation
        Its `samples` are measured; without any the answer is empty.
    image : Image, optional
        Gives calibration and ignored pixels, where these are not given.
    calibration : Calibration, optional
        Length of a pixel along each axis.
    ignore : array of bool, optional
        True where pixels are not specimen.

    Returns
    -------
    tables : tuple of DataFrame
        As `measure` gives them, but without ``attrs``: units are those of the segmentation's own table. The columns are
        those of `SAMPLE_MEASURES`: no intensities and no classes of shape, which keeps a sample to about a millisecond.

    Raises
    ------
    ShapeMismatchError
        If a sample has another shape than the labels.
    LabelError
        If a sample's labels are negative or not whole numbers.
    """
    shape = segmentation.labels.shape
    pixels = None if image is None else image.replace(pixels=np.broadcast_to(np.uint8(0), image.pixels.shape))
    _, calibration, ignore = check_inputs(shape, pixels, calibration, ignore, "sample_tables")
    every = []
    for k, labels in enumerate(segmentation.samples):
        if labels.shape != shape:
            raise ShapeMismatchError(f"sample {k + 1} is {labels.shape} but the labels are {shape}.")
        every.append(Regions(runs_of_labels(as_labels(labels, signs=False)), calibration, None, ignore))
    _share_places(every)
    wanted = [MEASURES[name] for name in SAMPLE_MEASURES if len(shape) in MEASURES[name].dims]
    tables = tuple(tabulate(regions, wanted) for regions in every)
    for table in tables:
        table.attrs = {}  # pandas copies them, deeply, each time a column is looked at
    return tables


def _share_places(every: Sequence[Regions]) -> None:
    """Look up once, for the boxes of all samples, where text leaves room: most sizes occur in many samples."""
    if not every or every[0].ignore is None or every[0].ndim == 3:
        return
    low, high = every[0].frame
    mask = every[0].ignore[tuple(slice(a, b) for a, b in zip(low, high))]
    if not mask.any() or not any(r.n for r in every):
        return
    boxes = [r.box_in_frame for r in every]
    hidden, clear = clear_of_mask(mask, *(np.concatenate(ends) for ends in zip(*boxes)))
    ends = np.cumsum([r.n for r in every])[:-1]
    for regions, one, other in zip(every, np.split(hidden, ends), np.split(clear, ends)):
        regions.__dict__["behind_text"] = one, other


def border_of(info: Mapping[str, Any], calibration: Calibration) -> float:
    """Return the standard uncertainty of a common shift of all borders, in the unit of lengths; 0 where none is stated.

    Parameters
    ----------
    info : mapping
        `Segmentation.info`; its entry ``border_sd_px`` is in pixels.
    calibration : Calibration
        Length of a pixel.

    Raises
    ------
    OptionError
        If the entry is no number of 0 or more.

    Examples
    --------
    >>> border_of({"border_sd_px": 0.3}, Calibration((0.5, 0.5), "nm"))
    0.15
    """
    return (_stated(info, BORDER) or 0.0) * calibration.pixel_size


def count_sd_of(info: Mapping[str, Any]) -> float | None:
    """Return the standard uncertainty of the number of particles; nan where the method says that it is unknown.

    None where the method says nothing (no entry ``count_sd`` in `Segmentation.info`): then samples are all there is.
    Errors are those of `border_of`.

    Examples
    --------
    >>> count_sd_of({"count_sd": 1.5}), count_sd_of({"count_sd": None}), count_sd_of({})
    (1.5, nan, None)
    """
    stated = _stated(info, COUNT)
    return math.nan if stated is None and COUNT in info else stated


def _stated(info: Mapping[str, Any], name: str) -> float | None:
    """Return a standard uncertainty that a method states."""
    stated = info.get(name)
    if stated is None:
        return None
    if not (isinstance(stated, int | float | np.number) and 0 <= stated < math.inf):
        raise OptionError(f"{name} must be a number of 0 or more, got {stated!r}; leave it out where it is unknown.")
    return float(stated)


def moved(table: pd.DataFrame, shift: float | np.ndarray) -> pd.DataFrame:
    """Return the table of the same particles with every border moved outwards by `shift` (inwards where negative).

    Parameters
    ----------
    table : DataFrame
        With ``equivalent_diameter``; what else depends on size moves with it.
    shift : float, or (L,) array
        In the unit of lengths; one for all particles, or that of each.

    Notes
    -----
    A border that moves by s adds 2 s to every diameter: the equivalent one, Feret's, and both axes of the ellipse.
    Exact for disks and balls; the equivalent diameter of other convex shapes grows by more, as their perimeter over
    that of the disk of equal area. Circularity and solidity stay as they are, and so do the edge weights, which move by
    only 4 s over the frame's side.

    Examples
    --------
    >>> import pandas as pd
    >>> moved(pd.DataFrame({"equivalent_diameter": [10.0], "area": [100.0]}), 0.5)
       equivalent_diameter   area
    0                 11.0  121.0
    """
    if "equivalent_diameter" not in table.columns:
        return table
    size = table["equivalent_diameter"].to_numpy(float)
    grown = np.maximum(size + 2 * shift, _LEAST * size)
    ratio = np.divide(grown, size, out=np.ones(len(size)), where=size > 0)
    changes: dict[str, np.ndarray] = {"equivalent_diameter": grown}
    for name, power in (("area", 2), ("volume", 3)):
        if name in table.columns:
            changes[name] = table[name].to_numpy(float) * ratio**power
    for name in ("feret_max", "feret_min"):
        if name in table.columns:
            feret = table[name].to_numpy(float)
            changes[name] = np.maximum(feret + 2 * shift, _LEAST * feret)
    if "aspect_ratio" in table.columns:
        root = np.sqrt(table["aspect_ratio"].to_numpy(float))
        long, short = size * root, size / root
        changes["aspect_ratio"] = np.maximum(long + 2 * shift, _LEAST * long) / np.maximum(
            short + 2 * shift, _LEAST * short
        )
    if "roundness" in table.columns:
        feret = size / np.sqrt(table["roundness"].to_numpy(float))
        changes["roundness"] = (grown / np.maximum(feret + 2 * shift, _LEAST * feret)) ** 2
    return table.assign(**changes)


def both_ways(table: pd.DataFrame, border: float | np.ndarray) -> tuple[pd.DataFrame, ...]:
    """Return the table with borders one standard uncertainty further in, and further out; empty where that is 0.

    Particles of several images have a `border` each, (L,): all borders move the same way, each as far as is unsure.
    """
    if not np.any(np.asarray(border) > 0):
        return ()
    table = table.copy(deep=False)
    table.attrs = {}  # as for samples
    return moved(table, -border), moved(table, border)
