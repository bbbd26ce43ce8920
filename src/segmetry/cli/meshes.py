"""`segmetry mesh`: surfaces of chosen labels as a file of triangles, with a picture from all sides."""

from __future__ import annotations

import json
from pathlib import Path

from segmetry.errors import ImageError, OptionError
from segmetry.io import read_labels
from segmetry.io.atomic import atomic
from segmetry.types import Calibration


def write_surfaces(
    labels: Path, out: Path, *, chosen: str | None, smoothing: int, pixel_size: str | None, as_json: bool
) -> int:
    """Write the surfaces of labels, say their area and volume, and return the exit code."""
    from segmetry.io.mesh_files import write_meshes
    from segmetry.measure.mesh import meshes_of
    from segmetry.report.picture import class_colours, encode_png
    from segmetry.report.turntable import turntable

    found = read_labels(labels)
    if found.values.ndim != 3:
        raise ImageError(f"{labels}: has the axes {found.axes}, but a surface is that of a volume; name a stack.")
    calibration = Calibration.from_text(pixel_size, 3) if pixel_size else found.calibration
    meshes = meshes_of(found.values, _numbers(chosen), smoothing=smoothing, calibration=calibration)
    hexes = class_colours(len(meshes) + 1)[1:]
    colours = [(int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16)) for c in hexes]
    write_meshes(out, meshes, colours=colours)
    picture = out.with_suffix(".png")
    with atomic(picture) as temporary:
        temporary.write_bytes(encode_png(turntable(meshes, colours)))
    if as_json:
        rows = [
            {"label": m.label, "faces": len(m.faces), "area": m.area, "volume": m.volume, "unit": m.unit}
            for m in meshes
        ]
        print(json.dumps({"mesh": str(out), "picture": str(picture), "surfaces": rows}, indent=2, ensure_ascii=False))
        return 0
    for m in meshes:
        print(
            f"label {m.label}: {len(m.faces)} triangles, area {m.area:.4g} {m.unit}², volume {m.volume:.4g} {m.unit}³"
        )
    print(f"{out}\n{picture}")
    return 0


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) for part in parts):
        raise OptionError(f"--labels {text!r}: name labels by their numbers from 1, such as 1,3.")
    return [int(part) for part in parts]
