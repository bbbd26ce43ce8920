"""The command that studies settings of a recipe: plan the runs, do them, and say what they cost and gained."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.options import open_output
from segmetry.cli.studies import GOES_ON, command_line, provenance_of, show_lines
from segmetry.cli.trainer import Data, RunOptions, read_data, read_recipe
from segmetry.errors import OptionError, SegmetryError
from segmetry.io.model_folder import model_beside
from segmetry.training import need_torch

if TYPE_CHECKING:
    from segmetry.batch import Outcome
    from segmetry.study.networks import Result
    from segmetry.study.runs import StudyWork
    from segmetry.study.settings import Run, Setting, StudyFile
    from segmetry.train.class_recipe import ClassRecipe

MOST_RUNS = 300
"""More runs than these need a budget."""


def study_settings(
    file: Path, out: Path, options: RunOptions, *, budget: float | None, jobs: int, as_json: bool
) -> int:
    """Train and judge every setting of a study's file, and compare them; return the exit code."""
    need_torch()
    from segmetry.batch import run
    from segmetry.gather import describe_run
    from segmetry.io.atomic import atomic
    from segmetry.io.json_file import plain, write_json
    from segmetry.recipe import Recipe
    from segmetry.report.networks_page import markdown, network_lines, network_tables, write_networks_page
    from segmetry.study.networks import study_networks
    from segmetry.study.runs import StudyWork, read_result
    from segmetry.study.settings import read_study

    began = time.monotonic()
    study = read_study(file)
    base, data = _base(study)
    if data.images is None:
        raise OptionError(f"{file}: name what to learn from: data: {{images: FOLDER, labels: FOLDER}}.")
    work = StudyWork(
        data.images,
        data.labels,
        data.groups,
        minutes=study.minutes,
        device=options.device,
        workers=options.n_workers if jobs == 1 or options.workers is not None else max(1, options.n_workers // jobs),
        jobs=jobs,
        widths=study.widths,
    )
    runs, notes = _planned(study, base, data, work, out / "work")
    open_output(out)
    todo = [one for one in runs if not work.is_done(one)]
    if todo:
        _say_size(todo, len(runs), work, budget)
    work = dataclasses.replace(work, ends=None if budget is None else time.time() + 60 * budget)
    outcomes: list[Outcome] = []
    stopped = False
    with closing(run(runs, work, jobs=jobs, done=work.is_done)) as steps:
        try:
            for outcome in steps:
                outcomes.append(outcome)
                if not outcome.resumed:
                    _say_outcome(outcome, work, len(outcomes), len(runs))
        except KeyboardInterrupt:
            stopped = True
    errors = {one.task.folder: one.error for one in outcomes}
    results = [
        read_result(one, work.state(one, errors.get(one.folder, "")), errors.get(one.folder, "")) for one in runs
    ]
    found = study_networks(results, scores=study.scores, notes=notes)
    for name, table in (("runs.csv", found.runs_table()), ("table.csv", found.table())):
        with atomic(out / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    with atomic(out / "table.md") as temporary:
        temporary.write_text(markdown(network_tables(found)), encoding="utf-8")
    decided = {"recipe": base.as_dict(), "study": study.as_dict()}
    write_json(out / "study.json", found.as_dict() | decided)
    about = provenance_of(Recipe(), decided, time.monotonic() - began)
    write_json(out / "run.json", describe_run(outcomes, about, jobs))
    page = write_networks_page(found, out, provenance=about.as_dict(), commands=[command_line()])
    if as_json:
        print(json.dumps(plain(found.as_dict() | decided), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show_lines(network_lines(found), page)
    return _conclude(results, stopped)


def _base(study: StudyFile) -> tuple[ClassRecipe, Data]:
    """Return the recipe that settings change, and the data: the study's own, or those of the recipe's file."""
    from segmetry.train.class_recipe import ClassRecipe

    data = read_data(study.data, study.path)
    if isinstance(study.recipe, str):
        base, found = read_recipe(study.path.parent / study.recipe, None)
        data = data if study.data else found
        if not isinstance(base, ClassRecipe):
            raise OptionError(
                f"{study.recipe}: a study compares networks for classes; {base.network} is for particles."
            )
        return base, data
    if not isinstance(study.recipe, Mapping):
        raise OptionError(f"recipe: name a file, or write entries such as network: unet; got {study.recipe!r:.60}.")
    return ClassRecipe().changed(study.recipe), data


def _planned(
    study: StudyFile, base: ClassRecipe, data: Data, work: StudyWork, folder: Path
) -> tuple[list[Run], list[str]]:
    """Return every run, each of which can be trained as far as can be told before, and what is said of the images."""
    from segmetry.study.runs import check_recipe
    from segmetry.study.settings import INIT, plan_runs

    def init_of(setting: Setting) -> Path | None:
        named = setting.changes.get(INIT, data.init)
        return None if named is None else model_beside(str(named), study.path.parent)

    recipes = [(one.name, one.recipe(base)) for one in study.settings if not one.peer]
    first = work.data(recipes[0][1])
    for name, recipe in recipes:
        found = work.data(recipe)
        if [image.name for image in found.images] != [image.name for image in first.images]:
            raise OptionError(f"{name}: leaves other images than {recipes[0][0]}; settings must share all of them.")
        try:
            check_recipe(recipe, found)
        except SegmetryError as error:
            raise OptionError(f"{name}: {error}") from error
    images = first.images
    print(f"segmetry: {len(images)} images, classes {', '.join(first.classes.values())}", file=sys.stderr)
    names, groups = [image.name for image in images], [image.group for image in images]
    runs = plan_runs(study, base, names, groups, first.parts, folder, identity=work.identity, init_of=init_of)
    return runs, list(dict.fromkeys(note for _, recipe in recipes for note in work.data(recipe).notes))


def _say_size(todo: Sequence[Run], n_runs: int, work: StudyWork, budget: float | None) -> None:
    """Say how much there is to do; refuse more than anyone will wait for, unless somebody says how long to wait."""
    networks = [one for one in todo if not one.setting.peer]
    if len(networks) > MOST_RUNS and budget is None:
        each = work.seconds(networks[0])
        raise OptionError(
            f"{len(networks)} runs of about {_span(each)} (the first, measured or planned) take "
            f"{_span(len(networks) * each / work.jobs)}; leave values out, or say with --budget for how many minutes "
            "it may go on."
        )
    about = "" if work.minutes is None else f", about {_span(len(networks) * 60 * work.minutes / work.jobs)}"
    print(f"segmetry: {len(todo)} of {n_runs} runs to do{about}", file=sys.stderr)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.2g} minutes" if seconds < 5400 else f"{seconds / 3600:.2g} hours"


def _say_outcome(outcome: Outcome, work: StudyWork, n_ended: int, n_runs: int) -> None:
    """Tell how a run went."""
    from segmetry.study.networks import MEAN_IOU
    from segmetry.study.runs import read_result

    run: Any = outcome.task
    state = work.state(run, outcome.error)
    if state == "not run":
        return
    told = f"mean IoU {read_result(run, state).scores()[MEAN_IOU]:.3f}" if state == "done" else state
    print(f"segmetry: {n_ended} of {n_runs}, {run.words}: {told}, {outcome.seconds / 60:.2g} min", file=sys.stderr)


def _conclude(results: Sequence[Result], stopped: bool) -> int:
    """List what failed on stderr, and return the exit code."""
    failed = [one for one in results if one.state == "failed"]
    for one in failed:
        print(f"segmetry: {one.run.words}: {one.error}", file=sys.stderr)
    if stopped:
        print(f"segmetry: stopped; {GOES_ON}.", file=sys.stderr)
        return 130
    return 1 if failed else 0
