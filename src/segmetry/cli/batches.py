"""The commands that work on many images: do each, then put together what stands over all."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.batch import Outcome, Task, clear, default_jobs, is_done, run, write_failures
from segmetry.cli.options import open_output
from segmetry.cli.progress import follow
from segmetry.errors import OptionError
from segmetry.inputs import find_inputs, name_channels, name_folders
from segmetry.io.atomic import atomic
from segmetry.preparing import reference_hashes
from segmetry.recipe import Recipe

if TYPE_CHECKING:
    from segmetry.gather import BatchResult

SAID = ("WARNING", "no particle was found", "nothing was found")
"""Notes of an image with one of these words are shown in the terminal too."""


@dataclass(frozen=True)
class MeasureWork:
    """Measure one image into its folder."""

    recipe: Recipe
    out: Path
    exports: tuple[str, ...] = ()

    def __call__(self, task: Task) -> None:
        from segmetry.io.exports import EXPORTS
        from segmetry.pipeline import analyse, write_numbers
        from segmetry.report import write_result

        folder = self.out / task.folder
        # Old files must not stand beside new ones, nor for an input that can no longer be read.
        clear(folder)
        result = analyse(task.files, self.recipe, say=partial(_tell, task))
        try:
            write_result(result, folder)
            for export in (EXPORTS[name] for name in self.exports):
                export.write(folder / export.file, result.objects, result.table, task.path.name)
            write_numbers(result, folder)
        except BaseException:  # a full disk, Ctrl-C
            clear(folder)
            raise


@dataclass(frozen=True)
class SegmentWork:
    """Write the label image of one image."""

    recipe: Recipe
    out: Path

    def __call__(self, task: Task) -> None:
        from segmetry.io import calibrate, write_labels
        from segmetry.pipeline import open_image
        from segmetry.preparing import prepare_image
        from segmetry.segment import segment

        recipe = self.recipe
        image = open_image(task.files, recipe.method, page=recipe.page, axes=recipe.axes)
        image, _ = calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size)
        image = prepare_image(image, recipe.prepare)
        if told := recipe.method.forecast(image.spatial_shape):
            _tell(task, told)
        labels = segment(image, recipe.method).labels
        write_labels(self.out / f"{task.folder}.tif", labels, image.calibration)


@dataclass(frozen=True)
class PrepareWork:
    """Write one image as the steps of a recipe leave it."""

    recipe: Recipe
    out: Path

    def __call__(self, task: Task) -> None:
        from segmetry.io import calibrate, read, write_image
        from segmetry.preparing import prepare_image

        recipe = self.recipe
        image = read(task.path, page=recipe.page, axes=recipe.axes)
        image, _ = calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size)
        write_image(self.out / f"{task.folder}.tif", prepare_image(image, recipe.prepare))


def _tell(task: Task, text: str) -> None:
    """Say what an image will take, before it is worked on."""
    print(f"segmetry: {task.path.name}: {text}", file=sys.stderr)


def measure_images(
    inputs: list[str],
    out: Path,
    recipe: Recipe,
    *,
    jobs: int | None,
    resume: bool,
    as_json: bool,
    exports: tuple[str, ...] = (),
) -> int:
    """Measure images into `out`; return the exit code."""
    recipe.method.check()
    tasks = name_channels(find_inputs(inputs), recipe.method.n_channels)
    open_output(out)
    batch, outcomes, stopped = measure_tasks(tasks, out, recipe, jobs=jobs, resume=resume, exports=exports)
    if as_json:
        print(json.dumps(batch.summary(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(batch):
            print(line)
        if batch.rows:
            print(f"report: {out / 'report.html' if len(tasks) > 1 else out / tasks[0].folder / 'report.html'}")
    return conclude(tasks, outcomes, stopped, "--resume goes on from here")


def measure_tasks(
    tasks: list[Task],
    out: Path,
    recipe: Recipe,
    *,
    jobs: int | None = None,
    resume: bool = False,
    exports: tuple[str, ...] = (),
) -> tuple[BatchResult, list[Outcome], bool]:
    """Write the results of each image and of all; return those of all, what became of each, whether it was stopped."""
    from segmetry.gather import gather
    from segmetry.report import write_batch

    def done(task: Task) -> bool:
        return is_done(out / task.folder, task.files, recipe, exports)

    work = MeasureWork(recipe, out, exports)
    outcomes, stopped = collect(tasks, work, jobs=jobs, done=done if resume else None)
    if stopped:  # an image may have become whole in the moment in which it was stopped
        told = {o.task: o for o in outcomes}
        whole = [t for t in tasks if t in told or done(t)]
        outcomes = [told.get(t) or Outcome(t, resumed=True) for t in whole]
    batch = gather(out, outcomes, recipe, jobs=jobs or default_jobs())
    write_failures(out / "failures.csv", outcomes)
    write_batch(batch, out)
    return batch, outcomes, stopped


def _lines(batch: BatchResult) -> Iterator[str]:
    """Yield a line for each image, with its warnings, and one for all."""
    from segmetry.report.text import count_here, format_estimate, fractions_line, plural

    def size(d50: dict[str, Any] | None) -> str:
        if not d50 or d50["value"] is None:
            return "no D50"
        low, high = (math.nan if d50[end] is None else d50[end] for end in ("low", "high"))
        return f"D50 {format_estimate(d50['value'], low, high, d50['unit'])}"

    def number(n: int, count: dict[str, Any] | None, whole: int) -> str:
        here = count_here(count) if count and count["value"] == n else ""  # not where images were left out
        asides = [f"in truth likely {here}"] * (here not in ("", f"{n} to {n}")) + [f"{whole} of them whole"] * (
            whole < n
        )
        return plural(n, "particle") + (f" ({', '.join(asides)})" if asides else "")

    for row in batch.rows:
        pixel = row["pixel_size"]
        lengths = [f"{s:.4g}" for s in pixel["spacing"] or ()]
        lengths = lengths[:1] if len(set(lengths)) == 1 else lengths
        scale = f"{' × '.join(lengths)} {pixel['unit']}/px ({pixel['source']})" if lengths else "not calibrated"
        if row["phases"]:
            found = fractions_line(row["phases"])
        else:
            d50 = row["d50"]
            found = f"{number(row['n'], row['estimates'].get('count'), d50['n'])}, {size(d50)}"
        yield f"{row['folder']}: {found}, {scale}"
        yield from (f"    {note}" for note in row["notes"] if any(words in note for words in SAID))
    if batch.phases:
        n = next(iter(batch.phases[0].estimates.values())).n
        yield f"all {n} images: {fractions_line([phase.as_dict() for phase in batch.phases])}"
    if any(not row["phases"] for row in batch.rows[1:]):
        d50, count = (batch.estimates[k].as_dict() if k in batch.estimates else None for k in ("d50", "count"))
        n = sum(row["n"] for row in batch.rows)
        yield f"all {len(batch.rows)} images: {number(n, count, n)}, {size(d50)}"
    if len(batch.rows) > 1:
        yield from (f"    {note}" for note in batch.notes)
    used = Counter((row["method"]["name"], row["method"]["why"]) for row in batch.rows)
    for (name, why), n in used.items():
        yield f"method: {name}, {why}{f' ({n} of {len(batch.rows)})' if len(used) > 1 else ''}"


def segment_images(inputs: list[str], out: Path, recipe: Recipe, *, jobs: int | None, as_json: bool) -> int:
    """Write label images into `out`; return the exit code."""
    recipe.method.check()
    tasks = name_channels(find_inputs(inputs), recipe.method.n_channels)
    return _write_each(tasks, out, SegmentWork(recipe, out), "labels", jobs=jobs, as_json=as_json)


def prepare_images(inputs: list[str], out: Path, recipe: Recipe, *, jobs: int | None, as_json: bool) -> int:
    """Write images as the steps of a recipe leave them into `out`; return the exit code."""
    if not recipe.prepare:
        raise OptionError("prepare: the recipe names no steps; write prepare: [{step: smooth, sigma: 1}] into it.")
    tasks = name_folders(find_inputs(inputs))
    reference_hashes(recipe.prepare)  # what is missing is missing for every image
    code = _write_each(tasks, out, PrepareWork(recipe, out), "images", jobs=jobs, as_json=as_json)
    with atomic(out / "recipe.yaml") as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    return code


def _write_each(
    tasks: Sequence[Task], out: Path, work: Callable[[Task], None], what: str, *, jobs: int | None, as_json: bool
) -> int:
    """Write OUT/NAME.tif for each task, and return the exit code; `what` is what these files are."""
    own = {file.resolve() for task in tasks for file in task.files}
    for task in tasks:
        if (target := out / f"{task.folder}.tif").resolve() in own:
            raise OptionError(f"{target}: the {what} would overwrite this image; name another output folder with -o.")
    open_output(out)
    outcomes, stopped = collect(tasks, work, jobs=jobs)
    written = [str(out / f"{o.task.folder}.tif") for o in outcomes if o.ok]
    if as_json:
        failures = [{"path": str(o.task.path), "error": o.error} for o in outcomes if not o.ok]
        print(json.dumps({what: written, "failures": failures}, indent=2, ensure_ascii=False))
    else:
        for path in written:
            print(path)
    return conclude(tasks, outcomes, stopped, "the images that are listed above are done")


def collect(
    tasks: Sequence[Task],
    work: Callable[[Task], None],
    *,
    jobs: int | None,
    done: Callable[[Task], bool] | None = None,
) -> tuple[list[Outcome], bool]:
    """Return what became of the tasks, in their order, and whether Ctrl-C ended the run."""
    outcomes: list[Outcome] = []
    stopped = False
    steps = run(tasks, work, jobs=min(jobs or default_jobs(), len(tasks)), done=done)
    try:
        for outcome in follow(steps, len(tasks)):
            outcomes.append(outcome)
    except KeyboardInterrupt:
        stopped = True
    finally:
        steps.close()
    place = {task: i for i, task in enumerate(tasks)}
    return sorted(outcomes, key=lambda o: place[o.task]), stopped


def conclude(tasks: Sequence[Task], outcomes: list[Outcome], stopped: bool, hint: str) -> int:
    """List the failures on stderr, and return the exit code."""
    failures = [o for o in outcomes if not o.ok]
    for outcome in failures:
        print(f"segmetry: {outcome.error}", file=sys.stderr)
    if len(tasks) > 1 and failures:
        print(f"segmetry: {len(failures)} of {len(tasks)} images failed.", file=sys.stderr)
    if stopped:
        print(f"segmetry: stopped after {len(outcomes)} of {len(tasks)} images; {hint}.", file=sys.stderr)
        return 130
    if not failures:
        return 0
    ours = ("Crash", "Bug", "MemoryError", "WriteError")
    asked_wrongly = len(failures) == len(tasks) and all(o.kind not in ours for o in failures)
    return 2 if asked_wrongly else 1
