"""Surfaces as STL, PLY and GLB (glTF 2.0), binary, in world units."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segmetry.errors import CalibrationError, LabelError, OptionError
from segmetry.io.atomic import atomic
from segmetry.measure.mesh import Mesh
from segmetry.units import METRES, PIXEL

Colour = tuple[int, int, int]
GREY: Colour = (200, 200, 200)


def write_meshes(path: str | Path, meshes: Sequence[Mesh], *, colours: Sequence[Colour] = ()) -> None:
    """Write surfaces as one file, of the kind that its suffix names; it is there whole or not at all.

    Parameters
    ----------
    path : path
        ``.stl``, ``.ply`` or ``.glb``.
    meshes : sequence of Mesh
        Of one unit.
    colours : sequence of (red, green, blue), 0 to 255, optional
        One for each mesh; light grey by default. STL has none.

    Raises
    ------
    OptionError
        If the suffix is none of these, or colours are not as many as meshes.
    LabelError
        If there is no triangle to write.
    CalibrationError
        If the meshes differ in their unit, or a GLB is asked for and the unit is px.
    WriteError
        If the place cannot be written.

    Notes
    -----
    STL and PLY know no units: coordinates are in that of the meshes, which stands in STL's header and in a comment of
    PLY (pure ASCII, so µm is ``um`` and Å ``angstrom`` there). STL keeps no objects apart; PLY has a colour for each
    corner and the label for each triangle. GLB is in metres by its standard: coordinates stay in their unit, which
    keeps their digits, under a node that scales them to metres; every mesh is a node of its own, ``label 3``, with a
    material.

    References
    ----------
    glTF 2.0, ISO/IEC 12113:2022.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise OptionError(f"{path}: a surface is written as {', '.join(_WRITERS)}; choose one of these suffixes.")
    if not sum(len(mesh.faces) for mesh in meshes):
        raise LabelError(f"{path}: there is no surface to write; choose a label that occurs.")
    units = {mesh.unit for mesh in meshes}
    if len(units) > 1:
        raise CalibrationError(f"{path}: the surfaces come in {' and '.join(sorted(units))}; bring them to one unit.")
    if path.suffix.lower() == ".glb" and units == {PIXEL}:
        raise CalibrationError(f"{path}: GLB is in metres but the surface in px; give a pixel size, or write PLY.")
    colours = list(colours) or [GREY] * len(meshes)
    if len(colours) != len(meshes):
        raise OptionError(f"{path}: {len(colours)} colours for {len(meshes)} surfaces; give one for each.")
    with atomic(path) as temporary, temporary.open("wb") as file:
        write(file, meshes, colours)


def _ascii(unit: str) -> str:
    return {"µm": "um", "Å": "angstrom"}.get(unit, unit)


def _stl(file: BinaryIO, meshes: Sequence[Mesh], colours: Sequence[Colour]) -> None:
    faces = np.concatenate([mesh.vertices[mesh.faces] for mesh in meshes])  # (F, 3, 3)
    normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    size = np.linalg.norm(normals, axis=1, keepdims=True)
    rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"] = np.divide(normals, size, out=np.zeros_like(normals), where=size > 0)
    rows["corners"] = faces
    # A header that starts with "solid" would be taken for the text format.
    file.write(f"binary STL, unit {_ascii(meshes[0].unit)}, segmetry".encode("ascii").ljust(80))
    file.write(struct.pack("<I", len(rows)))
    file.write(rows.tobytes())


def _ply(file: BinaryIO, meshes: Sequence[Mesh], colours: Sequence[Colour]) -> None:
    n_corners, n_faces = (sum(len(part) for part in parts) for parts in zip(*((m.vertices, m.faces) for m in meshes)))
    axes = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    shades = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment segmetry, unit {_ascii(meshes[0].unit)}\n"
        f"element vertex {n_corners}\n{axes}{shades}"
        f"element face {n_faces}\nproperty list uchar int vertex_indices\nproperty int label\nend_header\n"
    )
    corners = np.zeros(n_corners, [("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    faces = np.zeros(n_faces, [("n", "u1"), ("corners", "<i4", 3), ("label", "<i4")])
    faces["n"] = 3
    v = f = 0
    for mesh, colour in zip(meshes, colours, strict=True):
        own, rows = corners[v : v + len(mesh.vertices)], faces[f : f + len(mesh.faces)]
        own["place"], own["normal"], own["colour"] = mesh.vertices, mesh.normals, colour
        rows["corners"], rows["label"] = mesh.faces + v, mesh.label
        v, f = v + len(own), f + len(rows)
    file.write(header.encode("ascii"))
    file.write(corners.tobytes())
    file.write(faces.tobytes())


_FLOAT, _UINT, _CORNERS, _INDICES = 5126, 5125, 34962, 34963  # glTF's names for kinds of data


def _glb(file: BinaryIO, meshes: Sequence[Mesh], colours: Sequence[Colour]) -> None:
    blob = bytearray()
    views: list[dict[str, object]] = []
    accessors: list[dict[str, object]] = []

    def add(array: np.ndarray, kind: int, target: int, shape: str) -> int:
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data), "target": target})
        accessors.append({"bufferView": len(views) - 1, "componentType": kind, "count": len(array), "type": shape})
        blob.extend(data)
        return len(accessors) - 1

    solids = [(mesh, colour) for mesh, colour in zip(meshes, colours, strict=True) if len(mesh.faces)]
    parts = []
    for k, (mesh, _) in enumerate(solids):
        places = mesh.vertices.astype("<f4")
        place = add(places, _FLOAT, _CORNERS, "VEC3")
        accessors[place] |= {"min": places.min(axis=0).tolist(), "max": places.max(axis=0).tolist()}
        normal = add(mesh.normals.astype("<f4"), _FLOAT, _CORNERS, "VEC3")
        corners = add(mesh.faces.astype("<u4").ravel(), _UINT, _INDICES, "SCALAR")
        parts.append(
            {"primitives": [{"attributes": {"POSITION": place, "NORMAL": normal}, "indices": corners, "material": k}]}
        )
    names = [f"label {mesh.label}" for mesh, _ in solids]
    unit = meshes[0].unit
    tree = {
        "asset": {"version": "2.0", "generator": "segmetry", "extras": {"unit_of_coordinates": unit}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": f"1 {unit}", "scale": [METRES[unit]] * 3, "children": list(range(1, len(solids) + 1))}]
        + [{"name": name, "mesh": k} for k, name in enumerate(names)],
        "meshes": [{"name": name} | part for name, part in zip(names, parts, strict=True)],
        "materials": [
            {
                "name": name,
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*map(_linear, colour), 1.0],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.7,
                },
            }
            for name, (_, colour) in zip(names, solids, strict=True)
        ],
        "buffers": [{"byteLength": len(blob)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(blob)))
    file.write(struct.pack("<I4s", len(text), b"JSON"))
    file.write(text)
    file.write(struct.pack("<I4s", len(blob), b"BIN\0"))
    file.write(blob)


def _linear(shade: int) -> float:
    """Return a colour's share of light: glTF's factors are linear, those of pictures are sRGB."""
    share = shade / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


_WRITERS: dict[str, Callable[[BinaryIO, Sequence[Mesh], Sequence[Colour]], None]] = {
    ".stl": _stl,
    ".ply": _ply,
    ".glb": _glb,
}
