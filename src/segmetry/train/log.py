"""The log of a training run, a JSON line an entry: how training went, what the checks said, what both cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LOG = "log.jsonl"

Entry = Mapping[str, Any]


class Log(NamedTuple):
    """The entries of a run by what they tell, in the order of the steps, each step once.

    Parameters
    ----------
    starts : list of mapping
        ``device`` at each start, in the order of time.
    training : list of mapping
        ``loss`` and its parts as means since the entry before, learning ``rate``, ``samples_per_s``, ``memory`` (MiB) and
        how far it has ``memory_risen`` since the start.
    checks : list of mapping
        ``check``, the scores, and the ``seconds`` that it took.
    """

    starts: list[Entry]
    training: list[Entry]
    checks: list[Entry]


def read_log(folder: Path) -> Log:
    """Return the log in the folder of a run; of steps that were repeated after a kill, the last entry counts."""
    starts: list[Entry] = []
    training: dict[int, Entry] = {}
    checks: dict[int, Entry] = {}
    for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the process was killed as it wrote
        if "device" in entry:
            starts.append(entry)
        elif "samples_per_s" in entry:
            training[entry["step"]] = entry
        elif entry.get("check"):
            checks[entry["step"]] = entry
    return Log(starts, *([found[step] for step in sorted(found)] for found in (training, checks)))


def seconds_taken(training: Sequence[Entry], batch: int) -> list[float]:
    """Return the seconds of the steps up to each entry, from the one before."""
    starts = [0, *(entry["step"] for entry in training)]
    # Below 0.005 a pace is rounded to 0.
    return [(e["step"] - start) * batch / max(e["samples_per_s"], 0.005) for start, e in zip(starts, training)]


def time_taken(folder: Path, batch: int) -> float:
    """Return the seconds that the steps of a run took by its log, each step once, however often it was stopped."""
    return sum(seconds_taken(read_log(folder).training, batch))
