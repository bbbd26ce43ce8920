"""Label files in, scores out: pairs of files judged by one set of rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.errors import OptionError, ReadError, SegmetryError
from segmetry.evaluate.agreement import Agreement, agreement
from segmetry.evaluate.combining import combine, same_classes, tidy
from segmetry.evaluate.judgement import FAMILIES, ImageScores, Rules, judge
from segmetry.io.labels import LabelFile, read_labels
from segmetry.label_checks import check_classes, check_shapes, check_two_classes, mask_note
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
    agreement : dict of str to Agreement
        Beside a second annotator, by the full name of the score; empty without one.
    """

    rules: Rules
    images: tuple[ImageScores, ...]
    estimates: dict[str, dict[str, Estimate]]
    groups: tuple[str, ...] | None = None
    group_name: str = ""
    notes: tuple[str, ...] = field(default=())
    agreement: dict[str, Agreement] = field(default_factory=dict)

    @property
    def n_groups(self) -> int:
        """Number of groups; of images, where there are none."""
        return len(set(self.groups)) if self.groups is not None else len(self.images)

    def table(self) -> pd.DataFrame:
        """Return one row a value: ``image, group, family, score, value``."""
        return tidy(self.images, groups=self.groups)

    def objects(self) -> pd.DataFrame:
        """Return what became of every object: ``image``, and what `object_outcomes` says; lengths in pixels."""
        import pandas as pd

        rows = [{"image": one.name} | dict(row) for one in self.images for row in one.objects]
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["image"])

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
            **({"agreement": {name: _as_dict(one) for name, one in self.agreement.items()}} if self.agreement else {}),
            "notes": list(self.notes),
            "per_image": [
                {"image": one.name, "group": owner, **one.values, "notes": list(one.notes)}
                for one, owner in zip(self.images, owners, strict=True)
            ],
        }


def _as_dict(one: Agreement) -> dict[str, Any]:
    gaps = {"to_first": one.to_first, "to_second": one.to_second, "to_both": one.to_both}
    return {
        "ceiling": one.ceiling.as_dict(),
        **{name: gap.estimate.as_dict() | {"p_value": gap.p_value} for name, gap in gaps.items()},
        "sentences": list(one.sentences),
    }


def evaluate_files(
    prediction: Path,
    truth: Path,
    rules: Rules,
    *,
    ids: Path | None = None,
    groups: Path | None = None,
    second: Path | None = None,
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
    second : path, optional
        The same images by another annotator: how far the two agree is the most that can be asked of a prediction.
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
    how: dict[str, Any] = {"rules": rules, "pixel_size": pixel_size}
    images = _judge_all(track(found.pairs), len(names), threshold=threshold, **how)
    notes = [f"{one.name}: {note}" for one in images for note in one.notes]
    if found.alone and wanted is None:
        n = len(found.alone)
        notes.append(f"{n} prediction{'s have' if n > 1 else ' has'} no truth and took no part.")
    beside: dict[str, Agreement] = {}
    if second is not None:
        to_second = _judge_all(pair_files(prediction, second, ids=names).pairs, len(names), threshold=threshold, **how)
        between = _judge_all(pair_files(second, truth, ids=names).pairs, len(names), **how)
        beside = _agreements(between, images, to_second, owners, seed)
    estimates = combine(images, groups=owners, seed=seed)
    return Evaluation(
        rules,
        tuple(images),
        estimates,
        tuple(owners) if owners is not None else None,
        group_name,
        tuple(notes),
        beside,
    )


def _judge_all(
    pairs: Iterable[FilePair], n: int, *, rules: Rules, pixel_size: str | None, threshold: float | None = None
) -> list[ImageScores]:
    """Return the scores of all pairs, or one error that names those which cannot be judged."""
    images: list[ImageScores] = []
    failures: dict[str, list[str]] = {}
    how: dict[str, Any] = {"threshold": threshold, "pixel_size": pixel_size}
    judged = []
    for pair in pairs:
        judged.append(pair)
        try:
            images.append(judge_pair(pair, rules, **how))
        except SegmetryError as error:
            named = any(str(path) in str(error) for path in (pair.first, pair.truth))
            message = str(error) if named else f"{pair.first}: {error}"
            reason = message.replace(str(pair.first), "").replace(str(pair.truth), "")
            failures.setdefault(reason, []).append(message)
    if failures:
        raise ReadError(_refusal(list(failures.values()), n))
    if any(one.pixels.absolute_error is not None for one in images):  # probabilities, some of them 0 or 1 everywhere
        for k, one in enumerate(images):
            if one.pixels.absolute_error is None:
                images[k] = judge_pair(judged[k], rules, scores=True, **how)
    return same_classes(images)


_SHOWN = 5
"""Reasons that an error lists."""


def _refusal(failures: Sequence[Sequence[str]], n: int) -> str:
    """Return one line of the failures of `n` pairs, those of one reason together."""
    if n == 1:
        return failures[0][0]
    n_failed = sum(map(len, failures))
    said = [f"{one[0]}{f' (and {len(one) - 1} more alike)' if len(one) > 1 else ''}" for one in failures[:_SHOWN]]
    left = sum(map(len, failures[_SHOWN:]))
    more = f" | and {left} more" if left else ""
    return (
        f"{n_failed} of {n} pairs cannot be judged: {' | '.join(said)}{more}; mend them, or name the others with --ids."
    )


def _agreements(
    between: Sequence[ImageScores],
    first: Sequence[ImageScores],
    second: Sequence[ImageScores],
    groups: Sequence[str] | None,
    seed: int,
) -> dict[str, Agreement]:
    """Return the agreement for every score of single images of which more, or less, is better."""
    found = {}
    for key, scores in first[0].values.items():
        for name in scores:
            best = FAMILIES[key].scores[name.partition("[")[0]].best
            if best != "zero":
                rows = [[one.values[key].get(name, math.nan) for one in images] for images in (between, first, second)]
                found[f"{key}.{name}"] = agreement(*rows, method="the prediction", best=best, groups=groups, seed=seed)
    return found


def judge_pair(
    pair: FilePair,
    rules: Rules,
    *,
    threshold: float | None = None,
    pixel_size: str | None = None,
    scores: bool = False,
) -> ImageScores:
    """Return the scores of one pair of files.

    Parameters
    ----------
    pair : FilePair
    rules, threshold, pixel_size
        As for `evaluate_files`.
    scores : bool
        Whether the prediction holds scores even if all are 0 or 1.

    Raises
    ------
    SegmetryError
        If a file cannot be read, or the two do not fit.
    """
    truth = read_labels(pair.truth)
    found = read_labels(pair.first, scores=rules.kind == "semantic")
    check_shapes(found.values, truth.values, pair.first, pair.truth)
    labels, probability = thresholded(pair.first, found, threshold, scores or threshold is not None)
    if probability is not None:
        check_two_classes(truth.values, pair.first, pair.truth, rules.ignore)
    check_classes(truth.values, pair.truth, rules)
    check_classes(labels, pair.first, rules)
    calibration = truth.calibration if pixel_size is None else Calibration.from_text(pixel_size, truth.values.ndim)
    one = judge(truth.values, labels, rules, name=pair.name, calibration=calibration, probability=probability)
    if rules.kind != "instance":
        return one
    both = ((labels, "prediction"), (truth.values, "truth"))
    odd = [note for values, what in both if (note := mask_note(values, what))]
    return replace(one, notes=(*one.notes, *odd))


def thresholded(
    path: Path, found: LabelFile, threshold: float | None, scores: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels, and the probability where the file holds scores.

    Parameters
    ----------
    path : Path
        The file, for errors.
    found : LabelFile
        What it holds.
    threshold : float, optional
        From which value on a pixel is foreground; of fractions 0.5 by default.
    scores : bool
        Whether it must hold scores, because its neighbours do.
    """
    values = found.values
    if scores and (values.dtype == np.int32 or threshold is None) and values.min() >= 0 and values.max() <= 1:
        values = values.astype(np.float32)  # a blank image: floats that are whole numbers were read as labels
    elif scores and threshold is None:
        raise ReadError(f"{path}: holds labels, and other predictions hold fractions; give scores of all, or labels.")
    fractions = values.dtype.kind == "f"
    if threshold is None and not fractions:
        return values, None
    if (fractions and (values.min() < 0 or values.max() > 1)) or (
        not fractions and values.dtype not in (np.uint8, np.uint16)
    ):
        raise ReadError(
            f"{path}: holds {values.dtype} from {values.min():g} to {values.max():g}; "
            "scores are fractions from 0 to 1 (of logits take the sigmoid), or 8- or 16-bit whole numbers."
        )
    if threshold is not None and not fractions and threshold < 1 < values.max():
        raise OptionError(
            f"{path}: holds whole numbers up to {values.max()}, all above the threshold {threshold:g} but 0; "
            f"give one in their range, such as {np.iinfo(values.dtype).max // 2 + 1}."
        )
    return (values >= (0.5 if threshold is None else threshold)).astype(np.int32), values
