"""Progress on stderr: a bar with time left in a terminal, a line now and then elsewhere, nothing for one image."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from segmetry.batch import Outcome

T = TypeVar("T")

LINE_EVERY = 30.0
"""Seconds between lines where stderr is no terminal, so that a log stays short."""


def follow(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Yield the outcomes and show how far they are; failures are said at once."""
    yield from track(outcomes, total, lambda outcome: outcome.task.path.name, lambda outcome: outcome.error)


def track(
    items: Iterable[T], total: int, name: Callable[[T], str], failure: Callable[[T], str] = lambda item: ""
) -> Iterator[T]:
    """Yield items and show how far they are, the last one by its name."""
    if total <= 1:
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, total, name, failure)
    else:
        yield from _lines(items, total)


def _bar(items: Iterable[T], total: int, name: Callable[[T], str], failure: Callable[[T], str]) -> Iterator[T]:
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
        for item in items:
            if why := failure(item):
                progress.console.print(f"[red]failed[/red] {escape(why)}", highlight=False, soft_wrap=True)
            progress.update(bar, advance=1, description=escape(name(item)))
            yield item


def _lines(items: Iterable[T], total: int) -> Iterator[T]:
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if now - said > LINE_EVERY and done < total:
            left = (now - start) / done * (total - done)
            print(f"segmetry: {done} of {total} images, about {left / 60:.0f} min left", file=sys.stderr)
            said = now
        yield item
