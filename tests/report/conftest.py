"""Results as the pipeline makes them, from drawn disks, so that a test can choose every part."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segmetry.gather import BatchResult
from segmetry.io.scalebar import Annotations, ScaleBar
from segmetry.measure import distribution, measure, radial_distribution, summarise
from segmetry.pipeline import Provenance, Result
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Image, Interval, Segmentation, Source

PROVENANCE = Provenance(
    software="segmetry",
    version="0.1.0",
    python="3.11.2",
    platform="Linux-x86_64",
    packages={"numpy": "2.4.6", "scipy": "1.17.0"},
    time="2026-01-02T03:04:05+00:00",
    input_sha256="ab" * 32,
    recipe_sha256="cd" * 32,
    seed=0,
    seconds=1.25,
)


def disks(shape: tuple[int, int], n: int, seed: int = 0) -> np.ndarray:
    """Return disks that do not overlap, labelled from 1; fewer than n where there is no more room."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, cols = np.indices(shape)
    for _ in range(20 * n):
        if labels.max(initial=0) == n:
            break
        r, c, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.lognormal(np.log(9), 0.3)
        near = (rows - r) ** 2 + (cols - c) ** 2
        if not labels[near < (radius + 2) ** 2].any() and (inside := near < radius**2).any():
            labels[inside] = labels.max() + 1
    return labels


def build(
    n: int = 30,
    *,
    labels: np.ndarray | None = None,
    pixels: np.ndarray | None = None,
    calibrated: bool = True,
    name: str = "gold",
    notes: tuple[str, ...] = (),
    bar: bool = True,
    **changes: Any,
) -> Result:
    labels = disks((200, 260), n) if labels is None else labels
    if pixels is None:
        pixels = np.where(labels > 0, 70, 180).astype(np.uint8)
        pixels += np.random.default_rng(1).integers(0, 20, labels.shape, dtype=np.uint8)
    size, unit = (0.52, "nm") if calibrated else (1.0, "px")
    calibration = Calibration((size, size), unit, 0.004, "scale bar", "50 nm") if calibrated else Calibration.unknown()
    ignore = np.zeros(labels.shape, bool)
    height = labels.shape[0]
    scale_bar = None
    if bar and calibrated:
        ignore[-4:, :60] = True
        scale_bar = ScaleBar(50, "nm", 96.2, 8.0, height - 8.0, 104.2, height - 8.0, 0.93, 0.004, "50 nm")
    source = Source(Path(f"{name}.png"), "ab" * 32)
    image = Image(pixels, calibration=calibration, name=name, ignore=ignore, source=source)
    segmentation = Segmentation(
        labels, method={"method": "otsu", "min_size": 12}, info={"polarity": "dark", "threshold": 121.0}
    )
    table = measure(segmentation, image)
    rel = calibration.rel_uncertainty
    distributions = {w: distribution(table, weighting=w, rel_uncertainty=rel) for w in ("number", "area", "volume")}
    estimates = summarise(table, frame_shape=labels.shape, calibration=calibration)
    if math.isfinite(middle := estimates["d50"].value):
        estimates["d50"] = dataclasses.replace(estimates["d50"], this_image=Interval(middle - 0.1, middle + 0.1))
    points = (table[["centroid-0", "centroid-1"]].to_numpy(float) + 0.5) * size
    sides = (labels.shape[0] * size, labels.shape[1] * size)
    radial = radial_distribution(points, sides, unit=unit, rel_uncertainty=rel)
    annotations = Annotations(scale_bar, ignore, (), () if scale_bar else ("no scale bar was found.",))
    recipe = Recipe.build("otsu")
    result = Result(
        image, annotations, segmentation, table, distributions, radial, estimates, recipe, PROVENANCE, notes
    )
    return dataclasses.replace(result, **changes)


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """Build a result: `build(n, labels=, pixels=, calibrated=, name=, notes=, bar=, **fields)`."""
    return build


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., BatchResult]:
    """Build a batch from results."""

    def batch(results: list[Result], folders: list[str] | None = None, **changes: Any) -> BatchResult:
        folders = folders or [r.image.name for r in results]
        table = pd.concat([r.table for r in results], ignore_index=True)
        table.attrs = results[0].table.attrs
        distributions = {w: distribution(table, weighting=w) for w in ("number", "area", "volume")}
        whole = BatchResult(
            [{"folder": f} | r.summary() for r, f in zip(results, folders, strict=True)],
            [{"path": "bad.tif", "folder": "bad", "kind": "ReadError", "error": "bad.tif: the file is empty."}],
            distributions, dict(distributions["number"].estimates), results[0].recipe, results[0].provenance,
        )  # fmt: skip
        return dataclasses.replace(whole, **changes)

    return batch
