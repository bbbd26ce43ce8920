"""What stands over all images of a batch, made from the files that each image left."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segmetry.batch import Outcome, read_summary
from segmetry.io.atomic import atomic
from segmetry.pipeline import WEIGHTINGS, Provenance, make_provenance, plain, write_json
from segmetry.recipe import Recipe
from segmetry.types import Estimate
from segmetry.units import convert

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.measure import Distribution

_POWERS = {"equivalent_diameter": 1, "area": 2, "volume": 3}
_ALIKE = 10.0  # median sizes of images of one material seldom differ by more
_POOLED = ("label", *_POWERS, "aspect_ratio", "circularity", "edge_weight", "touches_edge")
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

    def summary(self) -> dict[str, Any]:
        """Return the content of the batch's ``summary.json``: the images, and the statistics over all of them."""
        pooled = {name: estimate.as_dict() for name, estimate in self.estimates.items()}
        return plain(
            {
                "n_images": len(self.rows),
                "n": sum(row["n"] for row in self.rows),
                **{name: pooled.pop(name) for name in ("d10", "d50", "d90") if name in pooled},
                "estimates": pooled,
                "notes": list(self.notes),
                "images": self.rows,
                "failures": self.failures,
                "recipe": self.recipe.as_dict(),
                "recipe_sha256": self.recipe.sha256,
            }
        )


def gather(out: Path, outcomes: Sequence[Outcome], recipe: Recipe, *, jobs: int) -> BatchResult:
    """Put a batch together: write ``regions.csv``, ``summary.json``, ``recipe.yaml`` and ``run.json`` into `out`.

    Memory grows with the number of objects (a few numbers for each), not with the images.
    """
    good = [o for o in outcomes if o.ok]
    rows = [{"folder": o.task.folder} | read_summary(out / o.task.folder) for o in good]
    join_tables([(o.task.folder, out / o.task.folder / "regions.csv") for o in good], out / "regions.csv")
    pooled = pool(((row, _read_few(out / row["folder"] / "regions.csv")) for row in rows), recipe)
    provenance = make_provenance(recipe, input_sha256="", seconds=sum(o.seconds for o in outcomes))
    failures = [
        {"path": str(o.task.path), "folder": o.task.folder, "kind": o.kind, "error": o.error}
        for o in outcomes
        if not o.ok
    ]
    batch = BatchResult(rows, failures, *pooled[:2], recipe, provenance, pooled.notes)
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


def _read_few(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path, usecols=lambda column: column in _POOLED)


class Pooled(NamedTuple):
    """Statistics over the objects of many images, and what was left out."""

    distributions: dict[str, Distribution]
    estimates: dict[str, Estimate]
    notes: tuple[str, ...]


def pool(images: Iterable[tuple[Mapping[str, Any], pd.DataFrame]], recipe: Recipe) -> Pooled:
    """Return the statistics over the objects of many images.

    Calibrated images count where there are any, in the unit that most of them have; the others are left out, and a note
    says so.

    Parameters
    ----------
    images : pairs of a summary (as `Result.summary` gives it, with ``folder``) and a table of objects
    recipe : Recipe
        Its statistics are used.
    """
    import pandas as pd

    from segmetry.measure import distribution

    known: list[tuple[Mapping[str, Any], pd.DataFrame]] = []
    unknown: list[tuple[Mapping[str, Any], pd.DataFrame]] = []
    for row, table in images:
        few = table[[c for c in _POOLED if c in table]].assign(image=row["folder"])
        (known if row["pixel_size"]["value"] else unknown).append((row, few))
    notes = []
    if known and unknown:
        left_out = (
            "1 image without a pixel size is"
            if len(unknown) == 1
            else f"{len(unknown)} images without a pixel size are"
        )
        notes.append(f"{left_out} left out of the statistics over all.")
    elif unknown:
        notes.append("no image has a pixel size: the statistics over all are in pixels.")
    used = known or unknown
    if not used or not any(len(table) for _, table in used):
        return Pooled({}, {}, tuple(notes))
    unit = Counter(row["pixel_size"]["unit"] for row, _ in used).most_common(1)[0][0]
    parts = []
    for row, table in used:
        if len(table):
            factor = convert(1.0, row["pixel_size"]["unit"], unit)
            parts.append(table.assign(**{c: table[c] * factor**p for c, p in _POWERS.items() if c in table}))
    objects = pd.concat(parts, ignore_index=True)
    objects.attrs["units"] = {c: unit if p == 1 else f"{unit}^{p}" for c, p in _POWERS.items() if c in objects}
    medians = [table["equivalent_diameter"].median() for table in parts]
    if (ratio := max(medians) / min(medians)) > _ALIKE:
        notes.append(
            f"median sizes differ between images by a factor of {ratio:.0f}: if they show different materials, "
            "statistics over all mean little."
        )
    # The pixel sizes of one instrument err together, so the uncertainty of the pool is their mean and does not shrink.
    errors = sum(len(table) * (row["pixel_size"]["rel_uncertainty"] or 0.0) for row, table in used)
    chosen = recipe.statistics
    distributions: dict[str, Distribution] = {
        weighting: distribution(
            objects,
            weighting=weighting,
            edge_correction=chosen.edge_correction,
            level=chosen.level,
            rel_uncertainty=errors / len(objects),
            groups="image",
            seed=chosen.seed,
        )
        for weighting in WEIGHTINGS
    }
    return Pooled(distributions, dict(distributions[WEIGHTINGS[0]].estimates), tuple(notes))


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
