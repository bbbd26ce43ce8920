"""What the tags of a TIFF say of its pixel size and of the instrument.

Where each figure lives:

- FEI and Thermo Fisher: tags 34680 (``FEI_SFEG``) and 34682 (``FEI_HELIOS``), text in sections; ``PixelWidth`` and
  ``PixelHeight`` of ``[Scan]`` (or ``[EScan]``, ``[IScan]``), in metres.
- Zeiss: tag 34118 (``CZ_SEM``). ``AP_IMAGE_PIXEL_SIZE`` ("Image Pixel Size") belongs to the stored image;
  ``AP_PIXEL_SIZE`` ("Pixel Size") to the 1024 columns of the screen, and is right only for images that are 1024 wide.
- Gatan DigitalMicrograph: tags 65009 and 65010, length along rows and columns; 65003 and 65004, their units.
- OME: ``PhysicalSizeX`` and ``PhysicalSizeXUnit`` of ``Pixels`` in the XML; the unit is µm where it is left out.
- ImageJ: ``unit=`` (also ``yunit``, ``zunit``) and ``spacing=`` in the description, pixels per unit in ``XResolution``.
- Anything else: ``XResolution`` with ``ResolutionUnit``. Mostly that of a screen or a printer, so it is taken only
  where a pixel is shorter than 2 µm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from xml.etree import ElementTree

from segmetry.errors import CalibrationError
from segmetry.io.stored import Scale, make_scale, number
from segmetry.units import METRES, normalise_unit

PRINT_PIXEL = 2e-6
"""Metres: a plain TIFF whose resolution tag gives a longer pixel speaks of a screen, a scanner or a printer."""

_INCH, _CENTIMETRE = 2, 3


class Said(NamedTuple):
    """What one kind of metadata says."""

    scale: Scale | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = {}


def read_tags(tif: Any, index: int, width: int) -> tuple[Scale | None, tuple[str, ...], dict[str, Any]]:
    """Return pixel lengths, notes and metadata of a series of images in a TIFF.

    The first kind of tag that knows the pixel size wins.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    index : int
        Which of its series.
    width : int
        Number of columns; metadata of an image of another width is not believed.
    """
    page = tif.series[index].keyframe
    sources: tuple[Callable[[], Said], ...] = (
        lambda: _fei(page, width),
        lambda: _zeiss(page, width),
        lambda: _gatan(page),
        lambda: _ome(tif, index),
        lambda: _imagej(tif, page),
        lambda: _plain(tif, page),
    )
    notes: list[str] = []
    metadata: dict[str, Any] = {}
    for tag, key in ((305, "software"), (306, "date"), (271, "maker"), (272, "model")):
        text = _text(page.tags.valueof(tag))
        if text:
            metadata[key] = text
    scale = None
    for source in sources:
        said = source()
        notes += said.notes
        metadata |= said.metadata
        if said.scale is not None:
            scale = said.scale
            break
    return scale, tuple(dict.fromkeys(notes)), metadata


def _fei(page: Any, width: int) -> Said:
    for tag, name in ((34682, "FEI_HELIOS"), (34680, "FEI_SFEG")):
        sections = page.tags.valueof(tag)
        if not isinstance(sections, Mapping):
            continue

        def get(section: str, key: str, sections: Mapping[str, Any] = sections) -> Any:
            part = sections.get(section)
            return part.get(key) if isinstance(part, Mapping) else None

        beam = _text(get("Beam", "Beam")) or "EBeam"
        metadata = _present(
            voltage_V=number(get(beam, "HV")) or number(get("Beam", "HV")),
            working_distance_m=number(get(beam, "WD")),
            detector=_text(get("Detectors", "Name")) or _text(get("Detectors", "Signal")),
            dwell_time_s=number(get("Scan", "Dwelltime")),
            date=_text(get("User", "Date")),
            time=_text(get("User", "Time")),
            instrument=_text(get("System", "SystemType")),
        )
        claimed = number(get("Image", "ResolutionX"))
        for section in ("Scan", _text(get("Beam", "Scan")) or "EScan", "EScan", "IScan"):
            across, down = number(get(section, "PixelWidth")), number(get(section, "PixelHeight"))
            if across is None:
                continue
            detail = f"TIFF tag {name} [{section}] PixelWidth"
            if claimed and int(claimed) != width:
                note = (
                    f"{detail} belongs to an image of {claimed:.0f} columns, this one has {width}: it was cropped or "
                    "resized, so the pixel size is left unknown"
                )
                return Said(None, (note,), metadata)
            scale, notes = make_scale({"X": across, "Y": down}, "m", detail)
            return Said(_readable(scale), notes, metadata)
        return Said(None, (), metadata)
    return Said()


def _zeiss(page: Any, width: int) -> Said:
    entries = page.tags.valueof(34118)
    if not isinstance(entries, Mapping):
        return Said()

    def get(key: str) -> tuple[Any, str]:
        entry = entries.get(key)
        if not isinstance(entry, tuple) or len(entry) < 2:
            return None, ""
        return entry[1], str(entry[2]) if len(entry) > 2 else ""

    def words(key: str) -> str:
        value, unit = get(key)
        return "" if value is None else f"{value} {unit}".strip()

    metadata = _present(
        voltage=words("ap_actualkv") or words("ap_manualkv"),
        working_distance=words("ap_wd"),
        detector=words("dp_detector_channel") or words("dp_detector_type"),
        magnification=words("ap_mag"),
        date=words("ap_date"),
        time=words("ap_time"),
        instrument=words("dp_sem") or words("sv_serial_number"),
    )
    value, unit = get("ap_image_pixel_size")
    detail = "TIFF tag CZ_SEM AP_IMAGE_PIXEL_SIZE"
    notes: tuple[str, ...] = ()
    if number(value) is None:
        value, unit = get("ap_pixel_size")
        detail = "TIFF tag CZ_SEM AP_PIXEL_SIZE"
        if number(value) is None:
            return Said(None, (), metadata)
        if width != 1024:
            note = (
                f"{detail} ({value} {unit}) is the pixel of a screen 1024 wide, this image has {width} columns, and "
                "AP_IMAGE_PIXEL_SIZE is missing: left unknown"
            )
            return Said(None, (note,), metadata)
    stored = _store_width(get)
    if stored and stored != width:
        note = (
            f"{detail} belongs to an image of {stored} columns, this one has {width}: it was cropped or resized, so "
            "the pixel size is left unknown"
        )
        return Said(None, (note,), metadata)
    scale, notes = make_scale({"X": number(value), "Y": number(value)}, unit, detail)
    # Results in picometres would be hard to read; the other units of these files are those people use.
    return Said(_readable(scale) if scale is not None and scale.unit == "pm" else scale, notes, metadata)


def _store_width(get: Callable[[str], tuple[Any, str]]) -> int | None:
    """Return the width in "Store resolution = 1024 * 768"."""
    value, _ = get("dp_image_store")
    first = str(value).split("*")[0].strip() if value is not None else ""
    return int(first) if first.isdigit() else None


def _gatan(page: Any) -> Said:
    across, down = number(page.tags.valueof(65010)), number(page.tags.valueof(65009))
    unit = _text(page.tags.valueof(65004)) or _text(page.tags.valueof(65003))
    if across is None or not unit:
        return Said()
    return Said(*make_scale({"X": across, "Y": down}, unit, "TIFF tag 65010 (DigitalMicrograph)"))


def _ome(tif: Any, index: int) -> Said:
    text = tif.ome_metadata if tif.is_ome else None
    if not text:
        return Said()
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError):
        return Said(None, ("its OME-XML is damaged and was not used",))
    images = [e for e in root.iter() if e.tag.rpartition("}")[2] == "Image"]
    image = images[index] if index < len(images) else images[0] if images else None
    pixels = None if image is None else next((e for e in image.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if image is None or pixels is None:
        return Said()
    metadata = _present(
        date=next((e.text for e in image.iter() if e.tag.rpartition("}")[2] == "AcquisitionDate"), None),
        software=root.get("Creator"),
        image_name=image.get("Name"),
    )
    lengths: dict[str, float | None] = {}
    unit = pixels.get("PhysicalSizeXUnit") or pixels.get("PhysicalSizeYUnit") or "µm"
    for axis in "XYZ":
        length = number(pixels.get(f"PhysicalSize{axis}"))
        own = pixels.get(f"PhysicalSize{axis}Unit") or "µm"
        lengths[axis] = _to_unit(length, own, unit)
    scale, notes = make_scale(lengths, unit, "OME PhysicalSizeX")
    return Said(scale, notes, metadata)


def _imagej(tif: Any, page: Any) -> Said:
    if not tif.is_imagej:
        return Said()
    said = _key_values(page.description)
    unit = said.get("unit", "")
    across, down = number(page.tags.valueof(282)), number(page.tags.valueof(283))
    metadata = _present(imagej_version=said.get("ImageJ"))
    if not unit or not across:
        return Said(None, (), metadata)
    lengths: dict[str, float | None] = {"X": 1 / across, "Y": 1 / down if down else None}
    detail = "ImageJ unit and XResolution"
    if unit in ("inch", "cm") and 1 / across * METRES[unit] > PRINT_PIXEL:
        return Said(None, (_print_resolution("ImageJ", across, unit),), metadata)
    lengths["Y"] = _to_unit(lengths["Y"], said.get("yunit") or unit, unit)
    depth = number(said.get("spacing"))
    if depth is None and across == down == 1:
        depth = 1.0  # ImageJ leaves a spacing of 1 out; with other pixels it is the default that nobody has set
    lengths["Z"] = _to_unit(abs(depth), said.get("zunit") or unit, unit) if depth else None
    scale, notes = make_scale(lengths, unit, detail)
    return Said(scale, notes, metadata)


def _plain(tif: Any, page: Any) -> Said:
    across, down = number(page.tags.valueof(282)), number(page.tags.valueof(283))
    unit = page.tags.valueof(296, 2)
    if not across or tif.is_imagej or unit not in (_INCH, _CENTIMETRE):
        return Said()
    name = "inch" if unit == _INCH else "cm"
    metres = METRES[name] / across
    if metres > PRINT_PIXEL:
        if tif.is_ome or across == 1:
            return Said()
        return Said(None, (_print_resolution("the TIFF", across, name),))
    scale, notes = make_scale({"X": 1 / across, "Y": 1 / down if down else None}, name, "TIFF XResolution")
    return Said(_readable(scale), notes)


def _print_resolution(who: str, per_unit: float, unit: str) -> str:
    return (
        f"{who} gives {per_unit:g} pixels per {unit}, as of a screen, a scanner or a printer: not taken as a pixel size"
    )


def _readable(scale: Scale | None) -> Scale | None:
    """Return the same lengths in a unit in which they read well: 1.5 nm, not 1.5e-09 m."""
    if scale is None:
        return None
    metres = METRES[scale.unit] * scale.lengths["X"]
    unit = next((u for u in ("pm", "nm", "µm", "mm") if metres < 1000 * METRES[u]), "m")
    if unit == "pm":
        unit = "nm"  # as microscopists say: 0.35 nm
    if scale.unit == "inch":
        ratio = METRES["inch"] / METRES[unit]
        lengths = {axis: value * ratio for axis, value in scale.lengths.items()}
    else:
        # Decimal digits survive: 1.5e-09 m is 1.5 nm, not 1.5000000000000002.
        power = round(math.log10(METRES[scale.unit] / METRES[unit]))
        lengths = {axis: float(Decimal(repr(value)).scaleb(power)) for axis, value in scale.lengths.items()}
    return Scale(lengths, unit, scale.detail, scale.rel_uncertainty)


def _to_unit(value: float | None, unit: str, to: str) -> float | None:
    """Return a length in another unit; None where one of the two is no length."""
    if value is None or unit == to:
        return value
    try:
        one, other = normalise_unit(unit), normalise_unit(to)
    except CalibrationError:
        return None
    if one == other:
        return value
    return value * METRES[one] / METRES[other] if one in METRES and other in METRES else None


def _key_values(text: str) -> dict[str, str]:
    """Return the ``key=value`` lines of ImageJ's description."""
    pairs = (line.partition("=") for line in text.replace("\0", "").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _text(value: object) -> str:
    """Return a tag's value as text without padding; empty where it is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


def _present(**pairs: Any) -> dict[str, Any]:
    """Return the pairs that have a value."""
    return {key: value for key, value in pairs.items() if value not in (None, "")}
