"""HDF5, through h5py (the extra ``formats``): tomography's Data Exchange, NeXus, and any data set by its path.

Data Exchange (De Carlo et al. 2014, 10.1107/S160057751401604X) keeps the scan in ``/exchange/data``, open beam and dark
in ``data_white`` and ``data_dark``, angles in ``theta``. NeXus (Könnecke et al. 2015, 10.1107/S1600576714027575) leads
to its default by the attributes ``default``, ``signal`` and ``axes``.

Nothing outside the file is ever opened: external links, external storage and virtual data sets are refused.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues, distinct, even_step, is_length, letter_of
from segmetry.io.stored import Lazy, Scale, Stored, check_claim, library, make_scale, number
from segmetry.units import convert, normalise_unit

_SCAN = "/exchange/data"
_PIXEL = (
    "/measurement/instrument/detection_system/objective/resolution",
    "/measurement/instrument/detector/actual_pixel_size_x",
)
"""Where Data Exchange files keep the pixel size at the specimen."""

_BLOCK = 2**28
"""Bytes of planes that are unpacked together and kept, where a chunk spans several."""

_LISTED = 8
_DEPTH = 32


def read_hdf5(path: Path, page: int | None, *, part: str = "") -> Stored:
    """Return a data set of an HDF5 file: the one that `part` names, else the scan, the NeXus default, or the only one.

    Raises
    ------
    ReadError
        If h5py is missing, there is no such data set, several to choose from, or it leads out of the file.
    """
    h5py = library("h5py", "h5py")
    file = h5py.File(path, "r", locking=False)
    try:
        where = part or _default(file, h5py)
        data = _find(file, where, h5py)
        if not isinstance(data, h5py.Dataset):
            inside = _listed(_images(data, h5py))
            raise ReadError(f"{where} is a group, not a data set; it holds {inside}.")
        return _stored(path, file, data, h5py)
    except BaseException:
        file.close()
        raise


def _find(file: Any, where: str, h5py: Any) -> Any:
    """Return a group or data set, step by step, so that no link leads out of the file."""
    node, steps, followed = file, [s for s in where.split("/") if s], 0
    while steps:
        name = steps.pop(0)
        link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise ReadError(f"it has no data set {where}; it holds {_listed(_images(file, h5py))}.")
        if isinstance(link, h5py.ExternalLink):
            raise ReadError(f"{where} is a link to another file, {link.filename}; name that file itself.")
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > _DEPTH:
                raise ReadError(f"{where} is a link that leads in a circle; name a data set itself.")
            if link.path.startswith("/"):
                node = file
            steps = [s for s in link.path.split("/") if s and s != "."] + steps
        else:
            node = node[name]
    return node


def _get(file: Any, where: str, h5py: Any) -> Any:
    """Return a small data set's value, None where there is none."""
    try:
        data = _find(file, where, h5py)
    except ReadError:
        return None
    if not isinstance(data, h5py.Dataset) or data.size is None or data.size > 10**6 or _outside(data):
        return None
    return data[()]


def _images(group: Any, h5py: Any) -> list[str]:
    """Return the paths of the data sets in a group that may be images."""
    found: list[str] = []

    def look(group: Any, prefix: str, depth: int) -> None:
        for name in group:
            if len(found) > 10 * _LISTED or depth > _DEPTH:
                return
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            if isinstance(node, h5py.Group):
                look(node, f"{prefix}/{name}", depth + 1)
            elif isinstance(node, h5py.Dataset) and node.ndim >= 2 and node.dtype.kind in "biuf" and node.size:
                found.append(f"{prefix}/{name}")

    look(group, group.name.rstrip("/"), 0)
    return found


def _listed(names: list[str]) -> str:
    if not names:
        return "no image"
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _default(file: Any, h5py: Any) -> str:
    """Return the path of the data set that stands for the file."""
    exchange = _find(file, "/exchange", h5py) if file.get("exchange", getlink=True) is not None else None
    if isinstance(exchange, h5py.Group) and exchange.get("data", getlink=True) is not None:
        return _SCAN
    found = _nexus(file, h5py)
    if found:
        return found
    names = _images(file, h5py)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ReadError("it holds no data set with two or more axes of numbers.")
    raise ReadError(f"it holds several data sets ({_listed(names)}); name one: FILE::{names[0]}.")


def _nexus(file: Any, h5py: Any) -> str | None:
    """Return the path of the signal that NeXus calls the default; of the only NXdata where none is called so."""
    group, where = file, ""
    for _ in range(_DEPTH):
        if "signal" in group.attrs:
            return f"{where}/{_text(group.attrs['signal'])}"
        named = _text(group.attrs.get("default", ""))
        inside = [
            name
            for name in group
            if isinstance(group.get(name, getlink=True), h5py.HardLink)
            and isinstance(group[name], h5py.Group)
            and _text(group[name].attrs.get("NX_class", "")) in ("NXentry", "NXdata", "NXprocess", "NXsubentry")
        ]
        step = named or (inside[0] if len(inside) == 1 else "")
        if not step:
            return None
        where = f"{where}/{step}"
        group = _find(file, where, h5py)
        if not isinstance(group, h5py.Group):
            return where if isinstance(group, h5py.Dataset) else None
    return None


def _text(value: Any) -> str:
    """Return an attribute as text; of several the first."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _texts(value: Any) -> list[str]:
    return [_text(v) for v in np.atleast_1d(value)] if value is not None else []


def _outside(data: Any) -> str:
    """Return what other file a data set takes its values from; empty where it has them itself."""
    if data.external:
        return str(data.external[0][0])
    if data.is_virtual:
        return next((s.file_name for s in data.virtual_sources() if s.file_name != "."), "")
    return ""


def _stored(path: Path, file: Any, data: Any, h5py: Any) -> Stored:
    shape, size, name = data.shape, path.stat().st_size, data.name
    if shape is None or len(shape) < 2:
        raise ReadError(f"{name} has the shape {shape}; an image has rows and columns. {_hint(file, h5py)}")
    if data.dtype.kind not in "biufc":
        raise ReadError(f"{name} holds {data.dtype}, not plain numbers. {_hint(file, h5py)}")
    outside = _outside(data)
    if outside:
        raise ReadError(f"{name} keeps its values in another file, {outside}; copy them into one file (h5repack).")
    created = data.id.get_create_plist()
    filters = [created.get_filter(k)[0] for k in range(created.get_nfilters())]
    missing = [f for f in filters if not h5py.h5z.filter_avail(f)]
    if missing:
        raise ReadError(f"{name} is packed with the HDF5 filter {missing[0]}, which is not here; repack it with gzip.")
    check_claim(shape[-2:], data.dtype.itemsize, size, compressed=bool(filters))
    stored_bytes = data.id.get_storage_size()
    if not stored_bytes:
        raise ReadError(f"{name} claims {' x '.join(map(str, shape))} values, but none was ever written.")
    offset = data.id.get_offset() if data.chunks is None else None
    if offset is not None and offset + math.prod(shape) * data.dtype.itemsize > size:
        raise ReadError(f"it is cut off: the values of {name} end beyond byte {size}; copy it again.")

    def mapped() -> np.ndarray:
        return np.memmap(path, data.dtype, "r", offset or 0, shape)

    # chunks that were never written cost nothing: what counts is what lies in the file
    compressed = bool(filters) or stored_bytes < math.prod(shape) * data.dtype.itemsize
    plain = offset is not None and data.dtype.kind in "iuf"
    dtype = data.dtype.newbyteorder("=")
    lazy = Lazy(
        shape, dtype, _planes(data), stored_bytes, compressed, mapped=mapped if plain else None, close=file.close
    )
    axes, scale, notes, values = _axes(file, data, h5py)
    metadata: dict[str, Any] = {"data_set": name}
    if name == _SCAN:
        metadata |= {k: f"/exchange/{k}" for k in ("data_white", "data_dark") if k in file["exchange"]}
    unit = _text(data.attrs.get("units", ""))
    return Stored(lazy, axes, scale, notes, metadata | ({"value_unit": unit} if unit else {}), axis_values=values)


def _hint(file: Any, h5py: Any) -> str:
    return f"It holds {_listed(_images(file, h5py))}."


def _planes(data: Any) -> Any:
    """Return a function that gives plane k; those that share a chunk are unpacked together."""
    leading, chunks = data.shape[:-2], data.chunks
    per_block = chunks[-3] if chunks and len(chunks) == 3 else 1
    per_block = max(1, min(per_block, _BLOCK // (math.prod(data.shape[-2:]) * data.dtype.itemsize)))
    kept: dict[int, np.ndarray] = {}

    def plane(k: int) -> np.ndarray:
        if len(leading) != 1 or per_block == 1:
            return data[tuple(int(i) for i in np.unravel_index(k, leading))] if leading else data[()]
        block = k // per_block
        if block not in kept:
            kept.clear()
            kept[block] = data[block * per_block : (block + 1) * per_block]
        return kept[block][k % per_block]

    return plane


def _axes(file: Any, data: Any, h5py: Any) -> tuple[str, Scale | None, tuple[str, ...], dict[str, AxisValues]]:
    """Return letters, pixel lengths, notes, and what the steps of other axes mean."""
    n_leading = data.ndim - 2
    letters, values = "I" * n_leading, {}
    lengths: dict[str, float | None] = {}
    unit, detail = "", ""
    notes: tuple[str, ...] = ()
    theta = _get(file, "/exchange/theta", h5py) if data.name == _SCAN else None
    names = _texts(data.parent.attrs.get("axes"))
    if theta is not None and n_leading == 1:
        angles = np.ravel(theta)
        letters = "T"
        own = _text(file["/exchange/theta"].attrs.get("units", "")) or "deg"
        values["T"] = AxisValues(tuple(map(float, angles)), own, "angle")
    elif data.name == _SCAN and n_leading == 1:
        letters = "Z" if ":z" in ":" + _text(data.attrs.get("axes", "")) else "I"
    elif len(names) == data.ndim:
        letters, lengths, unit, values = _nexus_axes(file, data, names, h5py)
        detail = f"axes of {data.parent.name}"
    if data.name == _SCAN:
        for where in _PIXEL:
            value, own = number(np.ravel(found)[0]) if (found := _get(file, where, h5py)) is not None else None, ""
            if value is None:
                continue
            own = _text(_find(file, where, h5py).attrs.get("units", ""))
            if is_length(own):
                lengths, unit, detail = dict.fromkeys("ZYX", value), own, where
                break
            notes = (f"{where} says {value:g} without a unit of length: the pixel size is left unknown",)
    elements = data.attrs.get("element_size_um")  # of Fiji and ilastik: planes, rows, columns
    if not lengths and elements is not None and np.size(elements) == 3:
        lengths = dict(zip("ZYX", (number(v) for v in np.ravel(elements))))
        unit, detail = "µm", "element_size_um"
        letters = "Z" if n_leading == 1 else letters
    scale, more = make_scale(lengths, unit, detail) if lengths else (None, ())
    return distinct(letters + "YX"), scale, (*notes, *more), values


def _nexus_axes(
    file: Any, data: Any, names: list[str], h5py: Any
) -> tuple[str, dict[str, float | None], str, dict[str, AxisValues]]:
    """Return the leading letters, lengths, their unit, and what steps mean, as an NXdata group says.

    Each of its axes is a data set beside the signal, or ``"."``.
    """
    found = []
    for k, name in enumerate(names):
        steps = None if name == "." else _get(file, f"{data.parent.name}/{name}", h5py)
        own = _text(data.parent[name].attrs.get("units", "")) if steps is not None else ""
        fits = steps is not None and np.shape(steps) == (data.shape[k],)
        found.append((name, own, np.asarray(steps, np.float64) if fits else None))
    letters = distinct([*(letter_of(name, own) for name, own, _ in found[:-2]), "Y", "X"])
    lengths: dict[str, float | None] = {}
    values = {}
    unit = next((own for _, own, steps in reversed(found) if steps is not None and is_length(own)), "")
    for letter, (name, own, steps) in zip(letters, found):
        if steps is None:
            continue
        if letter in "ZYX":
            step = even_step(steps)
            if step is not None and is_length(own):
                lengths[letter] = convert(step, normalise_unit(own), normalise_unit(unit))
        else:
            values[letter] = AxisValues(tuple(steps.tolist()), own, name.replace("_", " "))
    return letters[:-2], lengths, unit, values
