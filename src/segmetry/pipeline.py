"""One image through a recipe: read, calibrate, segment, measure, summarise."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.io import Annotations, calibrate, read, write_labels, write_table
from segmetry.io.json_file import plain, write_json
from segmetry.io.ome_tiff import MAPS_FILE, write_maps
from segmetry.io.samples import SAMPLES_FILE, write_samples
from segmetry.measure import (
    MEASURES,
    centres,
    distribution,
    measure,
    particles_needed,
    radial_distribution,
    summarise,
)
from segmetry.measure.distributions import Weighting
from segmetry.measure.segmentation_share import border_of, count_sd_of, sample_tables
from segmetry.measure.spatial import sample_centres
from segmetry.recipe import Recipe
from segmetry.segment import segment
from segmetry.types import Estimate, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.measure import Distribution, RadialDistribution
    from segmetry.measure.uncertainty import ParticlesNeeded

WEIGHTINGS: tuple[Weighting, ...] = ("number", "area", "volume")
"""Size distributions that every result holds; the first one gives D10, D50, D90 of the summary."""

NEEDED = ("area", "volume", "equivalent_diameter", "centroid", "feret_max", "edge_weight", "touches_edge")
"""Measures that statistics and report rest on: they are in every table, whatever the recipe names."""

PRECISION = 0.05
"""Half-width of D50's interval over D50 for which a result says how many particles it takes."""

RAGGED = 0.85
"""Median solidity below which outlines are doubted (docs/studies/emps-hybrid.md)."""

_PACKAGES = ("numpy", "scipy", "numba", "opencv-python-headless", "scikit-image", "pandas", "rapidocr", "onnxruntime")


@dataclass(frozen=True)
class Provenance:
    """What made a result: versions, hashes, seed, time."""

    software: str
    version: str
    python: str
    platform: str
    packages: Mapping[str, str]
    time: str
    input_sha256: str
    recipe_sha256: str
    seed: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that one image gave.

    `recipe` is exact: it names the method that was used, and `why_method` says whether that was asked for or is the
    default for such an image. `samples` are the tables of the segmentation's Monte Carlo samples (`sample_tables`).
    """

    image: Image
    annotations: Annotations
    segmentation: Segmentation
    table: pd.DataFrame
    distributions: dict[str, Distribution]
    radial: RadialDistribution | None
    estimates: dict[str, Estimate]
    recipe: Recipe
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())
    why_method: str = "asked for"
    samples: tuple[pd.DataFrame, ...] = field(default=())

    @property
    def needed(self) -> ParticlesNeeded:
        """How many particles bring D50's interval down to `PRECISION`."""
        return particles_needed(self.estimates["d50"], PRECISION)

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """All the doubt about each pixel of an image and its two parts, nats; none where the parts are not known."""
        total, model, image = (getattr(self.segmentation, x) for x in ("uncertainty", "epistemic", "aleatoric"))
        if total is None or model is None or image is None or total.ndim != 2:
            return {}
        return {"total": total, "epistemic": model, "aleatoric": image}

    def summary(self) -> dict[str, Any]:
        """Return the numbers as plain data: the content of ``summary.json``."""
        calibration, bar = self.image.calibration, self.annotations.scale_bar
        estimates = {name: estimate.as_dict() for name, estimate in self.estimates.items()}
        return {
            "image": self.image.name,
            "source": self.image.source.path.name if self.image.source else None,
            "shape": list(self.image.spatial_shape),
            "n": len(self.table),
            "maps": MAPS_FILE if self.maps else None,
            "n_samples": len(self.samples),
            "method": {"name": self.recipe.method.name, "why": self.why_method},
            "pixel_size": {
                "value": calibration.pixel_size if calibration.known else None,
                "spacing": list(calibration.spacing) if calibration.known else None,
                "unit": calibration.unit,
                "source": calibration.source,
                "rel_uncertainty": calibration.rel_uncertainty if calibration.known else None,
                "detail": calibration.detail,
            },
            "scale_bar": bar
            and {
                name: getattr(bar, name)
                for name in (
                    "value",
                    "unit",
                    "length_px",
                    "x0",
                    "y0",
                    "x1",
                    "y1",
                    "confidence",
                    "rel_uncertainty",
                    "text",
                )
            },
            **{name: estimates.pop(name) for name in ("d10", "d50", "d90") if name in estimates},
            "needed": {"relative": PRECISION} | plain(self.needed._asdict()),
            "estimates": estimates,
            "segmentation": plain(self.segmentation.info),
            "notes": list(self.notes),
            "recipe": self.recipe.as_dict(),
            "input_sha256": self.provenance.input_sha256,
            "recipe_sha256": self.provenance.recipe_sha256,
        }


def analyse(source: Path | str | Image, recipe: Recipe | None = None) -> Result:
    """Return everything that one image gives under a recipe.

    Parameters
    ----------
    source : path or Image
        A file that `segmetry.read` knows, or an image in memory.
    recipe : Recipe, optional
        Default: `Recipe()`, the method ``particles`` for an image and ``otsu`` for a volume, with their defaults.

    Raises
    ------
    SegmetryError
        If the file cannot be read, or the method cannot take this image.

    Examples
    --------
    >>> import numpy as np
    >>> from segmetry.types import Image
    >>> rows, cols = np.mgrid[:100, :120]
    >>> disk = (rows - 50) ** 2 + (cols - 60) ** 2 < 20**2
    >>> result = analyse(Image(np.where(disk, 60, 180).astype(np.uint8)))
    >>> len(result.table), result.image.calibration.unit
    (1, 'px')
    """
    start = time.perf_counter()
    recipe = recipe or Recipe()
    image = source if isinstance(source, Image) else read(source, page=recipe.page)
    image, annotations = calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size)
    asked, recipe = recipe, recipe.for_ndim(len(image.spatial_shape))
    segmentation = segment(image, recipe.method)
    table = measure(segmentation, image, measures=_with_needed(recipe.measures, segmentation.labels.ndim))
    statistics, calibration = recipe.statistics, image.calibration
    common: dict[str, Any] = {
        "edge_correction": statistics.edge_correction,
        "level": statistics.level,
        "rel_uncertainty": calibration.rel_uncertainty,
        "seed": statistics.seed,
    }
    samples = sample_tables(segmentation, image)
    share: dict[str, Any] = {"samples": samples, "border": border_of(segmentation.info, calibration)}
    flat = image.pixels.ndim == 2
    weightings: tuple[Weighting, ...] = WEIGHTINGS if flat else ("number", "volume")
    distributions: dict[str, Distribution] = {
        w: distribution(table, weighting=w, **share, **common) for w in weightings
    }
    place: dict[str, Any] = {
        "frame_shape": [stop - start for start, stop in image.frame],
        "frame_origin": [start for start, _ in image.frame],
        "calibration": calibration,
    }
    radial = None
    if flat:
        points, sides = centres(table, **place)
        radial = radial_distribution(
            points,
            sides,
            unit=calibration.unit,
            level=statistics.level,
            rel_uncertainty=calibration.rel_uncertainty,
            samples=sample_centres(samples, sides, **place),
            seed=statistics.seed,
        )
    box = tuple(slice(start, stop) for start, stop in image.frame)
    seen = 1.0 if image.ignore is None or image.ignore.all() else 1.0 - float(image.ignore[box].mean())
    estimates = summarise(
        table,
        **place,
        seen=seen,
        sizes=distributions["number"],
        count_sd=count_sd_of(segmentation.info),
        **share,
        **common,
    )
    input_sha256 = image.source.sha256 if image.source else hash_pixels(image.pixels)
    provenance = make_provenance(recipe, input_sha256=input_sha256, seconds=time.perf_counter() - start)
    notes = tuple(dict.fromkeys((*image.notes, *annotations.notes, *segmentation.notes)))
    if segmentation.kind == "semantic":
        notes += ("WARNING: the labels are classes, not particles: sizes are those of whole classes.",)
    else:
        notes += _ragged_outlines(table)
    why = "asked for"
    if recipe.method != asked.method or not asked.named:
        with_options = ", with options" if recipe.method == asked.method else ""
        why = f"the default for {'images' if flat else 'volumes'}{with_options}"
    return Result(
        image,
        annotations,
        segmentation,
        table,
        distributions,
        radial,
        estimates,
        recipe,
        provenance,
        notes,
        why,
        samples,
    )


def _ragged_outlines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a warning where the particles that count are mostly far from convex: then the segmentation seldom fits."""
    if "solidity" not in table or "edge_weight" not in table:
        return ()
    median = float(table.loc[table["edge_weight"].notna(), "solidity"].median())
    if not median < RAGGED:  # nan where nothing counts
        return ()
    return (
        f"WARNING: outlines are ragged or concave (median solidity {median:.2f}): they may follow light or texture "
        "rather than particles, or show agglomerates; look at the overlay.",
    )


def _with_needed(measures: tuple[str, ...] | None, ndim: int) -> list[str] | None:
    """Return the measures asked for and those that statistics and report rest on, in the order of the catalogue."""
    if measures is None:
        return None
    return [m.name for m in MEASURES.values() if m.name in measures or (m.name in NEEDED and ndim in m.dims)]


def make_provenance(recipe: Recipe, *, input_sha256: str, seconds: float) -> Provenance:
    """Return what made a result that ends now."""
    return Provenance(
        "segmetry",
        segmetry.__version__,
        platform.python_version(),
        platform.platform(),
        _package_versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        input_sha256,
        recipe.sha256,
        recipe.statistics.seed,
        seconds,
    )


def write_numbers(result: Result, folder: Path) -> None:
    """Write label image, tables and summary of a result; the summary last, since it marks the result whole."""
    write_labels(folder / "labels.tif", result.segmentation.labels, result.image.calibration)
    write_table(folder / "regions.csv", result.table)
    if result.maps:
        write_maps(folder / MAPS_FILE, result.maps, result.image.calibration)
    if result.samples:
        write_samples(folder / SAMPLES_FILE, result.samples)
    write_json(folder / "summary.json", result.summary())


def hash_pixels(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an array: its type, shape and bytes."""
    digest = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _package_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
