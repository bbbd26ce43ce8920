"""A recipe over many images: find them, name their folders, run them side by side, lose nothing.

Each image is one independent piece of work that writes its own folder; its ``summary.json`` comes last and marks it
whole. A run that was stopped goes on where it was (`resume`), a failure is a row of ``failures.csv``, and what stands
over all images is made at the end from what was written.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from segmetry.errors import SegmetryError, WriteError
from segmetry.inputs import Task
from segmetry.io.atomic import atomic
from segmetry.io.exports import EXPORTS
from segmetry.io.ome_tiff import MAPS_FILE
from segmetry.io.read import joint_hash
from segmetry.io.samples import SAMPLES_FILE
from segmetry.io.tables import PHASES_FILE
from segmetry.preparing import hash_file, reference_hashes
from segmetry.recipe import Recipe

FILES = ("labels.tif", "regions.csv", "overlay.png", "report.html", "summary.json")
"""What the whole result of an image holds at least; the last one is written last."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image. `error` is empty where it went well; `kind` is the error's class."""

    task: Task
    error: str = ""
    kind: str = ""
    seconds: float = 0.0
    resumed: bool = False

    @property
    def ok(self) -> bool:
        """Whether the image's result is there."""
        return not self.error


def is_done(folder: Path, inputs: Sequence[Path], recipe: Recipe, exports: Iterable[str] = ()) -> bool:
    """Return whether a folder holds the whole result of these files under this recipe, with the exports wanted."""
    files = (*FILES, *(EXPORTS[name].file for name in exports))
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        recipe = recipe.for_ndim(len(summary["shape"]))
        if summary["n_samples"]:
            files = (*files, SAMPLES_FILE)
        if summary["phases"]:
            files = (*files, PHASES_FILE)
        if summary["maps"]:
            files = (*files, MAPS_FILE)
        return (
            summary["recipe_sha256"] == recipe.sha256
            and _same_model(summary["segmentation"], recipe)
            and all((folder / name).is_file() for name in files)
            and summary["input_sha256"]
            == joint_hash([joint_hash([hash_file(path) for path in inputs]), *reference_hashes(recipe.prepare)])
        )
    except (OSError, ValueError, KeyError, TypeError, SegmetryError):
        return False


def _same_model(info: dict[str, Any], recipe: Recipe) -> bool:
    """Return whether a result was made with the models that the recipe's method would run now."""
    from segmetry.io.model_folder import read_card, resolve_model
    from segmetry.segment.forest_file import hash_pixel_model, is_pixel_model

    made = info.get("model") or {}
    if "version" not in made:  # no model, or one of another library
        return True
    names = [name.strip() for name in str(getattr(recipe.method, "model", "")).split(",")]
    hashes = [hash_pixel_model(n) if is_pixel_model(n) else read_card(resolve_model(n)).sha256 for n in names]
    return hashes == [one["sha256"] for one in info.get("ensemble", [made])]


def clear(folder: Path) -> None:
    """Remove an image's result, whole or in part, and nothing that is not ours; the summary goes first."""
    others = (
        "regions.csv-metadata.json",
        PHASES_FILE,
        f"{PHASES_FILE}-metadata.json",
        SAMPLES_FILE,
        MAPS_FILE,
        *(export.file for export in EXPORTS.values()),
    )
    ours = [folder / name for name in (*reversed(FILES), *others)]
    for path in (*ours, *sorted((folder / "figures").glob("*.svg"))):
        with suppress(OSError):
            path.unlink()
    for empty in (folder / "figures", folder):
        with suppress(OSError):
            empty.rmdir()


def check_output(out: Path) -> None:
    """Make the output folder, and find out now whether it can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with atomic(out / ".writable") as temporary:
            temporary.write_bytes(b"")
        (out / ".writable").unlink()
    except NotADirectoryError as error:
        raise WriteError(f"{out}: a part of this path is a file; name another output folder.") from error
    except FileExistsError as error:
        raise WriteError(f"{out}: this is a file; name a folder for the output.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{out}: this folder cannot be written ({reason}); name another with -o.") from error


Work = Callable[[Task], None]
"""What is done to one image: a picklable call that writes its files or raises."""


def run(
    tasks: Sequence[Task], work: Work, *, jobs: int = 1, done: Callable[[Task], bool] | None = None
) -> Generator[Outcome]:
    """Do the work for every task, and yield what became of each as it ends.

    Parameters
    ----------
    tasks : sequence of Task
    work : callable
        Called with a task, in a process of its own where `jobs` is above 1 (then it must be picklable).
    jobs : int
        How many images are worked on at once. Each holds one image in memory.
    done : callable, optional
        Tells whether a task's result is there already; such a task is not done again.

    Notes
    -----
    A worker that dies (out of memory, a crash in a library) fails its own image only: the images that were in work
    then are done again one by one, and the one that kills its worker again is the failure.
    """
    waiting = []
    for task in tasks:
        if done is not None and done(task):
            yield Outcome(task, resumed=True)
        else:
            waiting.append(task)
    if jobs <= 1 or len(waiting) <= 1:
        for task in waiting:
            yield _attempt(work, task)
        return
    suspects: list[Task] = []
    while waiting or suspects:
        # Suspects are done one at a time, so that a dead worker has one possible cause.
        queue, ahead = (suspects, 1) if suspects else (waiting, jobs + 2)
        pool = ProcessPoolExecutor(min(ahead, jobs), mp_context=_context(), initializer=_settle)
        running: dict[Future[Outcome], Task] = {}
        others, clean = multiprocessing.active_children(), False
        try:
            while queue or running:
                # A short queue ahead keeps every worker busy without holding ten thousand futures.
                while queue and len(running) < ahead:
                    with _undisturbed():
                        running[pool.submit(_attempt, work, queue[0])] = queue[0]
                        del queue[0]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    del running[future]
                    yield outcome
            clean = True
        except BrokenProcessPool:
            if queue is suspects:
                for task in running.values():
                    text = (
                        f"{task.path}: the process that worked on it died (out of memory?); try it alone, or crop it."
                    )
                    yield Outcome(task, text, "Crash")
            else:
                suspects = list(running.values())
        finally:
            if not clean:
                # Stopped from outside: end what is in work, and let it remove what it half wrote; first of all, since
                # a worker that still starts needs what the pool takes away. A pool that is stopped while it starts a
                # worker does not know it: ask for all children.
                _end([child for child in multiprocessing.active_children() if child not in others])
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _undisturbed() -> Generator[None]:
    """Put Ctrl-C off until the block has ended: a process that is half started can be neither used nor ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _context() -> multiprocessing.context.BaseContext:
    # fork copies the locks of libraries that run threads, and can hang; a fork server is clean and still quick.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["segmetry.pipeline", "segmetry.report"])  # loaded once, for all workers
        if threading.current_thread() is threading.main_thread():
            from multiprocessing import forkserver  # not on Windows

            # A terminal sends Ctrl-C to the fork server too; it inherits that it has to ignore it.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                forkserver.ensure_running()
            finally:
                signal.signal(signal.SIGINT, before)
    return context


def _end(workers: Iterable[BaseProcess]) -> None:
    """End worker processes: ask, wait a little, then insist."""
    for process in workers:
        process.terminate()
    for process in workers:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()


_PATIENCE = 10.0
"""Seconds that a worker gets to clean up."""


def _settle() -> None:
    """Prepare a worker: Ctrl-C is the parent's to handle, and the cores are shared by images, not by parts of one."""
    import cv2
    import numba

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that temporary files are removed
    cv2.setNumThreads(1)
    numba.set_num_threads(1)


def _attempt(work: Work, task: Task) -> Outcome:
    start = time.perf_counter()
    error, kind = "", ""
    try:
        work(task)
    except SystemExit:
        # Told to end (see _settle). The pool would catch this and begin the next image; a bare _exit leaks semaphores.
        multiprocessing.util._exit_function()  # type: ignore[attr-defined]
        os._exit(1)
    except Exception as caught:
        error, kind = describe_error(caught, task.path)
    return Outcome(task, error, kind, time.perf_counter() - start)


def describe_error(caught: Exception, path: Path) -> tuple[str, str]:
    """Return, in one line that names the file, what went wrong with it, and the kind of failure."""
    text = " ".join(str(caught).split())
    if isinstance(caught, SegmetryError):
        return text if path.name in text else f"{path}: {text}", type(caught).__name__
    if isinstance(caught, MemoryError):
        return f"{path}: not enough memory for this image; crop it, or use fewer --jobs.", "MemoryError"
    # Our own mistake must not end a night's batch; the class and the place let it be found.
    place = caught.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
    return f"{path}: unexpected {type(caught).__name__}{where}: {text[:300]}. Please report this.", "Bug"


def write_failures(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write the list of images that failed; with none it holds its head only."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "folder", "kind", "error"))
        writer.writerows((str(o.task.path), o.task.folder, o.kind, o.error) for o in outcomes if not o.ok)


def default_jobs() -> int:
    """Return the number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary that an image's folder holds."""
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))
