"""The page of a training run for particles: how good the network is, where it fails, how it learned, what that cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import ReadError
from segmetry.evaluate.judgement import FAMILIES
from segmetry.evaluate.objects import object_outcomes
from segmetry.evaluate.promise import Promise
from segmetry.evaluate.reliability import Reliability
from segmetry.evaluate.scores import score_name
from segmetry.io.atomic import atomic
from segmetry.io.card import Card
from segmetry.io.model_folder import read_card
from segmetry.report import figures as drawing
from segmetry.report.comparison import FEW_GROUPS, shown_panels, worst_case
from segmetry.report.html import environment
from segmetry.report.page import row_estimate
from segmetry.report.study_page import Table
from segmetry.report.text import format_count, format_estimate, format_share, format_significant, plural
from segmetry.report.training_parts import cost_rows, course_figures, last_step, provenance_rows, read_json
from segmetry.report.trust_figures import reliability_diagram
from segmetry.segment import segment
from segmetry.train.data import Example
from segmetry.train.log import LOG, Log, read_log
from segmetry.train.recipe import TrainRecipe
from segmetry.train.run_folder import MODEL, RECIPE, SCORES
from segmetry.types import Image

REPORT = "report.html"


class Run(NamedTuple):
    """What the folder of a finished run holds; `judged` is empty where no image was held out."""

    folder: Path
    recipe: TrainRecipe
    card: Card
    judged: Mapping[str, Any]
    log: Log


def write_particle_report(run: Path, examples: Sequence[Example] = ()) -> Path:
    """Write ``report.html`` into the folder of a finished training run for particles, and return its path.

    Parameters
    ----------
    run : path
        What `segmetry.train.run.train` filled.
    examples : sequence of Example
        Of those that were held out the worst, the median and the best are drawn.

    Raises
    ------
    ReadError
        If the folder holds no such run, or it is not finished.
    """
    folder = Path(run)
    for name in (RECIPE, LOG, MODEL):
        if not (folder / name).exists():
            raise ReadError(
                f"{folder}: holds no finished training run for particles, as {name} is missing; "
                "name the folder that `segmetry train` wrote, and let the run end."
            )
    judged = read_json(folder / SCORES) if (folder / SCORES).exists() else {}
    done = Run(folder, TrainRecipe.load(folder / RECIPE), read_card(folder / MODEL), judged, read_log(folder))
    with atomic(folder / REPORT) as temporary:
        temporary.write_text(particle_training_page(done, examples), encoding="utf-8")
    return folder / REPORT


def particle_training_page(run: Run, examples: Sequence[Example] = ()) -> str:
    """Return the page of a run as HTML that loads nothing."""
    from segmetry import __version__

    scores = run.judged.get("scores", {})
    made = course_figures(run.log)
    if run.judged:
        diagram = Reliability.from_dict(run.judged["reliability"])
        made["reliability"] = reliability_diagram(diagram, name="chance that a particle is right")
    drawn = {name: drawing.svg(figure) for name, figure in made.items()}
    return environment().get_template("particle_training.html.j2").render(
        title=run.card.name,
        verdict=_verdict(run),
        warnings=_warnings(run),
        key=[(score_name(name), _key(scores, name)) for name in scores],
        how=run.judged.get("how", ""),
        level=format_share(next(iter(scores.values()))["level"]) if scores else "",
        promises=_promise_table(run.card),
        cases=_cases(run, examples),
        course=_course(run),
        images=_image_table(run),
        facts=_facts(run),
        cost=cost_rows(run.log, run.recipe.fit.batch, run.card),
        figures={name: drawing.inline(svg, name) for name, svg in drawn.items()},
        recipe=run.recipe.to_yaml(),
        provenance=provenance_rows(run.card, run.folder, run.recipe.fit.seed, ""),
        software=f"segmetry {__version__}",
    )  # fmt: skip


def _key(scores: Mapping[str, Any], key: str) -> dict[str, Any]:
    family, _, name = key.partition(".")
    return {"meaning": FAMILIES[family].scores[name].meaning, "printed": row_estimate(scores, key)}


def _verdict(run: Run) -> list[str]:
    if not run.judged:
        return ["No image was judged: nothing here tells how good the network is."]
    e = run.judged["scores"]["instance.ap50"]
    value, low, high = (math.nan if e[k] is None else e[k] for k in ("value", "low", "high"))
    images = run.judged["images"]
    n = plural(len({image["group"] for image in images}), "group")
    return [
        f"AP50 {format_estimate(value, low, high)}",
        f"on {plural(len(images), 'image')} of {n} that the network did not learn from.",
    ]


def _warnings(run: Run) -> list[str]:
    """Return what a reader must know before the numbers."""
    if not run.judged and run.card.training.get("held_out"):
        return ["Nothing that could be a particle was found in the images that were held out: train longer."]
    if not run.judged:
        return ["There are no scores: hold a part out with --fold 0, or judge the model with segmetry evaluate."]
    n = len({image["group"] for image in run.judged["images"]})
    if n >= FEW_GROUPS:
        return []
    low = run.judged["scores"]["instance.ap50"]["low"]
    few = "too few for intervals." if low is None else "intervals over so few may be too narrow."
    return [f"Only {plural(n, 'group')} to judge with: {few}"]


def _promise_table(card: Card) -> Table | None:
    """Return what the model can promise about what it finds."""
    promises = [Promise(**one) for one in card.post.get("promises", ())]
    rows = [
        [p.what, *("" if x is None else format_share(x) for x in (p.false_share, p.miss_rate)), p.reason]
        for p in promises
    ]
    heads = ["promise", "false on these images", "missed on them", "why it cannot be given"]
    return Table("What it can promise of images of another group", heads, rows) if rows else None


def _cases(run: Run, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return pictures of the worst, the median and the best of the judged images that are at hand."""
    at_hand = {e.name: e for e in examples}
    judged = [one for one in _worst_first(run) if one["name"] in at_hand]
    places = dict.fromkeys((0, len(judged) // 2, len(judged) - 1)) if judged else {}
    cases = []
    for words, place in zip(("Worst", "Median", "Best"), places):
        one = judged[place]
        example = at_hand[one["name"]]
        found = segment(Image(example.pixels, name=one["name"], ignore=example.ignore), str(run.folder / MODEL)).labels
        truth = example.labels.astype(np.int32)
        outcomes = object_outcomes(truth, found)
        case = worst_case(run.card.name, one["name"], truth, found, pixels=example.pixels, outcomes=outcomes)
        cases.append({"title": f"{words}: {one['name']}", "words": _counted(one), "panels": shown_panels(case)})
    return cases


def _worst_first(run: Run) -> list[Mapping[str, Any]]:
    return sorted(run.judged.get("images", ()), key=lambda one: (_ap50(one), one["name"]))


def _counted(image: Mapping[str, Any]) -> str:
    there, found, right = (format_count(image[k]) for k in ("n_truth", "n_found", "n_right"))
    return f"{there} true, {found} found, {right} of them right: AP50 {format_significant(_ap50(image))}."


def _ap50(image: Mapping[str, Any]) -> float:
    either = image["n_truth"] + image["n_found"] - image["n_right"]
    return image["n_right"] / either if either else 1.0


def _course(run: Run) -> list[str]:
    fit = run.recipe.fit
    n = plural(last_step(run.log), "step")
    return [f"{n} of {fit.batch} samples; the model has averaged weights of the last step."]


def _image_table(run: Run) -> Table | None:
    rows = [
        [one["name"], one["group"], *(format_count(one[k]) for k in ("n_truth", "n_found", "n_right")),
         format_significant(_ap50(one))]
        for one in _worst_first(run)
    ]  # fmt: skip
    heads = ["image", "group", "true", "found", "right", "AP50"]
    return Table("Every judged image, the worst first", heads, rows) if rows else None


def _facts(run: Run) -> list[tuple[str, str]]:
    told = run.card.training
    rows = [
        ("Network", run.card.architecture),
        ("Learned from", f"{plural(told['images'], 'image')} of {plural(told['groups'], 'group')}"),
        ("Particles", format_count(told["particles"])),
        ("Held out", plural(told["held_out"], "image")),
    ]
    scenes = run.recipe.scenes + run.recipe.hard_scenes
    return [*rows, *([("Drawn scenes", format_count(scenes))] if scenes else [])]
