"""What a study of the threshold says, in lines for a terminal and on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.evaluate.scores import score_name
from segmetry.report.score_figures import Curve, curves
from segmetry.report.study_page import Section, Table, told, write_study
from segmetry.report.text import format_share, format_significant, plural
from segmetry.report.trust_figures import reliability_diagram
from segmetry.study.threshold import SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from segmetry.evaluate.promise import Promise
    from segmetry.study.threshold import Choice, ThresholdStudy

OURS = tuple(f"instance.{name}" for name in ("ap50", "ap75", "map", "precision", "recall", "f1", "pq"))
SIZES = ("physical.count_error", "physical.count_deviation", "physical.d50_error", "physical.d50_deviation")
FIGURES = (
    ("scores", OURS[:3], "Scores at every threshold: means over images, with intervals."),
    ("trade", OURS[3:5], "Precision against recall: what a higher threshold gains and costs."),
    ("count", SIZES[:2], "Number of particles, found / true - 1 (error), and its size (deviation)."),
    ("d50", SIZES[2:], "D50, found / true - 1 (error), and its size (deviation)."),
)
"""Figures of the sweep: name, scores, caption."""

BESIDE = ("instance.recall", "instance.ap50")
"""What stands beside the published figures."""


def threshold_lines(study: ThresholdStudy) -> list[str]:
    """Return what came out, a line each."""
    best, precise = study.best, study.precise
    lines = [
        f"{_images(study)}, {study.method['method']} with every particle kept; [low, high]: 95 % interval for the "
        f"population of {study.groups}s",
        f"best threshold by AP50: {best.threshold:g}{_folds(best)}",
        "    " + _scores(best, ("instance.ap50", "instance.ap75", "instance.map", "instance.recall", "instance.pq")),
        f"precise setting, by the mean of the published four: {precise.threshold:g}{_folds(precise)}",
        "    " + _scores(precise, (*precise.by, *BESIDE)),
        f"    {SOFT}",
    ]
    for one in study.promises:
        seen = told(one.seen) if one.seen else "none"
        lines.append(f"{one.promise.what}: {_threshold(one.promise)}; on other folds {seen}{_without(one.n_without)}")
    if study.stated is not None:
        calibrated = f", calibrated on other folds {_ece(study.calibrated)}" if study.calibrated else ""
        lines.append(f"calibration error (ECE) of the scores: as stated {_ece(study.stated)}{calibrated}")
    return [*lines, *study.notes]


def write_threshold_page(
    study: ThresholdStudy, out: Path, *, provenance: Mapping[str, Any], commands: Sequence[str] = ()
) -> Path:
    """Write the page of a study of the threshold and its figures; return its path."""
    best, precise = study.best, study.precise
    shown = [name for name in (*OURS, *SIZES) if name in best.same]
    first = _picked(best).get("instance.ap50")
    honest = "on images that had no part in choosing it" if best.held_out else "on the images that chose it"
    sections = [
        Section(
            "best",
            "Best threshold",
            [
                f"Taken is the threshold with the largest mean AP50: {best.threshold:g} on all images"
                f"{_folds(best)}. What a threshold gets on the images that chose it is too good, if by little; the "
                f"honest figures are those of each fold at the threshold that the others chose.",
            ],
            [_table("Scores at the best threshold", best, shown)],
            {name: (_figure(study, names), caption) for name, names, caption in FIGURES},
        ),
        Section(
            "precise",
            "Published protocol",
            [
                f"The precise setting is the threshold with the largest mean of the four published figures: "
                f"{precise.threshold:g} on all images{_folds(precise)}. {SOFT}"
            ],
            [_table("The published figures at a precise setting, with recall", precise, (*precise.by, *BESIDE))],
            {
                "published": (
                    _figure(study, (*precise.by, "instance.recall")),
                    "Published figures and recall at every threshold.",
                )
            },
        ),
        Section(
            "promises",
            "Promises",
            [
                "Each threshold is chosen with a guarantee, from the scores as the method states them. The last "
                "columns are what the same promise, made on the other folds, gave on each fold: mean over "
                f"{study.groups}s of the share that was to be small."
            ],
            [
                Table(
                    "Promises",
                    ["promise", "threshold", "false here", "missed here", "on other folds", "folds without"],
                    [
                        [
                            one.promise.what,
                            _threshold(one.promise),
                            _share(one.promise.false_share),
                            _share(one.promise.miss_rate),
                            told(one.seen),
                            str(one.n_without or ""),
                        ]
                        for one in study.promises
                    ],
                )
            ],
        ),
    ]
    if study.stated is not None:
        made = study.score_map
        diagrams: dict[str, tuple[Any, str]] = {
            "stated": (reliability_diagram(study.stated, name="stated score"), "Scores as the method states them.")
        }
        if study.calibrated is not None:
            diagrams["calibrated"] = (
                reliability_diagram(study.calibrated, name="calibrated on other folds"),
                "Chances from maps that were made on the other folds.",
            )
        form = f"The map that is made from all particles is of the form '{made.form}'. " if made else ""
        words = f"{form}On the diagonal a score is the chance that the particle is right (IoU of .5 or more)."
        sections.append(Section("reliability", "Can the score be read as a chance?", [words], [], diagrams))
    return write_study(
        out,
        title=f"Threshold of {study.method['method']} on {_images(study)}",
        verdict=[f"Best threshold {best.threshold:g}: AP50 {told(first)} {honest}."],
        sections=sections,
        warnings=_warnings(study),
        failures=study.sweep.failures,
        commands=commands,
        provenance=provenance,
    )


def _figure(study: ThresholdStudy, names: Sequence[str]) -> Figure:
    table = study.curve
    lines = {}
    for name in names:
        family, score = name.split(".", 1)
        rows = table[(table["family"] == family) & (table["score"] == score)]
        if len(rows):
            columns = (rows[c].to_numpy() for c in ("threshold", "value", "low", "high"))
            lines[score_name(name)] = Curve(*columns)
    return curves(lines, name="mean over images", against="smallest score that is kept", logarithmic=False)


def _table(title: str, choice: Choice, names: Sequence[str]) -> Table:
    heads = ["score", "chosen on other folds", "chosen on the same images"]
    rows = [[score_name(n), told(choice.held_out.get(n)), told(choice.same[n])] for n in names if n in choice.same]
    return Table(title, heads, rows)


def _picked(choice: Choice) -> Any:
    """Return the honest scores, where there are any."""
    return choice.held_out or choice.same


def _scores(choice: Choice, names: Sequence[str]) -> str:
    found = _picked(choice)
    return ", ".join(f"{score_name(n)} {told(found[n])}" for n in names if n in found)


def _folds(choice: Choice) -> str:
    if not choice.of_folds:
        return " (chosen and judged on the same images: one group cannot be parted)"
    return f" (on four fifths {', '.join(f'{t:g}' for t in choice.of_folds)}; scores: chosen on other folds)"


def _images(study: ThresholdStudy) -> str:
    groups = "" if study.groups == "image" else f" of {plural(study.n_groups, study.groups)}"
    return plural(len(study.sweep.names), "image") + groups


def _threshold(promise: Promise) -> str:
    if promise.threshold is not None:
        return f"threshold {promise.threshold:.4g}"
    least = promise.least_alpha
    return "no threshold" if least is None else f"no threshold (the least is {format_share(least)})"


def _without(n: int) -> str:
    return f" ({plural(n, 'fold')} without a threshold)" if n else ""


def _share(value: float | None) -> str:
    return "–" if value is None else format_share(value)


def _ece(of: Any) -> str:
    return format_significant(of.scores["ece"], 2)


def _warnings(study: ThresholdStudy) -> list[str]:
    loud = list(study.notes)
    if study.sweep.failures:
        loud.append(
            f"{plural(len(study.sweep.failures), 'image')} failed; where the method failed it counts as having found "
            "nothing, and images that could not be read are left out."
        )
    if study.n_groups < 20:
        loud.append(
            f"Only {plural(study.n_groups, study.groups)}: intervals over so few may be too narrow, and there are "
            "hardly any promises."
        )
    return loud
