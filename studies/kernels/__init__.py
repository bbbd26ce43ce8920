"""Does the drop with size move with the receptive field? Kernel 3 against 7, and more images of high contrast.

Micrographs of the nanoparticle study (`studies/nanoparticles`), smaller and of other seeds where they train.
"""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np

from nanoparticles.analysis import CLASSES
from nanoparticles.run import object_iou
from nanoparticles.scenes import Setting, scattered_per_nm, scene_of, settings
from networks import Data, once

SIDE = 512
N_TRAIN, N_ADDED, N_JUDGED = 96, 64, 48
SEEDS = {"train": 1, "added": 2, "judged": 0}


def data(table: str, out: Path) -> Data:
    """Return a manifest of micrographs that train, that are added to them, and that judge."""
    return {"images": once(out / table, write_micrographs) / "manifest.csv"}


def drawn() -> dict[str, list[Setting]]:
    """Return the settings of each part; the added ones scatter most of four times as many."""
    many = settings(4 * N_ADDED, seed=SEEDS["added"])
    strongest = sorted(many, key=contrast, reverse=True)[:N_ADDED]
    return {
        "train": settings(N_TRAIN, seed=SEEDS["train"]),
        "added": strongest,
        "judged": settings(N_JUDGED, seed=SEEDS["judged"]),
    }


def contrast(setting: Setting) -> float:
    """Return the share of the electrons that a particle of mean size scatters onto the detector, or away from it."""
    return setting.size * scattered_per_nm(setting.material, setting.modality, setting.instrument.kilovolts)


def write_micrographs(folder: Path) -> None:
    """Write images with greys from 0 to 1, the numbers of their particles, and the manifest."""
    import tifffile

    from segmetry.io import write_labels

    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rows = []
    for part, chosen in drawn().items():
        for setting in chosen:
            scene, name = scene_of(setting, SIDE), f"{part}-{setting.number:03d}"
            pixels = scene.image.pixels.astype(np.float32) / (2**setting.instrument.bits - 1)
            tifffile.imwrite(folder / "images" / f"{name}.tif", pixels)
            write_labels(folder / "labels" / f"{name}.tif", scene.labels)
            group = "added" if part == "added" else name
            use = "check" if part == "judged" else "train"
            rows.append((f"images/{name}.tif", f"labels/{name}.tif", group, use))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label", "group", "part"), *rows])


def further(folder: Path, data: Path) -> str:
    """Return the IoU of particles by their diameter as Markdown: of each setting, and what it gains on the first."""
    from segmetry.evaluate.paired import paired_difference
    from segmetry.evaluate.uncertain import mean_over_images
    from segmetry.report.text import format_estimate

    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    found = {
        run["setting"]: by_diameter(folder / "work" / run["folder"] / "model", data / folder.name)
        for run in study["runs"]
        if run["state"] == "done"
    }
    heads = [f"{a:g} to {b:g} px" for a, b in itertools.pairwise(CLASSES)]
    title = "### IoU of a particle by its diameter, mean over images"
    lines = [title, "", f"| setting | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    names = [row["setting"] for row in study["rows"]]
    first = next((found[name] for name in names if name in found), None)
    for name in names:
        cells = ["not run"] * len(heads)
        if name in found:
            means = [mean_over_images(values, bounds=(0, 1)) for values in found[name].T]
            cells = [format_estimate(e.value, e.low, e.high) for e in means]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if name in found and found[name] is not first:
            gains = [paired_difference(a, b).estimate for a, b in zip(first.T, found[name].T)]
            lines.append(f"| *gained* | {' | '.join(format_estimate(e.value, e.low, e.high) for e in gains)} |")
    return "\n".join(lines) + "\n"


def by_diameter(model: Path, data: Path) -> np.ndarray:
    """Return the mean IoU of the particles of each class of diameters in each image that judges; nan without any."""
    import tifffile

    from segmetry.segment.engine import load_model, normalise
    from segmetry.segment.objects import components

    engine = load_model(model)
    rows = []
    for path in sorted((data / "images").glob("judged-*.tif")):
        pixels, truth = tifffile.imread(path), tifffile.imread(data / "labels" / path.name).astype(np.int32)
        labels = components(engine.maps(normalise(engine.card, pixels[None]))[0] > 0).labels
        iou, area = object_iou(truth, labels), np.bincount(truth.ravel())[1:]
        at = np.where(area > 0, np.digitize(np.sqrt(4 / np.pi * area), CLASSES) - 1, -1)
        rows.append([iou[at == k].mean() if (at == k).any() else np.nan for k in range(len(CLASSES) - 1)])
    return np.array(rows)
