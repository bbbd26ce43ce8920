"""What stands over all images of a batch, made from the files that each image left."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.batch import Outcome, read_summary
from segmetry.io.atomic import atomic
from segmetry.io.json_file import plain, write_json
from segmetry.io.samples import COLUMNS, SAMPLES_FILE, read_samples
from segmetry.io.tables import ALL_PHASES_FILE, PHASES_FILE, write_table
from segmetry.measure.phases import Phase, Seen, phase_table, pool_phase
from segmetry.measure.segmentation_share import border_of, count_sd_of
from segmetry.pipeline import WEIGHTINGS, Provenance, in_regions, make_provenance
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Estimate
from segmetry.units import convert

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.measure import Distribution

_POWERS = {"equivalent_diameter": 1, "area": 2, "volume": 3}
_ALIKE = 10.0  # median sizes of images of one material seldom differ by more
_POOLED = ("label", "class", *_POWERS, "aspect_ratio", "circularity", "edge_weight", "touches_edge")
"""Columns that the statistics over all images are made of; the rest stays in the files."""


@dataclass(frozen=True, eq=False)
class BatchResult:
    """A batch put together.

    Parameters
    ----------
    rows : list of dict
        The summary of each image, with its ``folder``.
    failures : list of dict
        ``path``, ``kind`` and ``error`` of each image that failed.
    distributions : dict
        Size distribution over all images by weighting; empty where no object was found.
    estimates : dict
        Statistics over all images.
    phases : tuple of Phase
        Over all images whose labels are classes, where there are two or more.
    notes : tuple of str
        What was left out of the pool, and why.
    """

    rows: list[dict[str, Any]]
    failures: list[dict[str, str]]
    distributions: dict[str, Distribution]
    estimates: dict[str, Estimate]
    recipe: Recipe
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())
    phases: tuple[Phase, ...] = field(default=())

    def summary(self) -> dict[str, Any]:
        """Return the content of the batch's ``summary.json``: the images, and the statistics over all of them."""
        pooled = {name: estimate.as_dict() for name, estimate in self.estimates.items()}
        return plain(
            {
                "n_images": len(self.rows),
                "n": sum(row["n"] for row in self.rows),
                **{name: pooled.pop(name) for name in ("d10", "d50", "d90") if name in pooled},
                "estimates": pooled,
                "phases": [phase.as_dict() for phase in self.phases],
                "notes": list(self.notes),
                "images": self.rows,
                "failures": self.failures,
                "recipe": self.recipe.as_dict(),
                "recipe_sha256": self.recipe.sha256,
            }
        )


def gather(out: Path, outcomes: Sequence[Outcome], recipe: Recipe, *, jobs: int) -> BatchResult:
    """Put a batch together: write ``regions.csv``, ``summary.json``, ``recipe.yaml`` and ``run.json`` into `out`.

    Images whose labels are classes also give ``phases.csv``, and two or more ``phases_over_all.csv``; their regions are
    no part of the statistics over particles.

    Memory grows with the number of objects (a few numbers for each), not with the images.
    """
    good = [o for o in outcomes if o.ok]
    rows = [{"folder": o.task.folder} | read_summary(out / o.task.folder) for o in good]
    join_tables([(o.task.folder, out / o.task.folder / "regions.csv") for o in good], out / "regions.csv")
    phased = [(row["folder"], out / row["folder"] / PHASES_FILE) for row in rows if row["phases"]]
    for name in (PHASES_FILE, ALL_PHASES_FILE, f"{ALL_PHASES_FILE}-metadata.json"):
        (out / name).unlink(missing_ok=True)  # of an earlier run
    if phased:
        join_tables(phased, out / PHASES_FILE)
    pooled = pool_all((_read_one(row, out / row["folder"]) for row in rows), recipe)
    if pooled.phases:
        write_table(out / ALL_PHASES_FILE, phase_table(pooled.phases))
    provenance = make_provenance(recipe, input_sha256="", seconds=sum(o.seconds for o in outcomes))
    failures = [
        {"path": str(o.task.path), "folder": o.task.folder, "kind": o.kind, "error": o.error}
        for o in outcomes
        if not o.ok
    ]
    batch = BatchResult(rows, failures, *pooled[:2], recipe, provenance, *pooled[2:])
    with atomic(out / "recipe.yaml") as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    write_json(out / "summary.json", batch.summary())
    write_json(out / "run.json", describe_run(outcomes, provenance, jobs))
    return batch


def join_tables(tables: Sequence[tuple[str, Path]], path: Path) -> None:
    """Write many tables as one, with the name of each in the column ``image``; columns that a table lacks stay empty.

    Works line by line, so that a million objects need no memory.
    """
    columns: dict[str, None] = {}
    for _, table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            columns |= dict.fromkeys(next(csv.reader(file), []))
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(["image", *columns])
        for name, table in tables:
            with table.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    writer.writerow([name, *(row.get(c, "") for c in columns)])


class One(NamedTuple):
    """What the statistics over all images need of one."""

    row: Mapping[str, Any]
    """Its summary as `Result.summary` gives it, with ``folder``."""
    table: pd.DataFrame
    samples: tuple[pd.DataFrame, ...] = ()


def _read_one(row: Mapping[str, Any], folder: Path) -> One:
    import pandas as pd

    table = pd.read_csv(folder / "regions.csv", usecols=lambda column: column in _POOLED)
    return One(row, table, read_samples(folder / SAMPLES_FILE) if row["n_samples"] else ())


class Pooled(NamedTuple):
    """Statistics over the objects of many images, what was left out, and the phases."""

    distributions: dict[str, Distribution]
    estimates: dict[str, Estimate]
    notes: tuple[str, ...]
    phases: tuple[Phase, ...] = ()


def pool_all(images: Iterable[One], recipe: Recipe) -> Pooled:
    """Return the statistics over many images: the objects of some, and the phases of those whose labels are classes."""
    phased: list[One] = []

    def with_particles() -> Iterator[One]:
        for one in images:
            if one.row["phases"]:
                phased.append(_few(one))
            else:
                yield one

    pooled = pool(with_particles(), recipe)
    phases, notes = pool_phases(phased, recipe)
    return pooled._replace(notes=tuple(dict.fromkeys((*pooled.notes, *notes))), phases=phases)


def pool_phases(images: Sequence[One], recipe: Recipe) -> tuple[tuple[Phase, ...], tuple[str, ...]]:
    """Return the phases over images whose labels are classes, and what was left out; none of fewer than two images.

    Images are chosen as for `pool`, and those that have other classes than most are left out. See
    `segmetry.measure.phases.pool_phase`; D50 is that of the regions of all images, without the share of the
    segmentation, since the regions of samples are not kept.
    """
    if len(images) < 2:
        return (), ()
    used, unit, notes = _comparable(images)
    kinds = [(len(one.row["shape"]), tuple(p["class"] for p in one.row["phases"])) for one in used]
    (ndim, classes), n = Counter(kinds).most_common(1)[0]
    if n < len(used):
        notes.append(f"phases over all are those of {n} images; {len(used) - n} with other classes are left out.")
    used = [one for one, kind in zip(used, kinds, strict=True) if kind == (ndim, classes)]
    if len(used) < 2:
        return (), tuple(notes)
    factors = [convert(1.0, one.row["pixel_size"]["unit"], unit) for one in used]
    found = []
    for k, name in enumerate(classes):
        seen = [
            Seen(**one.row["phases"][k]["seen"]).scaled(factor, ndim) for one, factor in zip(used, factors, strict=True)
        ]
        size = [one.size for one in seen]
        errors = np.average([one.row["pixel_size"]["rel_uncertainty"] or 0.0 for one in used], weights=size)
        phase = pool_phase(
            name, seen, ndim=ndim, unit=unit, rel_uncertainty=float(errors), level=recipe.statistics.level
        )
        regions = pool((One(one.row, one.table[one.table["class"] == name]) for one in used), recipe)
        if k and "d50" in regions.estimates:
            d50 = in_regions(regions.estimates["d50"])
            phase = replace(phase, estimates={**phase.estimates, "d50": d50})
        found.append(phase)
    return tuple(found), tuple(notes)


def _comparable(images: Sequence[One]) -> tuple[list[One], str, list[str]]:
    """Return the images that statistics over all are made of, the unit that most have, and what was left out."""
    known = [one for one in images if one.row["pixel_size"]["value"]]
    n = len(images) - len(known)
    notes = []
    if known and n:
        left_out = "1 image without a pixel size is" if n == 1 else f"{n} images without a pixel size are"
        notes.append(f"{left_out} left out of the statistics over all.")
    elif n:
        notes.append("no image has a pixel size: the statistics over all are in pixels.")
    used = known or list(images)
    units = Counter(one.row["pixel_size"]["unit"] for one in used)
    return used, units.most_common(1)[0][0] if units else "", notes


def _few(one: One) -> One:
    """Return an image with those columns alone that the statistics over all are made of."""
    table = one.table[[c for c in _POOLED if c in one.table]].assign(image=one.row["folder"])
    return One(one.row, table, tuple(t[list(COLUMNS)] for t in one.samples))


def pool(images: Iterable[One], recipe: Recipe) -> Pooled:
    """Return the statistics over the objects of many images.

    Calibrated images count where there are any, in the unit that most of them have; the others are left out, and a note
    says so.

    Parameters
    ----------
    images : iterable of One
    recipe : Recipe
        Its statistics are used.

    Notes
    -----
    The i-th samples of all images are one sample of the whole: they share a seed, so they are one network's answers,
    and what it errs in all images alike does not average out. Nor does a shift of the borders: the images come from one
    microscope and one method, so the borders of all move the same way, each image's as far as it states.
    """
    import pandas as pd

    from segmetry.measure import distribution
    from segmetry.measure.summary import total_count

    used, unit, notes = _comparable([_few(one) for one in images])
    if not any(len(one.table) for one in used):
        return Pooled({}, {}, tuple(notes))
    used = [_in_unit(one, unit) for one in used]
    parts = [one for one in used if len(one.table)]
    objects = pd.concat([one.table for one in parts], ignore_index=True)
    objects.attrs["units"] = {c: unit if p == 1 else f"{unit}^{p}" for c, p in _POWERS.items() if c in objects}
    medians = [one.table["equivalent_diameter"].median() for one in parts]
    if (ratio := max(medians) / min(medians)) > _ALIKE:
        notes.append(
            f"median sizes differ between images by a factor of {ratio:.0f}: if they show different materials, "
            "statistics over all mean little."
        )
    # The pixel sizes of one instrument err together, so the uncertainty of the pool is their mean and does not shrink.
    errors = sum(len(one.table) * (one.row["pixel_size"]["rel_uncertainty"] or 0.0) for one in used)
    n_samples = min((len(one.samples) for one in used if one.samples), default=0)
    without = sum(not one.samples and len(one.table) > 0 for one in used) if n_samples else 0  # blank ones have none
    if without:
        notes.append(
            f"{without} of {len(used)} images {'has' if without == 1 else 'have'} no segmentation samples: their part "
            "of the segmentation's share is not in the intervals over all."
        )
    chosen = recipe.statistics
    share: dict[str, Any] = {
        "samples": [
            pd.concat([one.samples[k] if one.samples else one.table[list(COLUMNS)] for one in used], ignore_index=True)
            for k in range(n_samples)
        ],
        "border": np.concatenate([np.full(len(one.table), _border(one.row, unit)) for one in parts]),
    }
    distributions: dict[str, Distribution] = {
        weighting: distribution(
            objects,
            weighting=weighting,
            edge_correction=chosen.edge_correction,
            level=chosen.level,
            rel_uncertainty=errors / len(objects),
            groups="image",
            seed=chosen.seed,
            **share,
        )
        for weighting in WEIGHTINGS
    }
    estimates = dict(distributions[WEIGHTINGS[0]].estimates)
    estimates["count"] = total_count(
        [len(one.table) for one in used],
        [len(table) for table in share["samples"]],
        count_sd=_count_sd([count_sd_of(one.row["segmentation"]) for one in used]),
        level=chosen.level,
    )
    if without:  # for the particles of these images the interval would look surer than it is
        estimates = {name: replace(e, this_image=None) for name, e in estimates.items()}
    return Pooled(distributions, estimates, tuple(notes))


def _in_unit(one: One, unit: str) -> One:
    """Return an image's tables with their lengths in a unit."""
    factor = convert(1.0, one.row["pixel_size"]["unit"], unit)

    def scaled(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{c: table[c] * factor**p for c, p in _POWERS.items() if c in table})

    return One(one.row, scaled(one.table), tuple(map(scaled, one.samples)))


def _border(row: Mapping[str, Any], unit: str) -> float:
    """Return the standard uncertainty of the shift that an image's borders have in common; 0 where none is stated."""
    pixel = row["pixel_size"]
    calibration = Calibration(tuple(pixel["spacing"] or (1.0,)), pixel["unit"])
    return convert(border_of(row["segmentation"], calibration), pixel["unit"], unit)


def _count_sd(stated: Sequence[float | None]) -> float | None:
    """Return the standard uncertainty of the number in all images; None where no image states its own.

    They add up, as if all images erred the same way: what a network misses in one it misses in others of its kind.
    """
    if all(sd is None for sd in stated):
        return None
    return math.fsum(math.nan if sd is None else sd for sd in stated)


def describe_run(outcomes: Sequence[Outcome], provenance: Provenance, jobs: int) -> dict[str, Any]:
    """Return the content of ``run.json``: the command, what made it, and how each image went."""
    return provenance.as_dict() | {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "folder": os.fspath(Path.cwd()),
        "jobs": jobs,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": [
            {
                "path": str(o.task.path),
                "folder": o.task.folder,
                "ok": o.ok,
                "resumed": o.resumed,
                "seconds": round(o.seconds, 3),
            }
            for o in outcomes
        ],
    }
