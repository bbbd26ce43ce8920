"""DICOM, through pydicom (the extra ``formats``): one file, or a series of slices sorted by where they lie.

Positions and directions are those of the patient (DICOM PS3.3, C.7.6.2): x to the left, y to the back, z to the head.
PixelSpacing is the distance of rows, then that of columns, in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues
from segmetry.io.stored import Lazy, Scale, Stored, check_claim, library, make_scale, number, pick_plane

_UNEVEN = 0.01
"""Relative difference of the distances of slices from which on a series has no one distance."""

_FACTS = {
    "Modality": "modality",
    "Manufacturer": "maker",
    "ManufacturerModelName": "model",
    "SeriesDescription": "series",
    "RescaleType": "value_unit",
}
"""What is kept of a header: nothing that names a patient."""


@dataclass(frozen=True, eq=False)
class _Slice:
    path: Path
    header: Any
    position: float
    time: int


def read_dicom(path: Path, page: int | None) -> Stored:
    """Return the image or frames of one DICOM file, rescaled to its unit (Hounsfield, say).

    Raises
    ------
    ReadError
        If pydicom is missing, or there are no pixels.
    """
    header = _header(path)
    frames = int(getattr(header, "NumberOfFrames", None) or 1)
    samples = int(getattr(header, "SamplesPerPixel", 1))
    bits = int(getattr(header, "BitsAllocated", 8))
    shape = (frames, int(getattr(header, "Rows", 0)), int(getattr(header, "Columns", 0)), samples)
    check_claim(shape, bits // 8 or 1, path.stat().st_size, compressed=_packed(header))
    pixels = _pixels(path).reshape(shape if samples > 1 else shape[:3])
    axes = "IYXS" if samples > 1 else "IYX"
    values: dict[str, AxisValues] = {}
    step = number(getattr(header, "FrameTime", None)) or 0.0
    distance, notes = _frame_distance(header, frames)
    if frames > 1 and step > 0:
        axes = "T" + axes[1:]
        values["T"] = AxisValues(tuple((np.arange(frames) * step / 1000).tolist()), "s", "time")
    elif frames > 1 and distance:
        axes = "Z" + axes[1:]
    scale, more = _scale(header, distance)
    pixels, axes = pick_plane(pixels, axes, page)
    return Stored(pixels, axes, scale, (*notes, *more, *_notes(header)), _facts(header), axis_values=values)


def read_series(paths: Sequence[Path]) -> Stored:
    """Return the volume of a series of slices, sorted by their position along the normal of their planes.

    Where distances differ or slices are missing, a note says where, and the distance of the planes is left unknown.

    Raises
    ------
    ReadError
        If the files are of several series, differ in shape or direction, or lie at the same place.
    """
    headers = [(path, _header(path)) for path in paths if path.name.upper() != "DICOMDIR"]
    ids = sorted({str(getattr(h, "SeriesInstanceUID", "")) for _, h in headers})
    if len(ids) > 1:
        named = ", ".join(sorted({f"{getattr(h, 'SeriesNumber', '?')}" for _, h in headers}))
        raise ReadError(
            f"it holds {len(ids)} series (numbers {named}); put the files of one into a folder of their own."
        )
    first_path, first = headers[0]
    normal = _normal(first)
    slices = []
    for path, header in headers:
        for name in ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing"):
            one, other = (np.asarray(getattr(h, name, ()) or (), float) for h in (first, header))
            if one.shape != other.shape or not np.allclose(one, other, rtol=1e-4, atol=1e-4):
                raise ReadError(f"{path.name} differs from {first_path.name} in {name}; they are not of one volume.")
        position = getattr(header, "ImagePositionPatient", None)
        instance = int(getattr(header, "InstanceNumber", None) or 0)
        place = float(normal @ np.asarray(position, float)) if position and normal is not None else np.nan
        slices.append(_Slice(path, header, place, instance))
    known = all(np.isfinite(s.position) for s in slices)
    slices.sort(key=lambda s: (s.position, s.time) if known else (s.time, s.path.name))
    distance, notes = _distance(slices) if known else (None, ["slices do not say where they lie: sorted by number"])
    shape = (len(slices), int(first.Rows), int(first.Columns))
    size = sum(path.stat().st_size for path in paths)
    plain = all(_whole(s.header) for s in slices)
    dtype = np.dtype(np.int32 if plain else np.float32)
    if plain and all(_rescale(s.header) == (1.0, 0.0) for s in slices):
        dtype = np.dtype(f"{'i' if first.PixelRepresentation else 'u'}{int(first.BitsAllocated) // 8}")

    def plane(k: int) -> np.ndarray:
        pixels = _pixels(slices[k].path)
        if pixels.shape != shape[1:]:
            raise ReadError(f"{slices[k].path.name} is {' x '.join(map(str, pixels.shape))}, not one grey slice.")
        return pixels

    lazy = Lazy(shape, dtype, plane, size, compressed=_packed(first))
    scale, more = _scale(first, distance)
    return Stored(lazy, "ZYX", scale, (*notes, *more, *_notes(first)), _facts(first, reverse=known))


def _header(path: Path) -> Any:
    pydicom = library("pydicom", "pydicom")
    return pydicom.dcmread(path, stop_before_pixels=True)


def _pixels(path: Path) -> np.ndarray:
    """Return the pixels of a file times its slope plus its intercept; whole numbers where both are."""
    pydicom = library("pydicom", "pydicom")
    data = pydicom.dcmread(path)
    if "PixelData" not in data and "FloatPixelData" not in data and "DoubleFloatPixelData" not in data:
        raise ReadError(f"{path.name} holds no pixels: it is a report, a structure or an index.")
    try:
        pixels = np.asarray(data.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        if not _packed(data):
            raise
        name = data.file_meta.TransferSyntaxUID.name
        raise ReadError(f"{path.name} is packed as {name}, which cannot be unpacked here; save it unpacked.") from error
    slope, intercept = _rescale(data)
    if (slope, intercept) == (1.0, 0.0):
        return pixels
    kind = np.int32 if _whole(data) else np.float32
    return pixels.astype(kind) * kind(slope) + kind(intercept)


def _packed(header: Any) -> bool:
    return bool(getattr(header.file_meta.TransferSyntaxUID, "is_compressed", False))


def _shared(header: Any, sequence: str, name: str) -> Any:
    """Return an entry of the header, or of the functional groups that the frames of an enhanced file share."""
    value = getattr(header, name, None)
    groups = getattr(header, "SharedFunctionalGroupsSequence", None)
    if value is None and groups:
        inside = getattr(groups[0], sequence, None)
        value = getattr(inside[0], name, None) if inside else None
    return value


def _rescale(header: Any) -> tuple[float, float]:
    slope, intercept = (
        _shared(header, "PixelValueTransformationSequence", name) for name in ("RescaleSlope", "RescaleIntercept")
    )
    return number(1 if slope is None else slope) or 1.0, number(intercept) or 0.0


def _whole(header: Any) -> bool:
    return all(value.is_integer() and abs(value) < 2**15 for value in _rescale(header))


def _normal(header: Any) -> np.ndarray | None:
    """Return the direction across the slices."""
    turn = _shared(header, "PlaneOrientationSequence", "ImageOrientationPatient")
    if not turn or len(turn) != 6:
        return None
    return np.cross(np.asarray(turn[:3], float), np.asarray(turn[3:], float))


def _distance(slices: Sequence[_Slice]) -> tuple[float | None, list[str]]:
    """Return the distance of neighbouring slices, None and a note where there is no one."""
    places = np.array([s.position for s in slices])
    steps = np.diff(places)
    if not steps.size:
        return None, []
    if steps.min() < 1e-4:
        k = int(steps.argmin())
        raise ReadError(
            f"{slices[k].path.name} and {slices[k + 1].path.name} lie at the same place ({places[k]:g} mm): several "
            "times or echoes; put those of one volume into a folder of their own."
        )
    step = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - step) > _UNEVEN * step)
    if not odd.size:
        return float(steps.mean()), []
    k = int(odd[0])
    ratio = steps[k] / step
    n_missing = round(ratio) - 1
    gap = f"{slices[k].path.name} and {slices[k + 1].path.name}, {steps[k]:g} mm apart where most are {step:g} mm"
    if n_missing > 0 and abs(ratio - round(ratio)) < _UNEVEN * ratio:
        what = f"{n_missing} slice{'s are' if n_missing > 1 else ' is'} missing between {gap}"
    else:
        what = f"slices are not evenly spaced: {gap}"
    more = f" ({odd.size} such places)" if odd.size > 1 else ""
    return None, [f"{what}{more}: the distance of planes is left unknown"]


def _frame_distance(header: Any, frames: int) -> tuple[float | None, list[str]]:
    """Return the distance of the frames of one file: what it says, else the thickness, with a note."""
    if frames < 2:
        return None, []
    said = number(_shared(header, "PixelMeasuresSequence", "SpacingBetweenSlices"))
    if said:
        return abs(said), []
    thick = number(_shared(header, "PixelMeasuresSequence", "SliceThickness"))
    if thick:
        return thick, ["the distance of planes is not said: that of touching slices (SliceThickness) is taken"]
    return None, []


def _scale(header: Any, distance: float | None) -> tuple[Scale | None, tuple[str, ...]]:
    spacing = _shared(header, "PixelMeasuresSequence", "PixelSpacing")
    detail = "DICOM PixelSpacing"
    notes: tuple[str, ...] = ()
    if not spacing:
        spacing = getattr(header, "ImagerPixelSpacing", None)
        if not spacing:
            return None, ()
        detail = "DICOM ImagerPixelSpacing"
        notes = ("the pixel size is that of the detector, not of the specimen, which is magnified",)
    lengths = {"Y": number(spacing[0]), "X": number(spacing[1])}
    scale, more = make_scale(lengths | ({"Z": distance} if distance else {}), "mm", detail)
    return scale, (*notes, *more)


def _notes(header: Any) -> tuple[str, ...]:
    if getattr(header, "PhotometricInterpretation", "") == "MONOCHROME1":
        return ("viewers draw its low values white (MONOCHROME1); values are as stored",)
    return ()


def _facts(header: Any, *, reverse: bool = False) -> dict[str, Any]:
    facts = {new: str(getattr(header, name)) for name, new in _FACTS.items() if getattr(header, name, None)}
    turn, normal = _shared(header, "PlaneOrientationSequence", "ImageOrientationPatient"), _normal(header)
    if normal is not None:
        directions = [np.asarray(turn[:3], float), np.asarray(turn[3:], float), *([normal] if reverse else [])]
        facts["orientation"] = "".join(_towards(d) for d in directions)
    return facts


def _towards(direction: np.ndarray) -> str:
    """Return where a direction leads: right or left, front (anterior) or back (posterior), up (superior) or down."""
    k = int(np.abs(direction).argmax())
    return ("RL", "AP", "IS")[k][int(direction[k] > 0)]
