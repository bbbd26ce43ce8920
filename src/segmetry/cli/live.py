"""A training as it goes, on stderr: a bar with time left and curves in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.cli.progress import LINE_EVERY
from segmetry.report.text import format_significant
from segmetry.train.log import LOG, Log, read_log
from segmetry.train.rate import RATE, RateSearch
from segmetry.train.running import Progress

if TYPE_CHECKING:
    from rich.console import Console

ROWS = 5
"""Lines of a curve."""

WIDEST = 56
"""Characters of a curve, its axis included."""

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bit of each dot of a braille character, counted from U+2800."""


def braille(x: Sequence[float], y: Sequence[float], width: int, height: int) -> list[str]:
    """Return a line through points as `height` lines of `width` characters of 2 x 4 dots.

    Parameters
    ----------
    x, y : (n,) sequences of float
        Rising places, and values; what is not finite is left out. Values that share a column are averaged.

    Examples
    --------
    >>> braille([0, 1, 2, 3], [0, 1, 2, 3], 2, 1)
    ['⡠⠊']
    """
    seen = np.isfinite(x) & np.isfinite(y)
    place, value = np.asarray(x, float)[seen], np.asarray(y, float)[seen]
    if not value.size:
        return [" " * width] * height
    columns, rows = 2 * width, 4 * height
    span = float(np.ptp(place)) or 1.0
    column = np.rint((place - place.min()) / span * (columns - 1)).astype(int)
    there, which, n = np.unique(column, return_inverse=True, return_counts=True)
    mean = np.bincount(which, value) / n
    level = np.interp(np.arange(columns), there, mean)
    depth = (mean.max() - level) / (float(np.ptp(mean)) or 1.0)
    row = np.rint(depth * (rows - 1)).astype(int)
    before = np.concatenate([row[:1], row[:-1]])
    near = np.where(row > before, before + 1, np.where(row < before, before - 1, row))  # down to the dot before
    at = np.arange(rows)[:, None]
    dots = (at >= np.minimum(row, near)) & (at <= np.maximum(row, near))
    dots &= np.arange(columns) <= there[-1]
    cells = (dots.reshape(height, 4, width, 2) * _DOTS[None, :, None, :]).sum(axis=(1, 3))
    return ["".join(chr(0x2800 + int(cell)) if cell else " " for cell in line) for line in cells]


def chart(title: str, x: Sequence[float], y: Sequence[float], width: int) -> list[str]:
    """Return a curve of `ROWS` lines below its title, with the highest and the lowest value at the left."""
    finite = [value for value in y if math.isfinite(value)]
    if not finite:
        return [title.ljust(width)] + [" " * width] * ROWS
    ends = format_significant(max(finite)), format_significant(min(finite))
    margin = max(map(len, ends))
    names = [ends[0], *[""] * (ROWS - 2), ends[1]]
    lines = braille(x, y, width - margin - 1, ROWS)
    return [title[:width].ljust(width), *(f"{name:>{margin}} {line}" for name, line in zip(names, lines, strict=True))]


def course(log: Log, width: int) -> list[str]:
    """Return the curves of a log side by side: the loss, and what the checks say, where they say something."""
    if len(log.training) < 2:
        return []
    last = log.training[-1]["loss"]
    curves = [(f"loss {format_significant(last)}", log.training, [entry["loss"] for entry in log.training])]
    for name, words in (("score", "score"), ("loss", "held-out loss")):
        told = [entry["check"].get(name, math.nan) for entry in log.checks]
        if np.isfinite(told).sum() > 1:
            words = "mean IoU" if "mean_iou" in log.checks[-1]["check"] and name == "score" else words
            best = max(told) if name == "score" else min(told)
            curves.append(
                (f"{words} {format_significant(told[-1])}, best {format_significant(best)}", log.checks, told)
            )
            break
    each = min(WIDEST, (width - 3) // len(curves))
    columns = [chart(title, [entry["step"] for entry in of], values, each) for title, of, values in curves]
    return ["   ".join(parts).rstrip() for parts in zip(*columns, strict=True)]


class Bar:
    """What a run tells while it goes.

    Parameters
    ----------
    folder : Path
        Of the run, whose log holds what came before, too.
    total : int
        Steps, as far as they are known.
    curves : bool
        Draw them, in a terminal that has the room and the characters.
    """

    def __init__(self, folder: Path, total: int, *, curves: bool = True) -> None:
        self.folder, self.total, self.curves = folder, total, curves
        self.said, self.searching = time.monotonic(), False
        self.trials: list[tuple[float, float]] = []
        self.progress: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console

            self.begin(Console(stderr=True))
        return self.show

    def begin(self, console: Console) -> None:
        """Begin with the bar, where the run goes on."""
        from rich import progress
        from rich.text import Text

        room = console.height > 3 * ROWS and console.width >= WIDEST and console.encoding.startswith("utf")
        self.curves &= room

        class Course(progress.Progress):
            lines: Sequence[str] = ()

            def get_renderables(self) -> Any:
                yield self.make_tasks_table(self.tasks)
                if self.lines:
                    yield Text("\n".join(self.lines), no_wrap=True)

        counted = progress.BarColumn(), progress.MofNCompleteColumn()
        told = progress.TextColumn("{task.description}"), progress.TimeRemainingColumn()
        self.progress = Course(*counted, *told, console=console)
        self.progress.start()
        done = log.training[-1]["step"] if (log := self._log()).training else 0
        self.task = self.progress.add_task("", total=self.total, completed=done)

    def show(self, step: int, total: int, entry: dict[str, Any]) -> None:
        """Tell how far it is."""
        if "trial" in entry:
            self._search(step, total, entry)
            return
        if self.searching:
            self._found(total)
        text = f"loss {entry['loss']:.3f}, {entry['samples_per_s']:.0f} samples/s"
        if self.progress:
            self._draw(course(self._log(), self.progress.console.width))
            self.progress.update(self.task, completed=step, total=total, description=text)
        elif time.monotonic() - self.said > LINE_EVERY:
            left = (total - step) / max(entry["steps_per_s"], 1e-9)
            print(f"segmetry: step {step} of {total}, {text}, about {left / 60:.0f} min left", file=sys.stderr)
            self.said = time.monotonic()

    def _search(self, step: int, total: int, entry: dict[str, Any]) -> None:
        self.trials.append((entry["rate"], entry["loss"]))
        if self.progress:
            text = f"search for a learning rate: {entry['rate']:.1e}, loss {entry['loss']:.3f}"
            self._draw(self._trial())
            self.progress.update(self.task, completed=step, total=total, description=text)
        self.searching = True

    def _trial(self) -> list[str]:
        rates, losses = zip(*self.trials, strict=True)
        title = f"loss at rates from {rates[0]:.0e} to {rates[-1]:.0e}"
        return chart(title, np.log(rates).tolist(), losses, min(WIDEST, self.progress.console.width))

    def _found(self, total: int) -> None:
        """Say what was found, and leave the curve standing above the bar."""
        search = RateSearch.load(self.folder / RATE)
        if self.progress:
            if self.curves:
                self.progress.console.print("\n".join(self._trial()), highlight=False)
            self.progress.reset(self.task, total=total)
        words = f"learning rate {search.found:.2g}: there the loss falls most steeply, of {len(search.rates)} rates"
        print(f"segmetry: {words} ({self.folder / RATE})", file=sys.stderr)
        self.searching = False

    def _draw(self, lines: Sequence[str]) -> None:
        if self.curves:
            self.progress.lines = lines

    def _log(self) -> Log:
        return read_log(self.folder) if (self.folder / LOG).exists() else Log([], [], [])

    def __exit__(self, *_: object) -> None:
        if self.progress:
            self.progress.stop()
