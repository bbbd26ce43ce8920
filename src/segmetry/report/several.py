"""Several results in memory as one batch: the same record that a run over files leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segmetry.report.text import plural
from segmetry.units import METRES, PIXEL

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.gather import BatchResult
    from segmetry.measure import Distribution
    from segmetry.pipeline import Result


def folder_names(names: Sequence[str]) -> list[str]:
    """Return a folder's name for each image: its own, made safe, with a number where it was there before.

    Examples
    --------
    >>> folder_names(["a", "b/c", "a", ""])
    ['a', 'b_c', 'a-2', 'image']
    """
    seen: Counter[str] = Counter()
    folders = []
    for name in names:
        safe = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in name).strip(" .")[:100] or "image"
        seen[safe.lower()] += 1
        folder = safe if seen[safe.lower()] == 1 else f"{safe}-{seen[safe.lower()]}"
        while folder in folders:
            seen[safe.lower()] += 1
            folder = f"{safe}-{seen[safe.lower()]}"
        folders.append(folder)
    return folders


def as_batch(results: Sequence[Result]) -> BatchResult:
    """Return results as a batch, with the statistics over all their objects.

    Calibrated images count where there are any, in the unit that most of them have; the others are left out, and a note
    says so. The recipe is that of the first.
    """
    from segmetry.gather import BatchResult
    from segmetry.measure import distribution
    from segmetry.pipeline import WEIGHTINGS, make_provenance

    folders = folder_names([r.image.name for r in results])
    rows: list[dict[str, Any]] = [{"folder": f} | r.summary() for f, r in zip(folders, results, strict=True)]
    pool, rel_uncertainty, notes = _pool(results, folders)
    first = results[0].recipe
    if len({r.recipe.sha256 for r in results}) > 1:
        notes.append("the images were analysed with different recipes; the one shown is that of the first.")
    distributions: dict[str, Distribution] = {}
    if len(pool):
        chosen = first.statistics
        distributions = {
            weighting: distribution(
                pool,
                weighting=weighting,
                edge_correction=chosen.edge_correction,
                level=chosen.level,
                rel_uncertainty=rel_uncertainty,
                groups="image",
                seed=chosen.seed,
            )
            for weighting in WEIGHTINGS
        }
    estimates = dict(distributions[WEIGHTINGS[0]].estimates) if distributions else {}
    provenance = make_provenance(first, input_sha256="", seconds=sum(r.provenance.seconds for r in results))
    return BatchResult(rows, [], distributions, estimates, first, provenance, tuple(notes))


def _pool(results: Sequence[Result], folders: Sequence[str]) -> tuple[pd.DataFrame, float, list[str]]:
    """Return the objects of all images in one unit, the uncertainty of the pixel size, and what was left out."""
    import pandas as pd

    both = list(zip(results, folders, strict=True))
    used = [(r, f) for r, f in both if r.image.calibration.known] or both
    notes = []
    if len(used) < len(both):
        n = len(both) - len(used)
        notes.append(f"{plural(n, 'image')} without a pixel size {'is' if n == 1 else 'are'} left out of the pool.")
    unit = Counter(r.image.calibration.unit for r, _ in used).most_common(1)[0][0]
    if unit == PIXEL:
        notes.append("no image has a pixel size: the statistics over all are in pixels.")
    parts, doubts = [], 0.0
    for result, folder in used:
        calibration = result.image.calibration
        factor = 1.0 if unit == PIXEL else METRES[calibration.unit] / METRES[unit]
        wanted = (
            "label",
            "area",
            "volume",
            "equivalent_diameter",
            "aspect_ratio",
            "circularity",
            "edge_weight",
            "touches_edge",
        )
        table = result.table[[c for c in wanted if c in result.table]].copy()
        table["equivalent_diameter"] *= factor
        for name, power in (("area", 2), ("volume", 3)):
            if name in table:
                table[name] *= factor**power
        table["image"] = folder
        parts.append(table)
        doubts += len(table) * calibration.rel_uncertainty
    pool = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)
    pool.attrs["units"] = {"equivalent_diameter": unit, "area": f"{unit}^2", "volume": f"{unit}^3"}
    return pool, doubts / len(pool) if len(pool) else 0.0, notes
