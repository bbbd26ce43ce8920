"""`measure`: labels in, a table with units out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import CalibrationError, ImageError, OptionError, ShapeMismatchError, unknown_name
from segmetry.measure.catalogue import MEASURES, Measure
from segmetry.measure.intensity import clip_levels
from segmetry.measure.labelling import as_labels
from segmetry.measure.regions import Regions
from segmetry.measure.runs import runs_of_labels
from segmetry.types import SPATIAL_AXES, Calibration, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd


def measure(
    labels: Segmentation | np.ndarray,
    image: Image | np.ndarray | None = None,
    *,
    calibration: Calibration | None = None,
    measures: Sequence[str] | None = None,
    ignore: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return a table with one row per object: its label, then the measures.

    Parameters
    ----------
    labels : Segmentation, or (M, N) or (P, M, N) array of int
        Label image; 0 is background. Numbers may have gaps. What a segmentation states beyond its labels (scores, maps
        of uncertainty) gives measures as well: ``score``, ``uncertainty`` and its parts.
    image : Image or array, optional
        Intensities in the shape of the labels. Without it the measures that need it are left out.
    calibration : Calibration, optional
        Length of a pixel. By default that of `image`; without either, lengths come in px.
    measures : sequence of str, optional
        Names from `MEASURES`; all that can be had by default.
    ignore : array of bool, optional
        True where pixels are not specimen (text, scale bar, footer). By default that of `image`. The frame is the box
        around all other pixels.

    Returns
    -------
    table : pandas.DataFrame
        Sorted by label. ``table.attrs["units"]`` maps each column to its unit (``"nm"``, ``"nm^2"``, ``"px"``,
        ``"°"``, ``"intensity"``, ``""``). No objects give zero rows and all columns.

    Raises
    ------
    LabelError
        If labels are negative or not whole numbers.
    ShapeMismatchError
        If image or ignored pixels have another shape than the labels.
    OptionError
        If a measure does not exist, or needs an image or a dimension that is not there.

    Examples
    --------
    >>> table = measure(np.array([[1, 1, 0], [0, 0, 5]]), calibration=Calibration((2, 2), "nm"), measures=["area"])
    >>> table
       label  area
    0      1   8.0
    1      5   4.0
    >>> table.attrs["units"]["area"]
    'nm^2'
    """
    array = labels.labels if isinstance(labels, Segmentation) else labels
    array = as_labels(array, signs=False)
    pixels, calibration, ignore = check_inputs(array.shape, image, calibration, ignore, "measure")
    segmentation = labels if isinstance(labels, Segmentation) else None
    needed = {m.needs_segmentation for m in MEASURES.values()} - {""}
    stated = [name for name in needed if getattr(segmentation, name, None) is not None]
    chosen = choose(measures, array.ndim, pixels is not None, stated)
    regions = Regions(runs_of_labels(array), calibration, pixels, ignore, limits_of(image), segmentation)
    regions.__dict__["labels"] = array  # what it would paint from the runs is already here
    return tabulate(regions, chosen)


def check_inputs(
    shape: tuple[int, ...], image: Any, calibration: Calibration | None, ignore: np.ndarray | None, who: str
) -> tuple[np.ndarray | None, Calibration, np.ndarray | None]:
    """Return intensities, calibration and ignored pixels, checked against the shape of the labels."""
    pixels = None
    if image is not None:
        if isinstance(image, Image):
            extra = [a for a in image.axes if a not in SPATIAL_AXES]
            if extra:
                raise ImageError(f"{who}: the image has axes {image.axes!r}; choose one {extra[0]} of it first.")
            calibration = image.calibration if calibration is None else calibration
            ignore = image.ignore if ignore is None else ignore
            image = image.pixels
        pixels = np.asarray(image)
        if pixels.shape != shape:
            raise ShapeMismatchError(
                f"{who}: labels are {shape} but the image is {pixels.shape}; crop or resize them to one grid."
            )
        pixels = plain_intensities(pixels, who)
    if calibration is None:
        calibration = Calibration.unknown(len(shape))
    if len(calibration.spacing) != len(shape):
        raise CalibrationError(
            f"{who}: {len(calibration.spacing)} pixel lengths for {len(shape)} axes; give one per axis."
        )
    if ignore is not None:
        ignore = np.ascontiguousarray(ignore, dtype=bool)
        if ignore.shape != shape:
            raise ShapeMismatchError(f"{who}: labels are {shape} but the ignored pixels are {ignore.shape}.")
    return pixels, calibration, ignore


def limits_of(image: Any) -> tuple[float, float] | None:
    """Return the limits of the intensity range of an image whose type `plain_intensities` changes; else None."""
    image = image.pixels if isinstance(image, Image) else image
    image = None if image is None else np.asarray(image)
    if image is None or image.dtype.kind not in "iu" or image.dtype in (np.uint8, np.uint16):
        return None
    return clip_levels(image)


def plain_intensities(pixels: np.ndarray, who: str) -> np.ndarray:
    """Return intensities as one of the types that the kernels are compiled for: uint8, uint16, float32, float64."""
    if pixels.dtype.kind not in "buif":
        raise ImageError(f"{who}: intensities must be numbers, got {pixels.dtype}; take np.abs of complex pixels.")
    if pixels.dtype == np.bool_:
        pixels = pixels.view(np.uint8)
    elif pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    elif pixels.dtype not in (np.uint8, np.uint16, np.float32):
        pixels = pixels.astype(np.float64)
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def choose(names: Sequence[str] | None, ndim: int, has_image: bool, stated: Sequence[str] = ()) -> list[Measure]:
    """Return the records of the measures asked for; None asks for all that can be had.

    Raises
    ------
    OptionError
        If one does not exist, or cannot be had here.
    """
    if names is None:
        return [
            m
            for m in MEASURES.values()
            if ndim in m.dims and (has_image or not m.needs_image) and m.needs_segmentation in ("", *stated)
        ]
    if isinstance(names, str):
        names = [names]
    chosen = []
    for name in dict.fromkeys(names):
        if name == "label":
            continue
        if name not in MEASURES:
            raise unknown_name("measure", name, MEASURES)
        record = MEASURES[name]
        if ndim not in record.dims:
            raise OptionError(f"the measure {name!r} is not defined in {ndim}D; leave it out.")
        if record.needs_image and not has_image:
            raise OptionError(f"the measure {name!r} needs intensities; pass the image too.")
        if record.needs_segmentation not in ("", *stated):
            raise OptionError(
                f"the measure {name!r} needs a segmentation that states its {record.needs_segmentation}; "
                "this one does not: leave it out, or use a method that does."
            )
        chosen.append(record)
    return chosen


def tabulate(regions: Regions, measures: Sequence[Measure]) -> pd.DataFrame:
    """Return the table of the given measures, with its units in ``table.attrs``."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {"label": regions.runs.labels}
    units = {"label": ""}
    for record in measures:
        values = record.compute(regions)
        unit = record.unit(regions.calibration.unit)
        if values.ndim == 1:
            columns[record.name], units[record.name] = values, unit
            continue
        for k in range(values.shape[1]):
            columns[f"{record.name}-{k}"], units[f"{record.name}-{k}"] = values[:, k], unit
    table = pd.DataFrame(columns, copy=False)
    table.attrs["units"] = units
    return table
