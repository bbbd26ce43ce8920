"""Several results in memory as one batch: the same record that a run over files leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmetry.gather import BatchResult
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
    from segmetry.gather import BatchResult, One, pool_all
    from segmetry.pipeline import make_provenance

    folders = folder_names([r.image.name for r in results])
    rows: list[dict[str, Any]] = [{"folder": f} | r.summary() for f, r in zip(folders, results, strict=True)]
    first = results[0].recipe
    pooled = pool_all((One(row, r.table, r.samples) for row, r in zip(rows, results, strict=True)), first)
    notes = pooled.notes
    if len({r.recipe.sha256 for r in results}) > 1:
        notes += ("the images were analysed with different recipes; the one shown is that of the first.",)
    provenance = make_provenance(first, input_sha256="", seconds=sum(r.provenance.seconds for r in results))
    return BatchResult(rows, [], pooled.distributions, pooled.estimates, first, provenance, notes, pooled.phases)
