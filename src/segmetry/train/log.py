"""The log of a training run, a JSON line an entry: how training went, what the checks said, what both cost."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Self

LOG = "log.jsonl"

Entry = Mapping[str, Any]


class Log(NamedTuple):
    """The entries of a run by what they tell, in the order of the steps, each step once.

    Parameters
    ----------
    starts : list of mapping
        ``device`` at each start, in the order of time.
    training : list of mapping
        ``loss`` and its parts as means since the entry before, learning ``rate``, ``samples_per_s``, ``memory`` (MiB)
        and how far it has ``memory_risen`` since the start.
    checks : list of mapping
        ``check``, the scores, and the ``seconds`` that it took.
    """

    starts: list[Entry]
    training: list[Entry]
    checks: list[Entry]


class LogWriter:
    """Adds entries to the log of a run, and their numbers to events for TensorBoard where that is installed.

    Parameters
    ----------
    folder : Path
        Of the run.
    step : int
        Where the run goes on: what TensorBoard was told of later steps does not count.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.file, self.events = (folder / LOG).open("a", encoding="utf-8"), _events(folder, step)

    def __enter__(self) -> Self:
        return self

    def __call__(self, entry: Entry) -> None:
        """Write an entry at once."""
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        if self.events:
            for name, value in scalars(entry).items():
                self.events.add_scalar(name, value, entry["step"])
            self.events.flush()

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self.events:
            self.events.close()


def scalars(entry: Entry) -> dict[str, float]:
    """Return the numbers of an entry by the names that TensorBoard shows.

    Examples
    --------
    >>> scalars({"step": 10, "loss": 0.5, "rate": 1e-3})
    {'training/loss': 0.5, 'training/rate': 0.001}
    >>> scalars({"step": 10, "check": {"auc": 0.9, "iou[pore]": 0.7}, "seconds": 2.0})
    {'held-out/auc': 0.9, 'held-out/iou/pore': 0.7}
    """
    told, where = (entry["check"], "held-out") if "check" in entry else (entry, "training")
    return {
        f"{where}/{name.replace('[', '/').removesuffix(']')}": value
        for name, value in told.items()
        if isinstance(value, int | float) and name != "step"
    }


def _events(folder: Path, step: int) -> Any:
    """Return what writes events, or None where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


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
