"""One image through a recipe: read, calibrate, segment, measure, summarise."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.errors import OptionError
from segmetry.io import Annotations, calibrate, read, write_labels, write_table
from segmetry.io.json_file import plain, write_json
from segmetry.io.ome_tiff import MAPS_FILE, write_maps
from segmetry.io.read import joint_hash, read_together
from segmetry.io.samples import SAMPLES_FILE, write_samples
from segmetry.io.tables import PHASES_FILE
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
from segmetry.measure.labelling import connected_pieces
from segmetry.measure.phases import Phase, measure_phases, phase_table
from segmetry.measure.segmentation_share import border_of, count_sd_of, sample_tables
from segmetry.measure.spatial import sample_centres
from segmetry.preparing import prepare_image, reference_hashes
from segmetry.recipe import Recipe
from segmetry.segment import Method, segment
from segmetry.types import Calibration, Estimate, Image, Segmentation

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

    Where the labels are classes, `phases` has a record for each, and statistics over particles are left out. The rows
    of `table` are then the connected regions of all classes but the first, numbered as in `objects`, with the column
    ``class``.
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
    phases: tuple[Phase, ...] = field(default=())

    @cached_property
    def objects(self) -> Segmentation:
        """What the rows of `table` are: the segmentation, or of classes their connected regions."""
        return split_classes(self.segmentation, self.image.ignore)[0] if self.phases else self.segmentation

    @property
    def needed(self) -> ParticlesNeeded | None:
        """How many particles bring D50's interval down to `PRECISION`; None where there are phases."""
        return particles_needed(self.estimates["d50"], PRECISION) if "d50" in self.estimates else None

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
            "needed": {"relative": PRECISION} | plain(self.needed._asdict()) if self.needed else None,
            "estimates": estimates,
            "phases": [phase.as_dict() for phase in self.phases],
            "segmentation": plain(self.segmentation.info),
            "notes": list(self.notes),
            "recipe": self.recipe.as_dict(),
            "input_sha256": self.provenance.input_sha256,
            "recipe_sha256": self.provenance.recipe_sha256,
        }


def open_image(files: Sequence[Path | str], method: Method, *, page: int | None = None, axes: str = "") -> Image:
    """Return the image in a file, or for a method that looks at several channels the one of all channels in some files.

    Raises
    ------
    SegmetryError
        If a file cannot be read, or the method looks at more than one page.
    """
    n_channels = method.n_channels
    if n_channels == 1 and len(files) == 1:
        return read(files[0], page=page, axes=axes)
    if page is not None:
        raise OptionError(f"page={page} is one channel, but {method.name} looks at {n_channels}; leave page out.")
    image = read_together(files)
    if (n := len(image.channels)) == 1:
        return image
    return image.replace(notes=(*image.notes, f"it has {n} channels: measured and shown is the first"))


def analyse(
    source: Path | str | Image | Sequence[Path],
    recipe: Recipe | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Return everything that one image gives under a recipe.

    Parameters
    ----------
    source : path, sequence of path, or Image
        A file that `segmetry.read` knows, the files of an image's channels, or an image in memory.
    recipe : Recipe, optional
        Default: `Recipe()`, the method ``particles`` for an image and ``otsu`` for a volume, with their defaults.
    say : callable, optional
        Told before the method runs what it will take, where that is much.

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
    if isinstance(source, Image):
        image = source
    else:
        files = [source] if isinstance(source, str | Path) else source
        image = open_image(files, recipe.method, page=recipe.page, axes=recipe.axes)
    image, annotations = calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size)
    hashed = "" if image.source else _hash_image(image)
    image = prepare_image(image, recipe.prepare)
    asked, recipe = recipe, recipe.for_ndim(len(image.spatial_shape))
    if say and (told := recipe.method.forecast(image.spatial_shape)):
        say(told)
    segmentation = segment(image, recipe.method)
    flat = image.pixels.ndim == 2
    found: dict[str, Any]
    if segmentation.kind == "semantic":
        found = _phases(segmentation, image, recipe)
    else:
        found = _particles(segmentation, image, recipe)
    input_sha256 = joint_hash([image.source.sha256 if image.source else hashed, *reference_hashes(recipe.prepare)])
    provenance = make_provenance(recipe, input_sha256=input_sha256, seconds=time.perf_counter() - start)
    notes = tuple(dict.fromkeys((*image.notes, *annotations.notes, *segmentation.notes)))
    if segmentation.kind == "instance":
        notes += _ragged_outlines(found["table"])
    why = "asked for"
    if recipe.method != asked.method or not asked.named:
        with_options = ", with options" if recipe.method == asked.method else ""
        why = f"the default for {'images' if flat else 'volumes'}{with_options}"
    return Result(
        image,
        annotations,
        segmentation,
        recipe=recipe,
        provenance=provenance,
        notes=notes,
        why_method=why,
        **found,
    )


def _particles(segmentation: Segmentation, image: Image, recipe: Recipe) -> dict[str, Any]:
    """Return table, distributions, g(r), estimates and tables of samples of the particles of an image."""
    table = measure(segmentation, image, measures=_with_needed(recipe.measures, segmentation.labels.ndim))
    statistics, calibration = recipe.statistics, image.calibration
    common = _common(recipe, calibration)
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
    return {
        "table": table,
        "distributions": distributions,
        "radial": radial,
        "estimates": estimates,
        "samples": samples,
    }


def _common(recipe: Recipe, calibration: Calibration) -> dict[str, Any]:
    """Return the options that all statistics of sizes share."""
    statistics = recipe.statistics
    return {
        "edge_correction": statistics.edge_correction,
        "level": statistics.level,
        "rel_uncertainty": calibration.rel_uncertainty,
        "seed": statistics.seed,
    }


def _phases(segmentation: Segmentation, image: Image, recipe: Recipe) -> dict[str, Any]:
    """Return the phases of an image, and the table of their connected regions."""
    objects, owners = split_classes(segmentation, image.ignore)
    names = np.array(segmentation.classes, object)
    table = measure(objects, image, measures=_with_needed(recipe.measures, objects.labels.ndim))
    tables = (table, *sample_tables(objects, image))
    for one, owner in zip(tables, owners, strict=True):
        one.insert(1, "class", names[owner[one["label"].to_numpy()]].astype(str))
    table.attrs["units"]["class"] = ""
    phases = measure_phases(
        segmentation.labels,
        segmentation.classes,
        calibration=image.calibration,
        ignore=image.ignore,
        samples=segmentation.samples,
        level=recipe.statistics.level,
    )

    def d50(name: str) -> Estimate:
        """Return the median size of the regions of a class."""
        own, *others = (t[t["class"] == name] for t in tables)
        own.attrs = table.attrs
        options = _common(recipe, image.calibration)
        return in_regions(distribution(own, samples=others, **options).estimates["d50"])

    sized = (replace(p, estimates={**p.estimates, "d50": d50(p.name)}) for p in phases[1:])
    return {
        "table": table,
        "distributions": {},
        "radial": None,
        "estimates": {},
        "phases": (*phases[:1], *sized),
    }


def in_regions(estimate: Estimate) -> Estimate:
    """Return a statistic of particles as one of the connected regions of a class."""
    words = {part: getattr(estimate, part).replace("particle", "region") for part in ("method", "note")}
    return replace(estimate, **words)


def split_classes(
    segmentation: Segmentation, ignore: np.ndarray | None = None
) -> tuple[Segmentation, tuple[np.ndarray, ...]]:
    """Return the connected regions of all classes but the first as objects, and the class of each.

    Parameters
    ----------
    segmentation : Segmentation
        Of the kind ``semantic``; its samples are split alike.
    ignore : array of bool, optional
        True where pixels are not specimen: no region reaches there.

    Returns
    -------
    objects : Segmentation
    owners : tuple of (L + 1,) arrays of int
        Class of each label, of the segmentation and then of each sample; that of label 0 is 0.
    """
    seen = (
        labels if ignore is None else np.where(ignore, 0, labels)
        for labels in (segmentation.labels, *segmentation.samples)
    )
    pieces = [connected_pieces(labels) for labels in seen]
    labels, *samples = (own for own, _ in pieces)
    objects = replace(segmentation, labels=labels, kind="instance", classes=(), samples=tuple(samples))
    return objects, tuple(owner for _, owner in pieces)


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
    if result.phases:
        write_table(folder / PHASES_FILE, phase_table(result.phases))
    if result.maps:
        write_maps(folder / MAPS_FILE, result.maps, result.image.calibration)
    if result.samples:
        write_samples(folder / SAMPLES_FILE, result.samples)
    write_json(folder / "summary.json", result.summary())


def _hash_image(image: Image) -> str:
    return hash_pixels(image.pixels if image.channels is None else image.channels)


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
