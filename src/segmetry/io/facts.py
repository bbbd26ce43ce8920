"""What was found in a file, for people: the text of ``segmetry info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from segmetry.types import Calibration, Image
from segmetry.units import METRES, best_unit, convert

_KINDS = {"YX": "image", "ZYX": "volume", "TYX": "time series", "EYX": "energy series"}


def describe(image: Image) -> dict[str, Any]:
    """Return what an image is and where each fact came from, as plain data: numbers, texts, lists, dictionaries.

    Parameters
    ----------
    image : Image
        From `segmetry.read`, say.

    Returns
    -------
    facts : dict
        In reading order: name, kind, shape, axes, dtype, min and max of the finite values (None where there are none),
        pixel size, its source, metadata, SHA-256, notes.

    Examples
    --------
    >>> facts = describe(Image(np.eye(2), calibration=Calibration((0.5, 0.5), "nm")))
    >>> facts["kind"], facts["min"], facts["max"], facts["pixel size"]
    ('image', 0.0, 1.0, '0.5 nm')
    """
    low, high = _range(image.pixels)
    calibration = image.calibration
    facts: dict[str, Any] = {
        "name": image.name,
        "kind": _KINDS.get(image.axes, f"{image.pixels.ndim}D array"),
        "shape": list(image.shape),
        "axes": image.axes,
        "dtype": str(image.pixels.dtype),
        "min": low,
        "max": high,
        "pixel size": _spacing(calibration),
        "pixel size from": _origin(calibration),
    }
    if calibration.known:
        extent = [n * s for n, s in zip(image.spatial_shape, calibration.spacing)]
        unit = best_unit(max(extent) * METRES[calibration.unit])
        lengths = " x ".join(f"{convert(e, calibration.unit, unit):.6g}" for e in extent)
        facts["field of view"] = f"{lengths} {unit}"
    if image.source is not None:
        facts["page"] = image.source.page
        facts["sha256"] = image.source.sha256
    facts["metadata"] = {key: _brief(value) for key, value in image.metadata.items()}
    facts["notes"] = list(image.notes)
    return facts


def _brief(value: Any) -> Any:
    """Return an entry of the metadata with long rows of numbers as their ends.

    Examples
    --------
    >>> _brief({"unit": "s", "values": tuple(range(661))})
    {'unit': 's', 'values': '661 values, 0 to 660'}
    """
    if isinstance(value, Mapping):
        return {key: _brief(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list) and len(value) > 8:
        return f"{len(value)} values, {value[0]:.6g} to {value[-1]:.6g}"
    return value


def _range(pixels: np.ndarray) -> tuple[float | int | None, float | int | None]:
    """Return the smallest and largest finite value."""
    if pixels.dtype.kind == "f":
        finite = np.isfinite(pixels)
        if not finite.any():
            return None, None
        low = np.min(pixels, where=finite, initial=np.inf)
        high = np.max(pixels, where=finite, initial=-np.inf)
        return low.item(), high.item()
    return pixels.min().item(), pixels.max().item()


def _spacing(calibration: Calibration) -> str:
    if not calibration.known:
        return "unknown"
    one = len(set(calibration.spacing)) == 1
    lengths = f"{calibration.spacing[0]:.6g}" if one else " x ".join(f"{s:.6g}" for s in calibration.spacing)
    return f"{lengths} {calibration.unit}"


def _origin(calibration: Calibration) -> str:
    if not calibration.known:
        return "nowhere: measurements will be in pixels; give --pixel-size, or read the scale bar"
    spread = f" (relative uncertainty {calibration.rel_uncertainty:.2g})" if calibration.rel_uncertainty else ""
    return f"{calibration.source}: {calibration.detail}{spread}" if calibration.detail else calibration.source + spread
