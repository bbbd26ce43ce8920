"""Progress on stderr: a bar with time left in a terminal, a line now and then elsewhere, nothing for one image."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

from segmetry.batch import Outcome

_LINE_EVERY = 30.0
"""Seconds between lines where stderr is no terminal, so that a log stays short."""


def follow(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Yield the outcomes and show how far they are; failures are said at once."""
    if total <= 1:
        yield from outcomes
    elif sys.stderr.isatty():
        yield from _bar(outcomes, total)
    else:
        yield from _lines(outcomes, total)


def _bar(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=total)
        for outcome in outcomes:
            if not outcome.ok:
                progress.console.print(f"[red]failed[/red] {escape(outcome.error)}", highlight=False, soft_wrap=True)
            progress.update(bar, advance=1, description=escape(outcome.task.path.name))
            yield outcome


def _lines(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    start = said = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        now = time.monotonic()
        if now - said > _LINE_EVERY and done < total:
            left = (now - start) / done * (total - done)
            print(f"segmetry: {done} of {total} images, about {left / 60:.0f} min left", file=sys.stderr)
            said = now
        yield outcome
