"""Label files in, scores out: pairs of files judged by one set of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.errors import OptionError, ReadError, SegmetryError, ShapeMismatchError
from segmetry.evaluate.judgement import FAMILIES, ImageScores, Rules, combine, judge, tidy
from segmetry.io.labels import LabelFile, read_labels
from segmetry.partners import FilePair, pair_files, read_groups, read_ids
from segmetry.types import Calibration, Estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good predictions are.

    Parameters
    ----------
    rules : Rules
    images : tuple of ImageScores
    estimates : dict of family to dict of score to Estimate
    groups : tuple of str or None
        The group of each image.
    group_name : str
        What the groups are: ``"doi"``, ``"specimen"``; empty without groups.
    notes : tuple of str
    """

    rules: Rules
    images: tuple[ImageScores, ...]
    estimates: dict[str, dict[str, Estimate]]
    groups: tuple[str, ...] | None = None
    group_name: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def n_groups(self) -> int:
        """Number of groups; of images, where there are none."""
        return len(set(self.groups)) if self.groups is not None else len(self.images)

    def table(self) -> pd.DataFrame:
        """Return one row a value: ``image, group, family, score, value``."""
        return tidy(self.images, groups=self.groups)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: a value with its interval for each score of each family, and ``per_image``."""
        owners: Sequence[str | None] = self.groups if self.groups is not None else [None] * len(self.images)
        return {
            "segmetry": segmetry.__version__,
            "n_images": len(self.images),
            "n_groups": self.n_groups,
            "groups": self.group_name or None,
            "rules": self.rules.as_dict(),
            "averaging": {family: FAMILIES[family].averaging for family in self.estimates},
            **{
                family: {
                    name: {k: v for k, v in e.as_dict().items() if k not in ("contributions", "this_image")}
                    for name, e in scores.items()
                }
                for family, scores in self.estimates.items()
            },
            "notes": list(self.notes),
            "per_image": [
                {"image": one.name, "group": owner, **one.values, "notes": list(one.notes)}
                for one, owner in zip(self.images, owners, strict=True)
            ],
        }


def evaluate_files(
    prediction: Path,
    truth: Path,
    rules: Rules,
    *,
    ids: Path | None = None,
    groups: Path | None = None,
    threshold: float | None = None,
    pixel_size: str | None = None,
    seed: int = 0,
    track: Callable[[Sequence[FilePair]], Iterable[FilePair]] = iter,
) -> Evaluation:
    """Return how good the predictions in files are.

    Parameters
    ----------
    prediction, truth : path
        Two label files, or two folders whose files belong together by stem.
    rules : Rules
    ids, groups : path, optional
        Lists: which images to judge, and the group of each.
    threshold : float, optional
        Predictions hold scores; from this value on a pixel is foreground. Semantic labels only. Predictions that hold
        fractions between 0 and 1 are probabilities, and the threshold is then 0.5 by default.
    pixel_size : str, optional
        Such as ``"0.5 nm"``; outranks what the files of the truth say.
    seed : int
        Of the bootstrap.
    track : callable
        Given the pairs, yields them: the place for a progress bar.

    Raises
    ------
    ReadError
        If files are missing; if any pair cannot be judged, with all of them named: a score of the rest would not be
        that of the predictions.
    """
    if threshold is not None and rules.kind != "semantic":
        raise OptionError("a threshold turns scores into classes; use it with kind 'semantic'.")
    wanted = read_ids(ids) if ids is not None else None
    found = pair_files(prediction, truth, ids=wanted)
    names = [pair.name for pair in found.pairs]
    group_name, owners = read_groups(groups, names) if groups is not None else ("", None)
    images: list[ImageScores] = []
    failures: list[str] = []
    for pair in track(found.pairs):
        try:
            images.append(judge_pair(pair, rules, threshold=threshold, pixel_size=pixel_size))
        except SegmetryError as error:
            failures.append(f"{pair.name}: {error}" if pair.name not in str(error) else str(error))
    if failures:
        raise ReadError(
            failures[0]
            if len(found.pairs) == 1
            else f"{len(failures)} of {len(found.pairs)} pairs cannot be judged: {' | '.join(failures[:5])}"
            + (f" | and {len(failures) - 5} more" if len(failures) > 5 else "")
            + " (mend them, or name the others with --ids)"
        )
    notes = [f"{one.name}: {note}" for one in images for note in one.notes]
    if found.alone and wanted is None:
        n = len(found.alone)
        notes.append(f"{n} prediction{'s have' if n > 1 else ' has'} no truth and took no part.")
    estimates = combine(images, groups=owners, seed=seed)
    return Evaluation(
        rules, tuple(images), estimates, tuple(owners) if owners is not None else None, group_name, tuple(notes)
    )


def judge_pair(
    pair: FilePair, rules: Rules, *, threshold: float | None = None, pixel_size: str | None = None
) -> ImageScores:
    """Return the scores of one pair of files.

    Raises
    ------
    SegmetryError
        If a file cannot be read, or the two do not fit.
    """
    truth = read_labels(pair.truth)
    found = read_labels(pair.first, scores=rules.kind == "semantic")
    if truth.values.shape != found.values.shape:
        raise ShapeMismatchError(
            f"{pair.first} is {found.values.shape} but its truth {pair.truth} is {truth.values.shape}; "
            "undo the resizing of the prediction, or crop both to the same window."
        )
    labels, probability = _thresholded(pair.first, found, threshold)
    calibration = truth.calibration if pixel_size is None else Calibration.from_text(pixel_size, truth.values.ndim)
    return judge(truth.values, labels, rules, name=pair.name, calibration=calibration, probability=probability)


def _thresholded(path: Path, found: LabelFile, threshold: float | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels, and the probability where the file holds scores."""
    values = found.values
    fractions = values.dtype.kind == "f"
    if threshold is None and not fractions:
        return values, None
    if (fractions and (values.min() < 0 or values.max() > 1)) or (
        not fractions and values.dtype not in (np.uint8, np.uint16)
    ):
        raise ReadError(
            f"{path}: holds {values.dtype} from {values.min():g} to {values.max():g}; "
            "scores are fractions from 0 to 1, or 8- or 16-bit whole numbers."
        )
    return (values >= (0.5 if threshold is None else threshold)).astype(np.int32), values
