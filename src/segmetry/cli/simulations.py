"""Simulated images as files: images, labels and truth in folders with matching names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segmetry.cli.options import open_output
from segmetry.synth import LabelledScene, Scene

if TYPE_CHECKING:
    from segmetry.types import Calibration

S = TypeVar("S", Scene, LabelledScene)


def write_scene(scene: Scene, folder: Path, name: str) -> Path:
    """Write one scene into ``images/``, ``labels/`` and ``truth/`` of a folder; return the image's path."""
    from segmetry.types import Calibration

    facts = {
        "pixel_size": {"value": scene.pixel_size, "unit": scene.unit},
        "population": dict(scene.population),
        "scale_bar": scene.scale_bar.as_dict() if scene.scale_bar else None,
        "parameters": scene.parameters,
    }
    true = Calibration((scene.pixel_size,) * 2, scene.unit, 0.0, "user", "of the simulation")
    return _write(scene, folder, name, true, facts)


def write_labelled(scene: LabelledScene, folder: Path, name: str) -> Path:
    """Write one scene whose pixels have classes, as `write_scene` does, and its graph into ``skeletons/``."""
    from segmetry.io import write_table

    calibration = scene.image.calibration
    facts = {
        "classes": list(scene.classes),
        "pixel_size": {"value": list(calibration.spacing), "unit": calibration.unit},
        **scene.facts,
        "parameters": scene.parameters,
    }
    if scene.skeleton is not None:
        (folder / "skeletons").mkdir(parents=True, exist_ok=True)
        write_table(folder / "skeletons" / f"{name}.csv", scene.skeleton)
    return _write(scene, folder, name, calibration, facts)


def _write(
    scene: Scene | LabelledScene, folder: Path, name: str, calibration: Calibration, facts: Mapping[str, Any]
) -> Path:
    from segmetry.io import write_image, write_labels, write_table
    from segmetry.io.json_file import write_json

    for part in ("images", "labels", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_labels(folder / "labels" / f"{name}.tif", scene.labels, calibration)
    write_table(folder / "truth" / f"{name}.csv", scene.truth)
    write_json(folder / "truth" / f"{name}.json", facts)
    path = folder / "images" / f"{name}.tif"
    write_image(path, scene.image)
    return path


def simulate_particles(out: Path, n: int, seed: int) -> int:
    """Write `n` varied micrographs of particles; return the exit code."""
    from segmetry.synth import scenes

    return _write_all(scenes(n, seed=seed), write_scene, out, "particles", n)


def simulate_labelled(kind: str, out: Path, n: int, seed: int, **options: Any) -> int:
    """Write `n` varied scenes of a kind whose pixels have classes; return the exit code."""
    from segmetry.synth import labelled_scenes

    made = labelled_scenes(kind, n, seed=seed, **options)
    return _write_all(made, write_labelled, out, kind, n)


def _write_all(made: Iterable[S], write: Callable[[S, Path, str], Path], out: Path, kind: str, n: int) -> int:
    from segmetry.cli.progress import track

    open_output(out)
    written = (write(scene, out, f"{kind}-{i:04d}") for i, scene in enumerate(made))
    for _ in track(written, n, lambda path: path.stem):
        pass
    print(f"{out}: {n} images, with labels/ and truth/ of the same names beside images/.")
    return 0
