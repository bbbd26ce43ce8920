"""Every method on every micrograph of the study: what was found, image by image, resumable."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmetry.evaluate import average_precision, match
from segmetry.evaluate.properties import object_properties
from segmetry.evaluate.semantic import count_classes, foreground
from segmetry.io.atomic import atomic
from segmetry.measure import measure
from segmetry.segment import segment
from segmetry.segment.pick import pick_particles
from segmetry.synth import Scene
from segmetry.types import Calibration

from .scenes import SIDE, Setting, scene_of, scene_options

METHODS = {"global": "otsu", "local": "local", "hybrid-literal": "hybrid-literal", "hybrid": "hybrid"}
"""The study's name of a method -> segmetry's. All with the options that they have by default."""
PICKS = ("inside", "isolated")
"""Particles whose diameters are told: all that the frame does not cut, and of these the isolated ones."""
VERSION = 1
"""Of what is kept of an image; a kept one of another version is made again."""


def examine(setting: Setting, side: int = SIDE) -> dict[str, Any]:
    """Return all that the study keeps of one micrograph, as plain data."""
    cv2.setNumThreads(1)
    scene = scene_of(setting, side)
    true_side = "dark" if setting.modality.kind in ("bf-tem", "bf-stem") else "bright"
    objects = object_properties(scene.labels, scene.image.pixels)
    contrast = objects["contrast"] / float(2**setting.instrument.bits - 1)
    out: dict[str, Any] = {
        "key": key_of(setting, side),
        "image": setting.name,
        **setting.factors(),
        "pixel_size": scene.pixel_size,
        "n_truth": len(objects),
        "diameter_px": float(objects["equivalent_diameter"].median()),
        "contrast": float(contrast.median()),
        "contrast_to_noise": float(objects["contrast_to_noise"].median()),
        "truth": {
            "diameter_px": objects["equivalent_diameter"].tolist(),
            "contrast": contrast.tolist(),
            "contrast_to_noise": objects["contrast_to_noise"].tolist(),
            "isolated_at": isolated_numbers(scene.labels),
            **diameters(scene.labels, scene),
        },
        "methods": {},
    }
    for name, method in METHODS.items():
        start = time.perf_counter()
        found = segment(scene.image, method)
        seconds = time.perf_counter() - start
        told = found
        if found.info["polarity"] != true_side:
            told = segment(scene.image, method, options={"polarity": true_side})
        out["methods"][name] = {
            "seconds": seconds,
            "polarity_right": found.info["polarity"] == true_side,
            "scores": scores(scene.labels, found.labels),
            "scores_polarity_told": scores(scene.labels, told.labels),
            "object_iou": object_iou(scene.labels, found.labels).tolist(),
            "object_iou_polarity_told": object_iou(scene.labels, told.labels).tolist(),
            **diameters(found.labels, scene),
            "polarity_told": diameters(told.labels, scene),
        }
    return out


def scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Return the Jaccard coefficient, precision and recall of the foreground, and AP at IoU 0.5."""
    pixels = count_classes(foreground(truth), foreground(prediction)).scores()
    return {
        "jaccard": pixels["jaccard"],
        "pixel_precision": pixels["precision"],
        "pixel_recall": pixels["recall"],
        "ap50": float(average_precision(truth, prediction, (0.5,))[0]),
        "n": float(prediction.max(initial=0)),
    }


def object_iou(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the IoU of each true object with the one that it is matched to, 0 where it has none; (L,)."""
    matches = match(truth, prediction)
    iou = np.zeros(int(truth.max(initial=0)))
    iou[matches.truth - 1] = matches.iou
    return iou


def diameters(labels: np.ndarray, scene: Scene) -> dict[str, list[float]]:
    """Return the equivalent diameters (nm) of the particles that the frame does not cut, and of the isolated ones."""
    calibration = Calibration((scene.pixel_size, scene.pixel_size), scene.unit, 0.0, "user", "of the simulation")
    out = {}
    for pick in PICKS:
        table = measure(pick_particles(labels, pick).labels, calibration=calibration, measures=["equivalent_diameter"])
        out[pick] = [round(float(d), 4) for d in table["equivalent_diameter"]]
    return out


def isolated_numbers(labels: np.ndarray) -> list[int]:
    """Return the labels of the isolated true particles."""
    picked = pick_particles(labels, "isolated").labels
    return np.unique(labels[picked > 0]).tolist()


def _task(task: tuple[Setting, Path, int]) -> str:
    setting, path, side = task
    text = json.dumps(examine(setting, side))
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return setting.name


def key_of(setting: Setting, side: int) -> str:
    """Return what must be the same for a kept finding to be of use: the options of the scene, and `VERSION`."""
    text = json.dumps([VERSION, scene_options(setting, side)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_done(path: Path, setting: Setting, side: int) -> bool:
    """Return whether an image was examined already, with the same scene and version."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["key"] == key_of(setting, side)
    except (OSError, ValueError, KeyError):
        return False


def run(
    settings: Iterable[Setting],
    folder: Path,
    *,
    side: int = SIDE,
    jobs: int = 2,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Examine what is not examined yet, and return all that was found, in the order of the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = list(settings)
    paths = [folder / f"{s.name}.json" for s in settings]
    open_ = [(s, p, side) for s, p in zip(settings, paths) if not is_done(p, s, side)]
    say(f"{len(settings)} micrographs, {len(settings) - len(open_)} of them examined before")
    if jobs == 1:
        done: Iterable[str] = map(_task, open_)
        _count(done, len(open_), say)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            _count(pool.map(_task, open_), len(open_), say)
    return [json.loads(p.read_text(encoding="utf-8")) for p in paths]


def _count(done: Iterable[str], n: int, say: Callable[[str], None]) -> None:
    start = time.perf_counter()
    for i, name in enumerate(done, start=1):
        if i % 10 == 0 or i == n:
            say(f"{name}: {i} of {n} in {time.perf_counter() - start:.0f} s")
