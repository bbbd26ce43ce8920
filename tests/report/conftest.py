"""Results as the pipeline makes them, built by hand: the report needs their fields, not the way they came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segmetry.types import Calibration, Estimate, Image, Interval, Segmentation, Source


@dataclass(frozen=True, eq=False)
class Distribution:
    measure: str
    weighting: str
    unit: str
    n: int
    n_dropped: int
    edges: np.ndarray
    density: np.ndarray
    density_low: np.ndarray
    density_high: np.ndarray
    x: np.ndarray
    cumulative: np.ndarray
    cumulative_low: np.ndarray
    cumulative_high: np.ndarray
    estimates: Mapping[str, Estimate]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    r: np.ndarray
    g: np.ndarray
    low: np.ndarray
    high: np.ndarray
    unit: str
    n: int
    density: Estimate
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScaleBar:
    value: float
    unit: str
    length_px: float
    x0: float
    y0: float
    x1: float
    y1: float
    confidence: float
    rel_uncertainty: float
    text: str

    @property
    def pixel_size(self) -> float:
        return self.value / self.length_px


@dataclass(frozen=True, eq=False)
class Annotations:
    scale_bar: ScaleBar | None
    ignore: np.ndarray
    texts: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    method: str = "otsu"

    def as_dict(self) -> dict[str, Any]:
        return {
            "segmetry": "0.1.0",
            "read": {"scale": "auto", "pixel_size": None, "page": None},
            "segment": {"method": self.method, "min_size": 12},
            "measure": "all",
            "statistics": {"level": 0.95, "edge_correction": True, "seed": 0},
        }

    def to_yaml(self) -> str:
        return f"segmetry: 0.1.0\nsegment:\n  method: {self.method}\n  min_size: 12\nstatistics:\n  seed: 0\n"


@dataclass(frozen=True)
class Provenance:
    software: str = "segmetry"
    version: str = "0.1.0"
    python: str = "3.11.2"
    platform: str = "Linux-x86_64"
    packages: Mapping[str, str] = field(default_factory=lambda: {"numpy": "2.4.6", "scipy": "1.17.0"})
    time: str = "2026-01-02T03:04:05+00:00"
    input_sha256: str = "ab" * 32
    recipe_sha256: str = "cd" * 32
    seed: int = 0
    seconds: float = 1.25

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class Result:
    image: Image
    annotations: Annotations
    segmentation: Segmentation
    table: pd.DataFrame
    distributions: dict[str, Distribution]
    radial: RadialDistribution | None
    estimates: dict[str, Estimate]
    recipe: Recipe
    provenance: Provenance
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class BatchResult:
    rows: list[dict[str, Any]]
    failures: list[dict[str, str]]
    distributions: dict[str, Distribution]
    estimates: dict[str, Estimate]
    recipe: Recipe
    provenance: Provenance
    notes: tuple[str, ...] = ()


def estimate(name: str, value: float, half: float, unit: str, n: int = 0, **more: Any) -> Estimate:
    shares = MappingProxyType({"counting": 0.8, "segmentation": 0.0, "calibration": 0.2})
    return Estimate(name, value, value - half, value + half, unit, 0.95, "bootstrap of objects", shares, n=n, **more)


def make_distribution(values: np.ndarray, unit: str, weighting: str = "number") -> Distribution:
    power = {"number": 0, "area": 2, "volume": 3}[weighting]
    n = len(values)
    if n == 0:
        none = np.zeros(0)
        nothing = {k: Estimate(k, np.nan, unit=unit, note="no objects") for k in ("d10", "d50", "d90", "mean")}
        return Distribution("equivalent_diameter", weighting, unit, 0, 0, *[none] * 8, nothing, ("no objects",))
    weights = values**power / (values**power).sum()
    low, high = values.min() * 0.9, values.max() * 1.1
    edges = np.geomspace(low, high, 16)
    density = np.histogram(values, edges, weights=weights)[0] / np.diff(edges)
    x = np.sort(values)
    cumulative = np.cumsum(weights[np.argsort(values)])
    spread = 1.96 * np.sqrt(np.maximum(cumulative * (1 - cumulative), 0) / n)
    error = density / np.sqrt(np.maximum(np.histogram(values, edges)[0], 1))
    quantiles = {k: float(np.interp(p, cumulative, x)) for k, p in (("d10", 0.1), ("d50", 0.5), ("d90", 0.9))}
    half = 1.25 * values.std() / n**0.5 + 0.01 * values.mean()
    estimates = {k: estimate(k, v, half, unit, n) for k, v in quantiles.items()}
    estimates["mean"] = estimate("mean", float(weights @ values), half, unit, n)
    estimates["span"] = estimate("span", (quantiles["d90"] - quantiles["d10"]) / quantiles["d50"], 0.05, "", n)
    return Distribution("equivalent_diameter", weighting, unit, n, 2, edges, density, np.maximum(density - error, 0),
                        density + error, x, cumulative, np.clip(cumulative - spread, 0, 1),
                        np.clip(cumulative + spread, 0, 1), estimates)  # fmt: skip


def make_radial(unit: str, n: int) -> RadialDistribution:
    r = np.linspace(1, 60, 60)
    g = 1 - np.exp(-((r / 9) ** 4)) + 0.5 * np.exp(-((r - 14) ** 2) / 20)
    return RadialDistribution(
        r, g, g - 0.15, g + 0.15, unit, n, estimate("number_density", 3e-4, 2e-5, f"{unit}^-2", n)
    )


def make_table(labels: np.ndarray, pixels: np.ndarray, size: float, unit: str) -> pd.DataFrame:
    n = int(labels.max(initial=0))
    area = np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(float)
    total = np.maximum(area, 1)
    rows, cols = np.indices(labels.shape)
    frame = np.zeros(labels.shape, bool)
    frame[0], frame[-1], frame[:, 0], frame[:, -1] = True, True, True, True
    touches = np.isin(np.arange(1, n + 1), labels[frame])
    table = pd.DataFrame(
        {
            "label": np.arange(1, n + 1),
            "area": area * size**2,
            "equivalent_diameter": 2 * np.sqrt(area / np.pi) * size,
            "centroid-0": np.bincount(labels.ravel(), rows.ravel(), n + 1)[1:] / total,
            "centroid-1": np.bincount(labels.ravel(), cols.ravel(), n + 1)[1:] / total,
            "aspect_ratio": 1.0 + 0.1 * (np.arange(n) % 5),
            "circularity": np.full(n, 0.95),
            "intensity_mean": np.bincount(labels.ravel(), pixels.ravel(), n + 1)[1:] / total,
            "shape": np.array(["sphere"] * n, dtype=object),
            "edge_weight": np.where(touches, np.nan, 1.1),
            "touches_edge": touches,
            "few_pixels": area < 20,
            "saturated": np.zeros(n, bool),
            "uncalibrated": np.full(n, unit == "px"),
            "over_text": np.zeros(n, bool),
        }
    )
    table.attrs["units"] = {"area": f"{unit}^2", "equivalent_diameter": unit, "centroid-0": "px", "centroid-1": "px",
                            "intensity_mean": "intensity"}  # fmt: skip
    return table


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
        ignore[-20:, :120] = True
        scale_bar = ScaleBar(50, "nm", 96.2, 8.0, height - 8.0, 104.2, height - 8.0, 0.93, 0.004, "50 nm")
    image = Image(
        pixels, calibration=calibration, name=name, ignore=ignore, source=Source(Path(f"{name}.png"), "ab" * 32)
    )
    table = make_table(labels, pixels, size, unit)
    values = table["equivalent_diameter"].to_numpy()[~table["touches_edge"].to_numpy(bool)]
    distributions = {w: make_distribution(values, unit, w) for w in ("number", "area", "volume")}
    estimates = dict(distributions["number"].estimates)
    if len(values):
        middle = estimates["d50"].value
        estimates["d50"] = dataclasses.replace(estimates["d50"], this_image=Interval(middle - 0.1, middle + 0.1))
        estimates["aspect_ratio"] = estimate("aspect_ratio", 1.2, 0.04, "", len(values))
        estimates["number_density"] = estimate("number_density", 3.4e-4, 3e-5, f"{unit}^-2", len(values))
        estimates["area_fraction"] = estimate("area_fraction", 0.151, 0.02, "", len(values))
    annotations = Annotations(scale_bar, ignore, (), () if scale_bar else ("no scale bar was found.",))
    segmentation = Segmentation(
        labels, method={"method": "otsu", "min_size": 12}, info={"polarity": "dark", "threshold": 121.0}
    )
    result = Result(image, annotations, segmentation, table, distributions, make_radial(unit, n) if n > 1 else None,
                    estimates, Recipe(), Provenance(), notes)  # fmt: skip
    return dataclasses.replace(result, **changes)


def row_of(result: Result, folder: str) -> dict[str, Any]:
    calibration = result.image.calibration
    return {
        "folder": folder,
        "image": result.image.name,
        "n": len(result.table),
        "pixel_size": {
            "value": calibration.pixel_size if calibration.known else None,
            "unit": calibration.unit,
            "source": calibration.source,
            "rel_uncertainty": calibration.rel_uncertainty,
        },
        "scale_bar": None,
        "notes": list(result.notes),
        **{k: result.estimates[k].as_dict() for k in ("d10", "d50", "d90")},
    }


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """Build a result: `build(n, labels=, pixels=, calibrated=, name=, notes=, bar=, **fields)`."""
    return build


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., BatchResult]:
    """Build a batch from results."""

    def batch(results: list[Result], folders: list[str] | None = None, **changes: Any) -> BatchResult:
        folders = folders or [r.image.name for r in results]
        values = np.concatenate([r.table["equivalent_diameter"].to_numpy() for r in results])
        unit = results[0].image.calibration.unit
        distributions = {w: make_distribution(values, unit, w) for w in ("number", "area", "volume")}
        whole = BatchResult(
            [row_of(r, f) for r, f in zip(results, folders, strict=True)],
            [{"path": "bad.tif", "folder": "bad", "kind": "ReadError", "error": "bad.tif: the file is empty."}],
            distributions, dict(distributions["number"].estimates), results[0].recipe, results[0].provenance,
        )  # fmt: skip
        return dataclasses.replace(whole, **changes)

    return batch
