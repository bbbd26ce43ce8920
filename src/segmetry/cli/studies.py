"""The commands of studies: what the threshold does, and what more training images would bring."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.options import open_output, parse_settings
from segmetry.errors import OptionError

if TYPE_CHECKING:
    from segmetry.pipeline import Provenance
    from segmetry.recipe import Recipe
    from segmetry.study.capacity import CapacityStudy, Step
    from segmetry.train.data import Example
    from segmetry.train.recipe import TrainRecipe

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
    from segmetry.io.json_file import plain, write_json
    from segmetry.partners import pair_files, read_groups, read_ids
    from segmetry.recipe import Recipe
    from segmetry.report.threshold_page import threshold_lines, write_threshold_page
    from segmetry.study.sweep import SweepWork, load_sweep, note_on_scores, open_threshold
    from segmetry.study.threshold import study_threshold
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
    notes = [text] if (text := note_on_scores(recipe.method)) else []
    study = study_threshold(sweep, method=recipe.method.as_dict(), group_name=group_name, notes=notes)
    write_table(out / "threshold.csv", study.curve)
    data = study.as_dict()
    write_json(out / "study.json", data)
    about = provenance_of(recipe, data["method"], sum(o.seconds for o in outcomes))
    write_json(out / "run.json", describe_run(outcomes, about, jobs or default_jobs()))
    page = write_threshold_page(study, out, provenance=about.as_dict(), commands=[command_line()])
    if as_json:
        print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show_lines(threshold_lines(study), page)
    return conclude(trials, outcomes, stopped, GOES_ON)


def provenance_of(recipe: Recipe, decides: Any, seconds: float) -> Provenance:
    """Return what made a study that ends now."""
    from segmetry.pipeline import make_provenance

    made = make_provenance(recipe, input_sha256="", seconds=seconds)
    text = json.dumps(decides, sort_keys=True)
    return replace(made, recipe_sha256=hashlib.sha256(text.encode()).hexdigest())


def command_line() -> str:
    """Return the command that runs, as one types it."""
    return shlex.join(["segmetry", *sys.argv[1:]])


def show_lines(lines: Sequence[str], page: Path) -> None:
    """Print what came out, and where its page is."""
    for line in lines:
        print(line)
    print(f"report: {page}")


def parse_sizes(text: str) -> list[int]:
    """Return rising numbers of images.

    Examples
    --------
    >>> parse_sizes("50, 100,366")
    [50, 100, 366]
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise OptionError(f"--sizes {text!r}: write numbers of images with commas between, such as 50,100,200.")
    sizes = [int(part) for part in parts]
    if sizes != sorted(set(sizes)):
        raise OptionError(f"--sizes {text!r}: write them rising, each once.")
    return sizes


def study_capacities(
    images: Path,
    truth: Path,
    out: Path,
    *,
    sizes: str,
    n_folds: int,
    groups: Path | None,
    recipe: Path | None,
    settings: list[str] | None,
    budget: float | None,
    scale: str | None,
    workers: int | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train on ever more images and judge each model on the fold held out; return the exit code."""
    from segmetry.training import load_examples, need_torch

    wanted = parse_sizes(sizes)
    own = parse_settings(settings or ())
    for name in ("fold", "folds"):
        if name in own:
            raise OptionError(f"--set {name}: the study holds out every fold in turn; use --folds for how many.")
    need_torch()
    from segmetry.batch import default_jobs
    from segmetry.cli.trainer import reading
    from segmetry.gather import describe_run
    from segmetry.io import write_table
    from segmetry.io.json_file import plain, write_json
    from segmetry.partners import pair_files, read_groups
    from segmetry.recipe import Recipe
    from segmetry.report.capacity_page import capacity_lines, write_capacity_page
    from segmetry.study.capacity import check_folders, do_steps, plan_steps, study_capacity
    from segmetry.train.data import hash_examples
    from segmetry.train.recipe import TrainRecipe
    from segmetry.trials import make_trials

    base = replace(TrainRecipe.load(recipe), fold=None) if recipe else TrainRecipe.default("particles")
    chosen = base.changed(own)
    if chosen.network != "particles":
        raise OptionError(f"the study judges with the method particles; a network {chosen.network!r} does not fit it.")
    trials = {t.folder: t for t in make_trials([], pair_files(images, truth, what="image").pairs)}
    names = list(trials)
    group_name, owners = read_groups(groups, names) if groups is not None else ("", names)
    steps, notes = plan_steps(names, owners, wanted, n_folds)
    examples = {example.name: example for example in load_examples(images, truth, groups=groups, track=reading)}
    open_output(out)
    data_hash = hash_examples(list(examples.values()))
    identity = hashlib.sha256(f"{chosen.to_yaml()}{data_hash}".encode()).hexdigest()
    check_folders(steps, out / "work", identity)
    began = time.monotonic()

    def out_of_time() -> bool:
        return budget is not None and time.monotonic() - began > 60 * budget

    def recipe_of(model: Path) -> Recipe:
        # The truth is drawn by people: contours are compared as the network, which learned from such, draws them.
        options = {"model": str(model), "threshold": 0.0, "refine": False}
        return Recipe.build("particles", options=options, scale=scale or "auto")  # type: ignore[arg-type]

    trainer = _Trainer(chosen, examples, out / "work", out_of_time, workers)
    results = do_steps(
        steps,
        trials,
        dict(zip(names, owners, strict=True)),
        out / "work",
        train=trainer,
        recipe_of=recipe_of,
        identity=identity,
        jobs=jobs or default_jobs(),
        out_of_time=out_of_time,
        say=lambda text: print(f"segmetry: {text}", file=sys.stderr),
    )
    study = study_capacity(results, group_name=group_name, notes=notes)
    write_table(out / "capacity.csv", study.table())
    data = study.as_dict() | {"recipe": chosen.as_dict(), "data_sha256": data_hash}
    write_json(out / "study.json", data)
    about = provenance_of(recipe_of(Path("MODEL")), data["recipe"], time.monotonic() - began)
    write_json(out / "run.json", describe_run([], about, jobs or default_jobs()))
    page = write_capacity_page(study, out, provenance=about.as_dict(), commands=[command_line()])
    if as_json:
        print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show_lines(capacity_lines(study), page)
    return _tell_failures(study)


class _Trainer:
    """Trains one step after the other; the synthetic scenes are made once for all."""

    def __init__(
        self,
        recipe: TrainRecipe,
        examples: Mapping[str, Example],
        work: Path,
        out_of_time: Callable[[], bool],
        workers: int | None,
    ) -> None:
        self.recipe, self.examples, self.work, self.out_of_time = recipe, examples, work, out_of_time
        self.workers = workers if workers is not None else max(1, min(8, (os.cpu_count() or 2) - 1))

    def __call__(self, step: Step, folder: Path) -> Path:
        from segmetry.cli.live import Bar
        from segmetry.study.capacity import OutOfTimeError
        from segmetry.train.run import SCENES, synthetic_examples, train
        from segmetry.train.running import Running

        if self.recipe.scenes + self.recipe.hard_scenes:
            r = self.recipe
            synthetic_examples(r.scenes, r.scenes_seed, self.work / SCENES, hard=r.hard_scenes)
            if not (folder / SCENES).exists():
                _link(self.work / SCENES, folder / SCENES)
        with Bar(folder, self.recipe.fit.steps) as show:

            def progress(done: int, total: int, losses: dict[str, float]) -> None:
                show(done, total, losses)
                if done < total and self.out_of_time():
                    raise OutOfTimeError

            drawn = [self.examples[name] for name in step.training]
            return train(self.recipe, drawn, folder, running=Running(self.workers, progress=progress))


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _tell_failures(study: CapacityStudy) -> int:
    """List what failed on stderr, and return the exit code."""
    failed = [one for one in study.results if one.state == "failed"]
    images = [failure for one in study.results if one.sweep for failure in one.sweep.failures]
    for one in failed:
        print(f"segmetry: {one.step.words}: {one.error}", file=sys.stderr)
    for _, error in images:
        print(f"segmetry: {error}", file=sys.stderr)
    return 1 if failed or images else 0
