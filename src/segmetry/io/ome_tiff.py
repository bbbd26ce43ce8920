"""Images and label images as calibrated OME-TIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from segmetry.errors import ImageError, LabelError, ShapeMismatchError
from segmetry.io.atomic import atomic
from segmetry.io.axes import KEY, AxisValues, from_metadata
from segmetry.io.ome_axes import annotation
from segmetry.io.quiet import quiet
from segmetry.types import Calibration, Image, Segmentation
from segmetry.units import METRES

_OME_TYPES = {"float32": "float", "float64": "double"}
_OME_UNITS = {"inch": "in"}
"""OME's names of types and units where they are not ours."""

MAPS_FILE = "uncertainty.tif"
"""File in a result's folder with the maps of its doubt."""


def write_labels(
    path: str | Path,
    labels: Segmentation | np.ndarray,
    calibration: Calibration | None = None,
    *,
    name: str = "",
    axes: str = "",
    axis_values: Mapping[str, Any] | None = None,
) -> None:
    """Write a label image as OME-TIFF that Fiji, napari and QuPath open at the right size.

    The labels are uint16 where they fit, else int32; compressed without loss. The pixel size is in the OME-XML, exact,
    and in the TIFF's resolution too, for programs that do not know OME. The same labels give the same bytes.

    Parameters
    ----------
    path : path
        ``.tif``.
    labels : Segmentation or (M, N) or (P, M, N) array of int
        0 is background.
    calibration : Calibration, optional
        Pixel size. A calibration of two lengths with three axes makes a time series, unless `axes` says otherwise.
    name : str, optional
        Name of the image inside the file; by default the file's stem.
    axes : {"", "YX", "ZYX", "TYX", "EYX"}, optional
        As those of the image that the labels are of.
    axis_values : mapping, optional
        What the steps of an axis without a length mean: ``image.metadata.get("axis_values")``.

    Raises
    ------
    LabelError
        If labels are negative, too large, or not two- or three-dimensional.
    WriteError
        If the file cannot be written.
    """
    path = Path(path)
    array = _checked(labels)
    n_lengths = len(calibration.spacing) if calibration is not None else array.ndim - (axes[:1] in ("T", "E"))
    calibration = calibration if calibration is not None else Calibration.unknown(n_lengths)
    if n_lengths not in (2, array.ndim):
        raise ShapeMismatchError(f"write_labels: {n_lengths} pixel lengths for labels of shape {array.shape}.")
    axes = axes or ("YX" if array.ndim == 2 else "TYX" if n_lengths == 2 else "ZYX")
    axis = axes.removesuffix("YX")
    if axis not in _AXES or len(axes) != array.ndim or n_lengths != 2 + (axis == "Z"):
        raise ShapeMismatchError(
            f"write_labels: axes {axes!r} and {n_lengths} pixel lengths do not fit labels of shape {array.shape}."
        )
    _write(path, array, axis, calibration, name or path.stem, said=_said(axis, axis_values, len(array)))


_AXES = ("", "Z", "T", "E")
"""Leading axes that can be written. OME has no energy: the stack is one of times, and an annotation says what it is."""


def _said(axis: str, axis_values: Mapping[str, Any] | None, n_steps: int) -> AxisValues | None:
    """Return what the steps of the leading axis mean.

    Raises
    ------
    ShapeMismatchError
        If it does not have as many steps.
    """
    said = from_metadata(axis_values).get(axis) if axis in ("T", "E") else None
    if said is not None and len(said.values) != n_steps:
        raise ShapeMismatchError(
            f"{len(said.values)} values of {said.name} are given for {n_steps} steps along {axis}."
        )
    return said


_PIXEL_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Types that OME-TIFF knows, as NumPy calls them."""


def write_image(path: str | Path, image: Image) -> None:
    """Write an image as OME-TIFF with its pixel size, without loss; `read` gives the same pixels and calibration.

    Parameters
    ----------
    path : path
        ``.tif``.
    image : Image
        Grey: two axes, or three of which the first is ``Z``, ``T`` or ``E``. Bool becomes uint8, float16 float32, and
        64-bit whole numbers that fit 32 bits become int32.

    Raises
    ------
    ImageError
        If the axes or the type of the pixels cannot be written.
    WriteError
        If the file cannot be written.
    """
    pixels = image.pixels
    axis = image.axes.removesuffix("YX")
    if not image.axes.endswith("YX") or axis not in _AXES:
        raise ImageError(f"write_image: axes {image.axes!r} cannot be written; take one with axes YX, ZYX, TYX or EYX.")
    if pixels.dtype in (bool, np.float16):
        pixels = pixels.astype(np.uint8 if pixels.dtype == bool else np.float32)
    limits = np.iinfo(np.int32)
    if pixels.dtype in (np.int64, np.uint64) and limits.min <= pixels.min() and pixels.max() <= limits.max:
        pixels = pixels.astype(np.int32)
    if pixels.dtype.name not in _PIXEL_TYPES:
        raise ImageError(f"write_image: pixels of type {pixels.dtype} cannot be written; use astype(np.float32).")
    said = _said(axis, image.metadata.get(KEY), len(pixels))
    _write(Path(path), pixels, axis, image.calibration, image.name, said=said)


def write_maps(path: str | Path, maps: Mapping[str, np.ndarray], calibration: Calibration) -> None:
    """Write maps of one image as the channels of an OME-TIFF, float32, with their names and the pixel size.

    Parameters
    ----------
    path : path
        ``.tif``.
    maps : mapping of str to (M, N) array
        One shape for all.
    calibration : Calibration
        Pixel size.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ, or are not those of an image.
    WriteError
        If the file cannot be written.
    """
    shapes = {values.shape for values in maps.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeMismatchError(f"write_maps: maps of one image have one shape (M, N), got {sorted(shapes)}.")
    path = Path(path)
    _write(path, np.stack([*maps.values()]).astype(np.float32, copy=False), "C", calibration, path.stem, tuple(maps))


def _write(
    path: Path,
    array: np.ndarray,
    axis: str,
    calibration: Calibration,
    name: str,
    channels: Sequence[str] = (),
    said: AxisValues | None = None,
) -> None:
    note = annotation(axis, said) if axis == "E" or said else ""
    text = _ome_xml(array, axis.replace("E", "T"), calibration, _printable(name), channels, note)
    stack = array if array.ndim == 3 else array[None]
    import tifffile

    with atomic(path) as temporary, quiet():
        tifffile.imwrite(
            temporary,
            stack,
            bigtiff=stack.nbytes > 2**32 - 2**25,
            photometric="minisblack",
            compression="zlib",
            description=text.encode("ascii"),
            metadata=None,
            software="segmetry",
            **_resolution(calibration),
        )


def _checked(labels: Segmentation | np.ndarray) -> np.ndarray:
    """Return labels as uint16 or int32."""
    array = labels.labels if isinstance(labels, Segmentation) else np.asarray(labels)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iu" or array.ndim not in (2, 3) or array.size == 0:
        raise LabelError(
            f"labels must be whole numbers with 2 or 3 axes, got {array.dtype} of shape {array.shape}; "
            "use labels.astype(np.int32)."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise LabelError(f"labels must lie between 0 and {np.iinfo(np.int32).max}, found {low} to {high}.")
    return array.astype(np.uint16 if high < 2**16 else np.int32)


def _ome_xml(
    array: np.ndarray, axis: str, calibration: Calibration, name: str, channels: Sequence[str], note: str
) -> str:
    """Return the OME-XML of one image, in ASCII, without dates or random identifiers."""
    height, width = array.shape[-2:]
    kind = _OME_TYPES.get(array.dtype.name, array.dtype.name)
    sizes = {"X": width, "Y": height, "Z": 1, "C": 1, "T": 1} | ({axis: array.shape[0]} if axis else {})
    lengths = ""
    if calibration.known:
        unit = _OME_UNITS.get(calibration.unit, calibration.unit)
        for letter, value in zip("XYZ", reversed(calibration.spacing)):
            lengths += f' PhysicalSize{letter}="{value!r}" PhysicalSize{letter}Unit={quoteattr(unit)}'
    planes = "".join(
        f'<TiffData IFD="{k}" First{axis or "Z"}="{k}" PlaneCount="1"/>' for k in range(array.shape[0] if axis else 1)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 '
        'http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="segmetry">'
        f'<Image ID="Image:0" Name={quoteattr(name)}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" BigEndian="false" '
        + " ".join(f'Size{letter}="{n}"' for letter, n in sizes.items())
        + lengths
        + ">"
        + "".join(
            f'<Channel ID="Channel:0:{k}"{f" Name={quoteattr(said)}" if said else ""} SamplesPerPixel="1"/>'
            for k, said in enumerate(channels or ("",))
        )
        + planes
        + "</Pixels>"
        + ('<AnnotationRef ID="Annotation:0"/>' if note else "")
        + f"</Image>{note}</OME>"
    )
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _printable(name: str) -> str:
    """Return a name without what XML cannot hold: control characters, bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _resolution(calibration: Calibration) -> dict[str, object]:
    """Return the TIFF resolution tags, which hold at most 2^32 pixels per centimetre."""
    if not calibration.known:
        return {"resolutionunit": "NONE"}
    down, across = (METRES["cm"] / (METRES[calibration.unit] * s) for s in calibration.spacing[-2:])
    if not all(1e-6 < r < 2**32 - 1 for r in (down, across)):
        return {"resolutionunit": "NONE"}
    return {"resolution": (across, down), "resolutionunit": "CENTIMETER"}
