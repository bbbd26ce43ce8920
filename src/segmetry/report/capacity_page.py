"""What a study of the number of training images says, in lines for a terminal and on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segmetry.evaluate.scores import score_name
from segmetry.report.score_figures import Curve, curves
from segmetry.report.study_page import Section, Table, done_of, not_run, told, write_study
from segmetry.report.text import plural
from segmetry.study.capacity import LEAST_GAIN, CapacityStudy, level_sentence

SHOWN = tuple(f"instance.{name}" for name in ("ap50", "ap75", "map", "recall", "pq"))


def capacity_lines(study: CapacityStudy) -> list[str]:
    """Return what came out, a line each."""
    lines = [
        f"{_done(study)}; scores of held-out images of {plural(study.n_groups, study.groups)}, [low, high]: 95 % "
        f"interval for the population of {study.groups}s"
    ]
    for point in study.points:
        scores = ", ".join(f"{score_name(n)} {told(point.scores[n])}" for n in SHOWN if n in point.scores)
        gain = f"; the largest gains {told(point.gain)}" if point is not study.points[-1] else ""
        lines.append(
            f"{point.size} images ({point.n_training:g} drawn, {plural(point.n_folds, 'fold')}): {scores}{gain}"
        )
    lines.append(level_sentence(study.points, study.level))
    return [*lines, *_not_run(study), *study.notes]


def write_capacity_page(
    study: CapacityStudy, out: Path, *, provenance: Mapping[str, Any], commands: Sequence[str] = ()
) -> Path:
    """Write the page of a study of capacity and its figures; return its path."""
    points = study.points
    lines = {
        score_name(name): _curve(study, [p.scores[name] for p in points])
        for name in SHOWN
        if points and all(name in p.scores for p in points)
    }
    rows = [
        [
            f"{p.size} ({p.n_training:g} drawn)",
            str(p.n_folds),
            *(told(p.scores.get(name)) for name in SHOWN),
            told(p.gain) if p is not points[-1] else "–",
        ]
        for p in points
    ]
    heads = ["training images", "folds", *(score_name(name) for name in SHOWN), "AP50 gained by the largest"]
    gains = {"AP50": _curve(study, [p.gain for p in points])}
    sections = [
        Section(
            "curve",
            "Capacity",
            [
                "Whole groups were drawn, and each size holds the smaller ones. Every model judged the fold that was "
                "held out from it, at the threshold that other groups chose.",
                "It levels off at the first size from which on the paired gain of the largest size has an interval "
                f"that reaches down to 0 and a mean below {LEAST_GAIN:g}.",
            ],
            [Table("Scores by the number of training images", heads, rows)],
            {
                "capacity": (
                    curves(lines, name="mean over held-out images", against="training images"),
                    "Scores against the number of training images, with intervals.",
                ),
                "gain": (
                    curves(gains, name="AP50 of the largest minus this", against="training images"),
                    "What the largest size gains over each, on the same images, with intervals.",
                ),
            },
        ),
        Section(
            "trainings",
            "Trainings",
            [f"{_done(study)}."],
            [
                Table(
                    "Every training",
                    ["training", "images drawn", "held out", "state"],
                    [
                        [one.step.words, str(len(one.step.training)), str(len(one.step.held_out)), one.state]
                        for one in study.results
                    ],
                )
            ],
        ),
    ]
    failures = [(one.step.words, one.error) for one in study.results if one.error]
    for one in study.results:
        failures += [
            (f"{one.step.words}: {image}", error) for image, error in (one.sweep.failures if one.sweep else ())
        ]
    return write_study(
        out,
        title=f"Scores against the number of training images, {plural(len(points), 'size')}",
        verdict=[level_sentence(points, study.level)],
        sections=sections,
        warnings=[*_not_run(study), *study.notes],
        failures=failures,
        commands=commands,
        provenance=provenance,
    )


def _curve(study: CapacityStudy, found: Sequence[Any]) -> Curve:
    x = [p.n_training for p in study.points]
    return Curve(x, *([getattr(e, name) for e in found] for name in ("value", "low", "high")))


def _done(study: CapacityStudy) -> str:
    return done_of([one.state for one in study.results], "training")


def _not_run(study: CapacityStudy) -> list[str]:
    return not_run([(one.step.words, one.state) for one in study.results])
