"""What a study of settings says, in lines for a terminal, as Markdown, and on its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segmetry.evaluate.judgement import score_of
from segmetry.evaluate.scores import score_name
from segmetry.report.comparison import FEW_GROUPS
from segmetry.report.score_figures import MAX_LINES, Curve, Gap, curves, forest, heat
from segmetry.report.study_page import LEFT_OPEN, Section, Table, done_of, not_run, told, write_study
from segmetry.report.text import NOTHING, format_count, format_estimate, format_number, format_significant, plural
from segmetry.study.networks import COMPARED, MEAN_IOU, NetworkStudy, Row
from segmetry.study.settings import words

POOLED = "semantic_pooled.mean_iou"


def network_lines(study: NetworkStudy) -> list[str]:
    """Return what came out, a line each."""
    lines = [f"{_done(study)}; {score_name(MEAN_IOU)} and {score_name(COMPARED[1])}, mean over held-out images"]
    width = max((len(row.name) for row in study.rows), default=0)
    for row in study.rows:
        if MEAN_IOU not in row.scores:
            lines.append(f"{row.name:<{width}}  {_state(study, row)}")
            continue
        scores = "  ".join(told(row.scores[key]) for key in COMPARED if key in row.scores)
        gain = f"  ({_gain(row, MEAN_IOU)} against {row.against})" if row.gains else ""
        lines.append(f"{row.name:<{width}}  {scores}{gain}")
    return [*lines, *verdict(study), *_not_run(study), *study.notes]


def verdict(study: NetworkStudy) -> list[str]:
    """Return which setting is best, and whether the images tell it from the one it is compared with."""
    best = study.best
    if best is None:
        return ["No run is done."]
    said = [f"The highest mean IoU is that of {best.name}: {told(best.scores[MEAN_IOU])}."]
    if MEAN_IOU in best.gains:
        e = best.gains[MEAN_IOU].estimate
        apart = "these images tell this from 0" if e.low > 0 else "these images do not tell this from 0"
        apart = apart if math.isfinite(e.low) else "there are too few groups for an interval"
        said.append(f"Against {best.against} it gains {_gain(best, MEAN_IOU)}: {apart}.")
    if sum(MEAN_IOU in row.scores for row in study.rows) > 2:
        said.append("The highest of many, chosen by the images that judge it, looks better than it is.")
    return said


def warnings_of(study: NetworkStudy) -> list[str]:
    """Return what must be known before the numbers."""
    loud = []
    if 0 < study.n_groups < FEW_GROUPS:
        loud.append(
            f"Only {plural(study.n_groups, study.groups)} held out: intervals over so few may be too narrow, or cannot "
            "be had."
        )
    if len({one.run.seed for one in study.results}) < 2:
        loud.append("One seed: how much the seed alone moves a score is not known.")
    if any(one.run.recipe.fit.keep == "best" or one.run.recipe.fit.patience for one in study.results) and not any(
        "test" in one.run.parts.values() for one in study.results
    ):
        loud.append("Images that judge also chose the best weights or when to stop, so their scores flatter.")
    if len({tuple(one.images[0].pixels.names) for one in study.results if one.images}) > 1:
        loud.append("Settings differ in their classes, so their mean IoU are not of the same things.")
    spent = [one.cost["seconds"] / 60 / m for one in study.results if (m := one.cost.get("minutes"))]
    if off := sum(not 0.5 < share < 1.5 for share in spent):
        loud.append(
            f"{plural(off, 'run')} took less than half of the minutes planned, or half as much again: the machine was "
            "more or less busy while they were planned, so look at the steps of each before comparing."
        )
    if jobs := max((int(one.cost.get("jobs", 1)) for one in study.results), default=1) - 1:
        loud.append(f"Times were taken with up to {plural(jobs, 'other run')} at work on the same machine.")
    return loud


def score_table(study: NetworkStudy) -> Table:
    """Return the table of scores, one row a setting."""
    keys = [*COMPARED, POOLED]
    heads = [
        *_heads(study),
        "runs",
        *(score_name(key) for key in keys),
        "± over seeds",
        *(f"{score_name(key)} gained" for key in COMPARED),
        "p (Holm)",
        "against",
    ]
    rows = []
    for row in study.rows:
        cells = [told(row.scores[key]) if key in row.scores else NOTHING for key in keys]
        if not row.n_done:
            cells = [_state(study, row)] * len(keys)
        rows.append(
            [
                *_cells(study, row),
                f"{row.n_done} of {row.n_runs}",
                *cells,
                format_significant(row.spread, 2),
                *(_gain(row, key) for key in COMPARED),
                format_significant(row.adjusted, 2),
                row.against or NOTHING,
            ]
        )
    return _filled("Scores on the held-out images", heads, rows)


def further_table(study: NetworkStudy) -> Table | None:
    """Return the scores that the study asks for, and what each row gains of them; None where it asks for none."""
    if not study.scores:
        return None
    heads = [*_heads(study), *(head for key in study.scores for head in (score_name(key), "gained"))]
    rows = []
    for row in study.rows:
        cells = [text for key in study.scores for text in (told(row.scores.get(key)), _gain(row, key))]
        rows.append([*_cells(study, row), *(cells if row.n_done else [_state(study, row)] * len(cells))])
    return Table("Further scores on the held-out images", heads, rows)


def cost_table(study: NetworkStudy) -> Table:
    """Return what settings cost beside their mean IoU: means over runs."""
    heads = [*_heads(study), "batch", "steps", "epochs", "training time (s)", "s per 1000 samples", "samples/s"]
    heads += ["device", "memory (MiB)", "prediction (s/megapixel)", "parameters", "model (MiB)", score_name(MEAN_IOU)]
    rows = []
    for row in study.rows:
        c = row.cost

        def cell(name: str, c: Mapping[str, Any] = c) -> str:
            return format_significant(float(c[name])) if name in c else NOTHING

        rows.append(
            [
                *_cells(study, row),
                *(f"{c[name]:.0f}" if name in c else NOTHING for name in ("batch", "steps")),
                *(cell(name) for name in ("epochs", "seconds", "seconds_per_1000", "samples_per_s")),
                str(c.get("device", NOTHING)),
                *(cell(name) for name in ("memory", "seconds_per_megapixel")),
                format_count(round(c["parameters"])) if "parameters" in c else NOTHING,
                cell("model_size"),
                told(row.scores[MEAN_IOU]) if MEAN_IOU in row.scores else _state(study, row),
            ]
        )
    return _filled("Cost", heads, rows)


def class_table(study: NetworkStudy) -> Table | None:
    """Return the IoU of each class over all pixels of the held-out images; None where the classes are two."""
    prefix = "semantic_pooled.iou["
    keys = list(dict.fromkeys(key for row in study.rows for key in row.scores if key.startswith(prefix)))
    if not keys:
        return None
    rows = [[*_cells(study, row), *(told(row.scores.get(key)) for key in keys)] for row in study.rows]
    heads = [*_heads(study), *(key.removeprefix(prefix).rstrip("]") for key in keys)]
    return Table("IoU of each class, all pixels of the held-out images together", heads, rows)


def network_tables(study: NetworkStudy) -> list[Table]:
    """Return every table of a study."""
    tables = (settings_table(study), score_table(study), further_table(study), class_table(study), cost_table(study))
    return [table for table in tables if table is not None]


def markdown(tables: Sequence[Table]) -> str:
    """Return tables as Markdown.

    Examples
    --------
    >>> print(markdown([Table("Two", ["a", "b"], [["x|y", "1"]])]))
    ## Two
    <BLANKLINE>
    | a | b |
    | --- | --- |
    | x\\|y | 1 |
    <BLANKLINE>
    """
    parts = []
    for table in tables:
        lines = [table.heads, ["---"] * len(table.heads), *table.rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        parts.append(f"## {table.title}\n\n{text}\n")
    return "\n".join(parts)


def write_networks_page(
    study: NetworkStudy, out: Path, *, provenance: Mapping[str, Any], commands: Sequence[str] = ()
) -> Path:
    """Write the page of a study of settings and its figures; return its path."""
    best = [
        "Every setting learned from the same images and judged the same held-out ones. Scores are means over these "
        "images, of each the mean over seeds; [low, high] is the 95 % interval for the population of "
        f"{study.groups}s. Gains are paired: image by image, over the seeds that both have.",
        "p-values are adjusted for the number of rows (Holm).",
    ]
    *scores, _ = network_tables(study)
    whole = dict.fromkeys(key.partition("[")[0] for key in study.scores)
    meant = ["; ".join(f"{score_name(key)}: {score_of(key, 'semantic').meaning}" for key in whole) + "."] * bool(whole)
    sections = [
        Section("scores", "Scores", [*best, *meant], scores, _figures(study)),
        Section(
            "cost",
            "Cost",
            [
                "Means over runs. Time is that of the steps, without checks and export. Memory is how far that of the "
                "process rose while it learned, or what the GPU held at most. An epoch is as many pixels as the "
                "training images have. A prediction is timed on one held-out image."
            ],
            [cost_table(study)],
        ),
        Section("runs", "Runs", [f"{_done(study)}."], [_run_table(study)]),
    ]
    return write_study(
        out,
        title=f"{plural(len(study.rows), 'setting')} compared",
        verdict=verdict(study),
        sections=sections,
        warnings=[*warnings_of(study), *_not_run(study), *study.notes],
        failures=[(one.run.words, one.error) for one in study.results if one.error],
        commands=commands,
        provenance=provenance,
    )


def _figures(study: NetworkStudy) -> dict[str, tuple[Any, str]]:
    made: dict[str, tuple[Any, str]] = {}
    for key in COMPARED:
        table = study.heat(key)
        if table is not None and table.notna().any(axis=None):
            name = score_name(key)
            made[f"heat-{key.partition('.')[2]}"] = (heat(table, name=name), f"{name} over the two settings.")
    gaps = {row.name: _gap(row) for row in study.rows if MEAN_IOU in row.gains}
    beside = {row.against for row in study.rows if row.gains}
    if gaps and len(beside) == 1:
        caption = "Mean IoU gained, with intervals; an open marker is not told from 0."
        made["gains"] = (forest(gaps, best=beside.pop(), name="mean IoU"), caption)
    if len({row.size for row in study.rows}) > 1:
        for key in COMPARED:
            lines = {}
            for name in list(dict.fromkeys(row.setting.name for row in study.rows))[:MAX_LINES]:
                own = [row for row in study.rows if row.setting.name == name and key in row.scores]
                x = [row.cost["n_training"] for row in own]
                lines[name] = Curve(
                    x, *([getattr(row.scores[key], e) for row in own] for e in ("value", "low", "high"))
                )
            drawn = curves(lines, name=score_name(key), against="training images")
            made[f"capacity-{key.partition('.')[2]}"] = (drawn, f"{score_name(key)} by the number of training images.")
    return made


def _gap(row: Row) -> Gap:
    d = row.gains[MEAN_IOU]
    return Gap(d.estimate.value, d.estimate.low, d.estimate.high, row.adjusted)


def _run_table(study: NetworkStudy) -> Table:
    rows = []
    for one in study.results:
        scores = one.scores()
        cells = [format_significant(scores.get(key, math.nan)) for key in (*COMPARED, POOLED)]
        steps, seconds = (float(one.cost.get(name, math.nan)) for name in ("steps", "seconds"))
        cells += [format_number(steps, 0), format_significant(seconds)]
        rows.append([one.run.words, str(one.run.n_training), one.state, *cells, one.run.folder])
    scored = (score_name(key) for key in (*COMPARED, POOLED))
    return Table("Every run", ["run", "training images", "state", *scored, "steps", "time (s)", "folder"], rows)


def settings_table(study: NetworkStudy) -> Table | None:
    """Return what each setting varies; None where their names say it, as those do that nobody gave."""
    settings = {row.setting.name: row for row in study.rows}
    if not study.varied or all(name == row.setting.words for name, row in settings.items()):
        return None
    rows = [
        [name, *(NOTHING if row.setting.peer else words(study.value(row, n)) for n in study.varied)]
        for name, row in settings.items()
    ]
    return Table("Settings", ["setting", *(name.replace("_", " ") for name in study.varied)], rows)


def _filled(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table without the columns in which no row has anything."""
    kept = [k for k in range(len(heads)) if any(row[k] != NOTHING for row in rows)]
    return Table(title, [heads[k] for k in kept], [[row[k] for k in kept] for row in rows])


def _heads(study: NetworkStudy) -> list[str]:
    return ["setting", *(["training images"] if len({row.size for row in study.rows}) > 1 else [])]


def _cells(study: NetworkStudy, row: Row) -> list[str]:
    return [row.setting.name, *([_size(row)] if len({one.size for one in study.rows}) > 1 else [])]


def _size(row: Row) -> str:
    drawn = row.cost.get("n_training")
    return f"{row.size or 'all'}" + (f" ({drawn:g} drawn)" if drawn and drawn != row.size else "")


def _gain(row: Row, key: str) -> str:
    if key not in row.gains:
        return NOTHING
    e = row.gains[key].estimate
    return f"{'+' if e.value > 0 else ''}{format_estimate(e.value, e.low, e.high)}"


def _state(study: NetworkStudy, row: Row) -> str:
    """Return why a row has no score."""
    states = {
        one.state for one in study.results if (one.run.setting.name, one.run.size) == (row.setting.name, row.size)
    }
    return next((said for state, said in LEFT_OPEN.items() if states == {state}), "not run whole")


def _done(study: NetworkStudy) -> str:
    return done_of([one.state for one in study.results], "run")


def _not_run(study: NetworkStudy) -> list[str]:
    return not_run([(one.run.words, one.state) for one in study.results])
