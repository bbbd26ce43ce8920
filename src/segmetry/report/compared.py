"""The files of a comparison: its page, with the worst images first, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.io.atomic import atomic
from segmetry.report.comparison import WorstCase, comparison_figures, comparison_page, worst_case, worst_images

if TYPE_CHECKING:
    from segmetry.evaluate.comparison import Comparison
    from segmetry.trials import Trial


def write_comparison(
    found: Comparison,
    trials: Sequence[Trial],
    out: Path,
    *,
    ignore: int | None = None,
    provenance: Mapping[str, Any],
    commands: Sequence[str] = (),
) -> None:
    """Write ``report.html`` and ``figures/*.svg`` of a comparison into its folder.

    Parameters
    ----------
    found : Comparison
    trials : sequence of Trial
        Where images and truths are; the label images of the methods are in `out`.
    out : Path
    ignore : int, optional
        The value of the truth that was not judged.
    provenance : mapping
        What `Provenance.as_dict` gives.
    commands : sequence of str
        The command lines that make it again.
    """
    from segmetry.evaluate.judgement import FAMILIES
    from segmetry.report.page import provenance_rows

    families = {name: family.scores for name, family in FAMILIES.items()}
    drawn = comparison_figures(found, families=families)
    page = comparison_page(
        found,
        _cases(found, trials, out, families, ignore),
        provenance_rows(provenance),
        families=families,
        commands=commands,
        drawn=drawn,
    )
    (out / "figures").mkdir(exist_ok=True)
    files = {out / "report.html": page} | {out / "figures" / f"{name}.svg": svg for name, svg in drawn.items()}
    for path, text in files.items():
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _cases(
    found: Comparison, trials: Sequence[Trial], out: Path, families: Mapping[str, Any], ignore: int | None
) -> list[WorstCase]:
    """Return the pictures of the images on which the best method did worst; of volumes there are none."""
    from segmetry.io import read, read_labels

    place = {trial.folder: trial for trial in trials}
    best, *others = found.methods
    cases = []
    for name, _ in worst_images(found, families=families):
        trial = place[name]
        image, truth = read(trial.path), read_labels(trial.truth).values
        if truth.ndim != 2:
            continue
        labels = {m: _labels(out / m / f"{name}.tif", truth.shape) for m in found.methods}
        outcomes = None
        if found.kind == "instance":
            outcomes = found.objects[(found.objects["method"] == best) & (found.objects["image"] == name)]
        cases.append(
            worst_case(
                best,
                name,
                truth.astype(np.int32),
                labels[best],
                pixels=image.pixels,
                outcomes=outcomes,
                others=[labels[m] for m in others],
                ignore=ignore,
            )
        )
    return cases


def _labels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the labels that a method left; where it failed it found nothing."""
    from segmetry.io import read_labels

    return read_labels(path).values.astype(np.int32) if path.exists() else np.zeros(shape, np.int32)
