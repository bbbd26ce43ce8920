"""The page of a training run for classes: how good the network is, how it learned from what, and what that cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import ReadError
from segmetry.evaluate.judgement import FAMILIES, ImageScores
from segmetry.evaluate.reliability import Reliability
from segmetry.evaluate.scores import NAMES, score_name
from segmetry.evaluate.semantic import SemanticCounts
from segmetry.io.atomic import atomic
from segmetry.io.card import Card
from segmetry.io.model_folder import read_card
from segmetry.report import figures as drawing
from segmetry.report.comparison import FEW_GROUPS, picture_uri
from segmetry.report.html import environment
from segmetry.report.page import row_estimate
from segmetry.report.picture import class_colours, painted, stretch
from segmetry.report.score_figures import MAX_LINES, Curve, confusion, curves
from segmetry.report.study_page import Table
from segmetry.report.text import format_count, format_estimate, format_share, format_significant, plural
from segmetry.report.training_parts import (
    cost_rows,
    course_figures,
    curve,
    duration,
    last_step,
    provenance_rows,
    read_json,
)
from segmetry.report.trust_figures import reliability_diagram
from segmetry.train.augment import IGNORED
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.log import LOG, Log, read_log
from segmetry.train.looks import Looks, read_looks
from segmetry.train.rate import RATE, RateSearch
from segmetry.train.run_folder import MODEL, RECIPE, SCORES, SPLIT
from segmetry.train.splits import PARTS

REPORT = "report.html"

PURPOSE = {
    "train": "to learn from",
    "check": "to check while learning, and for the temperature",
    "test": "to judge at the end",
}

KEYS = ("semantic_pooled.mean_iou", "semantic_pooled.mean_dice", "semantic_pooled.accuracy", "semantic.boundary_f1")
"""The scores that stand in large type."""

OF_CLASS = ("iou", "dice", "precision", "recall")
"""The scores of each class."""

CURVES = {
    "mean_iou": "mean IoU",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "boundary_f1": "boundary F1",
    "auc": "ROC AUC",
}
"""Scores of checks that are drawn, and their names."""

PIXELS = {"tp": "true positive", "fp": "false positive", "tn": "true negative", "fn": "false negative"}
"""Pixels that checks count, and their names."""

MOST_CHECKS = 40
"""Checks in the table; of more, evenly spaced ones."""

NOT_LABELLED = "#808080"


class Run(NamedTuple):
    """What the folder of a finished run holds; `judged` is empty where no image was held out, `search` None where the
    learning rate was named.
    """

    folder: Path
    recipe: ClassRecipe
    card: Card
    split: Mapping[str, Any]
    judged: Mapping[str, Any]
    log: Log
    looks: Looks
    search: RateSearch | None = None


def write_training_report(run: Path) -> Path:
    """Write ``report.html`` into the folder of a finished training run for classes, and return its path.

    Parameters
    ----------
    run : path
        What `segmetry.train.class_run.train_classes` filled.

    Raises
    ------
    ReadError
        If the folder holds no such run, or it is not finished.
    """
    done = read_run(Path(run))
    page = done.folder / REPORT
    with atomic(page) as temporary:
        temporary.write_text(training_page(done), encoding="utf-8")
    return page


def read_run(folder: Path) -> Run:
    """Return what the folder of a finished run holds."""
    for name in (RECIPE, SPLIT, LOG, MODEL):
        if not (folder / name).exists():
            raise ReadError(
                f"{folder}: holds no finished training run for classes, as {name} is missing; "
                "name the folder that `segmetry train` wrote, and let the run end."
            )
    return Run(
        folder,
        ClassRecipe.load(folder / RECIPE),
        read_card(folder / MODEL),
        read_json(folder / SPLIT),
        read_json(folder / SCORES) if (folder / SCORES).exists() else {},
        read_log(folder),
        read_looks(folder),
        RateSearch.load(folder / RATE) if (folder / RATE).exists() else None,
    )


def training_page(run: Run) -> str:
    """Return the page of a run as HTML that loads nothing."""
    from segmetry import __version__

    judged = run.judged
    counts = _counts(judged) if judged else None
    drawn = {name: drawing.svg(figure) for name, figure in _figures(run, counts).items() if figure is not None}
    key = [(score_name(k), _key(judged["scores"], k)) for k in KEYS] if judged else []
    return environment().get_template("training.html.j2").render(
        title=f"{run.card.name}: {', '.join(run.card.classes)}",
        verdict=_verdict(run),
        warnings=_warnings(run),
        notes=list(dict.fromkeys(note for image in judged.get("images", ()) for note in image["notes"])),
        key=key,
        level=format_share(judged["reliability"]["level"]) if judged else "",
        judged=_images_of(run) if judged else "",
        classes=_class_table(run, counts) if counts is not None else None,
        scores=_score_table(judged["scores"]) if judged else None,
        reliability=_reliability_words(run) if judged else "",
        examples=_examples(run),
        legend=_legend(run),
        course=_course(run),
        checks=_check_table(run),
        pixels=_pixel_table(run),
        data=_data_table(run),
        members=[(PURPOSE[part], names) for part in PARTS if (names := _names(run, part))],
        facts=_facts(run),
        cost=cost_rows(run.log, run.recipe.fit.batch, run.card),
        figures={name: drawing.inline(svg, name) for name, svg in drawn.items()},
        recipe=run.recipe.to_yaml(),
        provenance=provenance_rows(run.card, run.folder, run.recipe.fit.seed, run.split["data_sha256"]),
        software=f"segmetry {__version__}",
    )  # fmt: skip


def _counts(judged: Mapping[str, Any]) -> SemanticCounts:
    """Return the pixels of all judged images by true and found class."""
    stacked = SemanticCounts.stack([ImageScores.from_dict(image).pixels for image in judged["images"]])
    return SemanticCounts(stacked.confusion.sum(axis=0), stacked.values, stacked.names)


def _key(scores: Mapping[str, Any], key: str) -> dict[str, Any]:
    family, _, name = key.partition(".")
    return {"meaning": FAMILIES[family].scores[name].meaning, "printed": row_estimate(scores[family], name)}


def _told(scores: Mapping[str, Any], name: str) -> str:
    return str(row_estimate(scores, name)) if name in scores else ""


def _verdict(run: Run) -> list[str]:
    if not run.judged:
        return ["No image was held out: nothing here tells how good the network is."]
    e = run.judged["scores"]["semantic_pooled"]["mean_iou"]
    value, low, high = (math.nan if e[k] is None else e[k] for k in ("value", "low", "high"))
    return [f"Mean IoU {format_estimate(value, low, high)}", f"on {_images_of(run)}."]


def _images_of(run: Run) -> str:
    """Return what the scores are of, in words."""
    groups = run.judged["groups"]
    part = {"test": "kept for the end", "check": "which also checked it while it learned"}
    n = plural(len(set(groups)), "group")
    return f"{plural(len(groups), 'image')} of {n} that the network did not learn from, {part[run.judged['part']]}"


def _warnings(run: Run) -> list[str]:
    """Return what a reader must know before the numbers."""
    if not run.judged:
        return ["Nothing was held out: there are no scores, no temperature, and no probability can be believed."]
    loud, fit = [], run.recipe.fit
    if run.judged["part"] == "check":
        chosen = ["the best weights"] * (fit.keep == "best") + ["when to stop"] * _stopped_early(run)
        if chosen:
            loud.append(f"The scores are those of the images that chose {' and '.join(chosen)}, so they flatter.")
        loud.append(
            "Temperature and scores rest on the same images, so probabilities look better calibrated than they are "
            "elsewhere. A split such as 70/15/15 keeps images for the end."
        )
    n = len(set(run.judged["groups"]))
    if n < FEW_GROUPS:
        low = run.judged["scores"]["semantic_pooled"]["mean_iou"]["low"]
        few = "too few for intervals." if low is None else "intervals over so few may be too narrow."
        loud.append(f"Only {plural(n, 'group')} to judge with: {few}")
    return loud


def _stopped_early(run: Run) -> bool:
    return bool(run.recipe.fit.patience) and last_step(run.log) < run.recipe.fit.steps


def _class_table(run: Run, counts: SemanticCounts) -> Table:
    """Return the scores of each class; of two it is the second, which alone has intervals."""
    scores, total = run.judged["scores"]["semantic_pooled"], counts.confusion.sum()
    single = "iou" if len(counts.names) == 2 else ""
    rows = []
    for name, pixels in zip(counts.names, counts.confusion.sum(axis=1), strict=True):
        if single and name == counts.names[0]:
            continue
        own = [score if single else f"{score}[{name}]" for score in OF_CLASS]
        rows.append([name, format_share(pixels / total), *(_told(scores, key) for key in own)])
    heads = ["class", "share of the truth", *(NAMES.get(score, score) for score in OF_CLASS)]
    return Table("Each class, all pixels of all images together", heads, rows)


def _score_table(scores: Mapping[str, Any]) -> Table:
    pooled, each = scores["semantic_pooled"], scores["semantic"]
    meanings = FAMILIES["semantic"].scores
    rows = [
        [score_name(f"semantic.{name}"), _told(pooled, name), _told(each, name), meanings[name].meaning]
        for name in each
        if "[" not in name and each[name]["value"] is not None
    ]
    heads = ["score", "all pixels together", FAMILIES["semantic"].averaging, "meaning"]
    return Table("All scores; those of several classes are means over classes", heads, rows)


def _figures(run: Run, counts: SemanticCounts | None) -> dict[str, Any]:
    checks, made = run.log.checks, course_figures(run.log)
    if run.search:
        made["search"] = _search_figure(run.search)
    told = [entry["check"] | {"step": entry["step"]} for entry in checks]
    if told:
        lines = {words: curve(told, name) for name, words in CURVES.items() if name in told[-1]}
        made["scores"] = curves(lines, name="score", against="step", logarithmic=False)
        own = {name: curve(told, f"iou[{name}]") for name in run.card.classes[:MAX_LINES]}
        made["classes"] = curves(own, name="IoU", against="step", logarithmic=False)
    if counts is not None:
        made["confusion"] = confusion(counts.confusion, counts.names)
        names = {"before the temperature": "uncalibrated", "with it": "reliability"}
        made["reliability"] = reliability_diagram(
            {words: Reliability.from_dict(run.judged[name]) for words, name in names.items() if name in run.judged},
            name="probability of the class that was given",
        )
    return made


def _search_figure(search: RateSearch) -> Any:
    """Return the losses of a search for a rate, up to where they diverge, and the rate that was found."""
    rates, means = search.windows()
    lines: dict[str, tuple[Any, Any]]
    most = 2 * means[: means.argmin() + 1].max()
    lines = {
        "each step": (search.rates, search.losses),
        "mean of a factor of ten": (rates, means),
        "found": ([search.found], [float(np.interp(search.found, rates, means))]),
    }
    drawn = {
        words: Curve(x, np.where(np.asarray(y) <= most, y, math.nan), *[np.full(len(x), math.nan)] * 2)
        for words, (x, y) in lines.items()
    }
    return curves(drawn, name="loss", against="learning rate")


def _reliability_words(run: Run) -> str:
    post = run.card.post
    size = f"{plural(post['calibrated_on']['images'], 'image')} of {plural(post['calibrated_on']['groups'], 'group')}"
    heat = format_significant(post["temperature"])
    doubt = ", which neighbouring pixels are not: they are too narrow" if len(set(run.judged["groups"])) == 1 else ""
    note = f"Intervals: {run.judged['reliability']['note']}{doubt}."
    return f"Logits are divided by a temperature of {heat}, fitted on {size}. {note}"


def _examples(run: Run) -> list[dict[str, Any]]:
    """Return the pictures of the images that were looked at: image, truth, and what three checks found."""
    looks = run.looks
    steps = list(looks.found)
    chosen = sorted({steps[place] for place in (0, (len(steps) - 1) // 2, len(steps) - 1)}) if steps else []
    examples = []
    for name, truth in looks.truths.items():
        known = truth != IGNORED
        panels = [
            _panel("Image", "", np.repeat(stretch(looks.images[name])[..., None], 3, axis=-1)),
            _panel("Truth", "", _painted(truth, run.card.classes)),
        ]
        for step in chosen:
            found = looks.found[step][name]
            right = format_share(float(np.mean(found[known] == truth[known]))) if known.any() else ""
            words = f"{right} of these pixels right" if right else ""
            panels.append(_panel(f"Found at step {format_count(step)}", words, _painted(found, run.card.classes)))
        examples.append({"name": name, "panels": panels})
    return examples


def _legend(run: Run) -> list[tuple[str, str]]:
    """Return the names in the pictures with their colours."""
    names = run.card.classes
    sparse = any((truth == IGNORED).any() for truth in run.looks.truths.values())
    return [*zip(names, class_colours(len(names))), *([("not labelled", NOT_LABELLED)] if sparse else [])]


def _panel(title: str, words: str, picture: np.ndarray) -> dict[str, Any]:
    height, width = picture.shape[:2]
    return {"title": title, "words": words, "picture": picture_uri(picture), "height": height, "width": width}


def _painted(classes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return classes in their colours, grey where nobody labelled; (M, N, 3) uint8."""
    colours = [*class_colours(len(names)), *[NOT_LABELLED] * (256 - len(names))]
    return painted(classes, colours)


def _course(run: Run) -> list[str]:
    fit, last = run.recipe.fit, last_step(run.log)
    said = [f"{plural(last, 'step')} of {fit.batch} samples, with {len(run.log.checks)} checks on the held-out images."]
    if _stopped_early(run):
        said.append(f"It stopped before step {format_count(fit.steps)}: {fit.patience} checks brought no better score.")
    if run.search:
        tried = (
            f"{format_significant(run.search.found)}, found in {plural(len(run.search.rates), 'step')} at rising rates"
        )
        said.append(f"The learning rate is {tried}, which took {duration(run.search.seconds)}.")
    scored = [entry for entry in run.log.checks if "score" in entry["check"]]
    if scored:
        best = max(scored, key=lambda entry: entry["check"]["score"])
        words = f"The best check was that of step {format_count(best['step'])}"
        end = "its weights are the model" if fit.keep == "best" else "the model has the weights of the last step"
        said.append(f"{words} (mean IoU {format_significant(best['check']['score'])}); {end}.")
    return said


def _check_table(run: Run) -> Table | None:
    """Return the scores of the checks, and of two classes the pixels that were right and wrong."""
    checks = run.log.checks
    names = {"loss": "loss", **CURVES, "mae": "MAE", **PIXELS}
    told = [name for name in names if any(name in entry["check"] for entry in checks)]
    if not told:
        return None
    places = np.unique(np.linspace(0, len(checks) - 1, min(len(checks), MOST_CHECKS)).round().astype(int))
    rows = [[format_count(checks[i]["step"]), *(_score(checks[i]["check"].get(name)) for name in told)] for i in places]
    some = f"{len(places)} of {len(checks)} checks, evenly spaced" if len(places) < len(checks) else "All checks"
    return Table(f"{some}, all pixels of the held-out images together", ["step", *(names[n] for n in told)], rows)


def _pixel_table(run: Run) -> Table | None:
    """Return the pixels of each of several classes that the last check found right and wrong."""
    last = run.log.checks[-1]["check"] if run.log.checks else {}
    classes = [name for name in run.card.classes if f"tp[{name}]" in last]
    rows = [[name, *(_score(last.get(f"{of}[{name}]")) for of in ("iou", *PIXELS))] for name in classes]
    return Table("Pixels of each class at the last check", ["class", "IoU", *PIXELS.values()], rows) if rows else None


def _score(value: float | None) -> str:
    if value is None:
        return ""
    return format_count(value) if isinstance(value, int) else format_significant(value)


def _names(run: Run, part: str) -> list[str]:
    return [name for name, about in run.split["images"].items() if about["part"] == part]


def _data_table(run: Run) -> Table:
    images = run.split["images"]
    rows = []
    for part in PARTS:
        if names := _names(run, part):
            groups = Counter(images[name]["group"] for name in names)
            rows.append([part, PURPOSE[part], format_count(len(names)), format_count(len(groups))])
    return Table(
        f"Images by part, dealt by the rule {run.recipe.split}", ["part", "what for", "images", "groups"], rows
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    card, o = run.card, run.recipe.samples
    side = f"{o.side} × {o.side} px" if o.side else "whole images"
    crops = f"{o.planes} × {side}" if o.side and card.axes == "ZYX" else side
    return [
        ("Network", f"{card.architecture}{_options(card.options)}"),
        ("Classes", ", ".join(card.classes)),
        ("Channels", str(card.image_channels)),
        ("Samples", crops + (f", {o.number} places" if o.number else "") + (", side by side" if o.grid else "")),
        ("Loss", " + ".join(run.recipe.loss)),
    ]


def _options(options: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""
