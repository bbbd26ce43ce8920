"""Images and label images as calibrated OME-TIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from segmetry.errors import ImageError, LabelError, ShapeMismatchError
from segmetry.io.atomic import atomic
from segmetry.io.quiet import quiet
from segmetry.types import Calibration, Image, Segmentation
from segmetry.units import METRES

_OME_TYPES = {"float32": "float", "float64": "double"}
_OME_UNITS = {"inch": "in"}
"""OME's names of types and units where they are not ours."""

MAPS_FILE = "uncertainty.tif"
"""File in a result's folder with the maps of its doubt."""


def write_labels(
    path: str | Path, labels: Segmentation | np.ndarray, calibration: Calibration | None = None, *, name: str = ""
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
        Pixel size. A calibration of two lengths with three axes makes a time series.
    name : str, optional
        Name of the image inside the file; by default the file's stem.

    Raises
    ------
    LabelError
        If labels are negative, too large, or not two- or three-dimensional.
    WriteError
        If the file cannot be written.
    """
    path = Path(path)
    array = _checked(labels)
    calibration = calibration if calibration is not None else Calibration.unknown(array.ndim)
    n_lengths = len(calibration.spacing)
    if n_lengths not in (2, array.ndim):
        raise ShapeMismatchError(f"write_labels: {n_lengths} pixel lengths for labels of shape {array.shape}.")
    axis = "" if array.ndim == 2 else "T" if n_lengths == 2 else "Z"
    _write(path, array, axis, calibration, name or path.stem)


_PIXEL_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Types that OME-TIFF knows, as NumPy calls them."""


def write_image(path: str | Path, image: Image) -> None:
    """Write an image as OME-TIFF with its pixel size, without loss; `read` gives the same pixels and calibration.

    Parameters
    ----------
    path : path
        ``.tif``.
    image : Image
        Grey: two axes, or three of which the first is ``Z`` or ``T``. Bool becomes uint8, float16 float32, and 64-bit
        whole numbers that fit 32 bits become int32.

    Raises
    ------
    ImageError
        If the axes or the type of the pixels cannot be written.
    WriteError
        If the file cannot be written.
    """
    pixels = image.pixels
    if image.axes not in ("YX", "ZYX", "TYX"):
        raise ImageError(f"write_image: axes {image.axes!r} cannot be written; take one with axes YX, ZYX or TYX.")
    if pixels.dtype in (bool, np.float16):
        pixels = pixels.astype(np.uint8 if pixels.dtype == bool else np.float32)
    limits = np.iinfo(np.int32)
    if pixels.dtype in (np.int64, np.uint64) and limits.min <= pixels.min() and pixels.max() <= limits.max:
        pixels = pixels.astype(np.int32)
    if pixels.dtype.name not in _PIXEL_TYPES:
        raise ImageError(f"write_image: pixels of type {pixels.dtype} cannot be written; use astype(np.float32).")
    _write(Path(path), pixels, image.axes.removesuffix("YX"), image.calibration, image.name)


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
    path: Path, array: np.ndarray, axis: str, calibration: Calibration, name: str, channels: Sequence[str] = ()
) -> None:
    text = _ome_xml(array, axis, calibration, _printable(name), channels)
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


def _ome_xml(array: np.ndarray, axis: str, calibration: Calibration, name: str, channels: Sequence[str]) -> str:
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
        + "</Pixels></Image></OME>"
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
