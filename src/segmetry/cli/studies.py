"""The commands of studies: what the threshold does, and what more training images would bring."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.options import open_output, parse_settings
from segmetry.errors import OptionError

if TYPE_CHECKING:
    from segmetry.pipeline import Provenance
    from segmetry.recipe import Recipe

GOES_ON = "the same command goes on from here"


def study_thresholds(
    method: str,
    settings: list[str] | None,
    images: Path,
    truth: Path,
    out: Path,
    *,
    groups: Path | None,
    ids: Path | None,
    scale: str | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Sweep the threshold of a method on labelled images; return the exit code."""
    from segmetry.batch import default_jobs, write_failures
    from segmetry.cli.batches import collect, conclude
    from segmetry.gather import describe_run
    from segmetry.io import write_table
    from segmetry.partners import pair_files, read_groups, read_ids
    from segmetry.pipeline import plain, write_json
    from segmetry.recipe import Recipe
    from segmetry.report.threshold_page import threshold_lines, write_threshold_page
    from segmetry.study_sweep import SweepWork, load_sweep, open_threshold
    from segmetry.study_threshold import study_threshold
    from segmetry.trials import make_trials

    options = parse_settings(settings or ())
    for name in ("threshold", "false_share", "miss_rate"):
        if name in options:
            raise OptionError(f"--set {name}: the study itself tries every threshold; leave this out.")
    recipe = Recipe.build(method, options=options, scale=scale or "auto")  # type: ignore[arg-type]  # checked by Recipe
    recipe = replace(recipe, method=open_threshold(recipe.method))
    pairs = pair_files(images, truth, ids=read_ids(ids) if ids is not None else None, what="image").pairs
    trials = make_trials([], pairs)
    names = [trial.folder for trial in trials]
    group_name, owners = read_groups(groups, names) if groups is not None else ("", names)
    open_output(out)
    work = SweepWork(recipe, out / "work")
    work.check()
    outcomes, stopped = collect(trials, work, jobs=jobs, done=work.is_done)
    write_failures(out / "failures.csv", outcomes)
    if stopped or not any(o.ok for o in outcomes):
        return conclude(trials, outcomes, stopped, GOES_ON)
    sweep = load_sweep(out / "work", outcomes, dict(zip(names, owners, strict=True)))
    study = study_threshold(sweep, method=recipe.method.as_dict(), group_name=group_name)
    write_table(out / "threshold.csv", study.curve)
    data = study.as_dict()
    write_json(out / "study.json", data)
    about = _provenance(recipe, data["method"], sum(o.seconds for o in outcomes))
    write_json(out / "run.json", describe_run(outcomes, about, jobs or default_jobs()))
    page = write_threshold_page(study, out, provenance=about.as_dict(), commands=[_command()])
    if as_json:
        print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(threshold_lines(study), page)
    return conclude(trials, outcomes, stopped, GOES_ON)


def _provenance(recipe: Recipe, decides: Any, seconds: float) -> Provenance:
    """Return what made a study that ends now."""
    from segmetry.pipeline import make_provenance

    made = make_provenance(recipe, input_sha256="", seconds=seconds)
    text = json.dumps(decides, sort_keys=True)
    return replace(made, recipe_sha256=hashlib.sha256(text.encode()).hexdigest())


def _command() -> str:
    return shlex.join(["segmetry", *sys.argv[1:]])


def _show(lines: Sequence[str], page: Path) -> None:
    for line in lines:
        print(line)
    print(f"report: {page}")
