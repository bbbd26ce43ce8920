"""What the pages of all training runs have: how the loss fell, what the run cost, what made it."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.card import Card
from segmetry.report.score_figures import MAX_LINES, Curve, curves
from segmetry.report.text import format_count, format_significant, plural
from segmetry.train.log import Entry, Log, seconds_taken
from segmetry.train.run_folder import RECIPE

NO_PART = ("step", "loss", "rate", "steps_per_s", "samples_per_s", "memory", "memory_risen")
"""Entries of the log that are no part of the loss."""


def read_json(path: Path) -> Any:
    """Return the data in a file of a run's folder."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: cannot be read ({error!s:.100}); run the same training again.") from error


def last_step(log: Log) -> int:
    """Return the number of steps that a run took."""
    return int(log.training[-1]["step"]) if log.training else 0


def course_figures(log: Log) -> dict[str, Any]:
    """Return the loss with its parts, in training and of what was held out, and the learning rate."""
    training, checks = log.training, log.checks
    parts = [name for name in (training[-1] if training else ()) if name not in NO_PART]
    losses = {"training": curve(training, "loss")}
    if checks:
        losses["held out"] = curve([entry["check"] | {"step": entry["step"]} for entry in checks], "loss")
    if len(parts) > 1:
        losses |= {f"training, {name}": curve(training, name) for name in parts[: MAX_LINES - len(losses)]}
    return {
        "loss": curves(losses, name="loss", against="step", logarithmic=False),
        "rate": curves({"rate": curve(training, "rate")}, name="learning rate", against="step", logarithmic=False),
    }


def curve(entries: Sequence[Entry], name: str) -> Curve:
    """Return one number of the log's entries against the step."""
    value = [entry.get(name, math.nan) for entry in entries]
    nothing = np.full(len(value), math.nan)
    return Curve([entry["step"] for entry in entries], value, nothing, nothing)


def cost_rows(log: Log, batch: int, card: Card) -> list[tuple[str, str]]:
    """Return what a run cost: time, pace, memory, and on which machine."""
    training, checks = log.training, log.checks
    if not training:
        return [("Steps", "none in the log")]
    spent = seconds_taken(training, batch)
    looking = [float(entry.get("seconds", 0)) for entry in checks]
    last, steps, looks = last_step(log), sum(spent), sum(looking)
    rows = [
        ("Time", f"{duration(steps + looks)}: {duration(steps)} of steps, {duration(looks)} of checks"),
        ("Pace", f"{format_significant(last * batch / steps)} samples/s, {duration(steps / last)} a step"),
        ("Samples", f"{format_count(last * batch)} in {plural(last, 'step')} of {batch}"),
    ]
    if checks:
        rows.append(("Between checks", _between(training, spent, [int(entry["step"]) for entry in checks], looking)))
    memory = [entry["memory"] for entry in training if entry.get("memory") is not None]
    if memory:
        rows.append(("Peak memory", f"{format_count(max(memory))} MiB"))
    devices = dict.fromkeys(entry["device"] for entry in log.starts)
    rows.append(("Device", "; ".join(devices)))
    rows.append(("Machine", str(card.training.get("machine", ""))))
    if (n_starts := len(log.starts)) > 1:
        rows.append(("Starts", f"{n_starts}: it was stopped and went on"))
    return [(name, text) for name, text in rows if text]


def _between(training: Sequence[Entry], spent: Sequence[float], steps: Sequence[int], looking: Sequence[float]) -> str:
    """Return what the steps from check to check took, and a check."""
    at = np.array([0.0, *np.cumsum(spent)])[np.searchsorted([entry["step"] for entry in training], steps, "right")]
    pieces = np.diff(at, prepend=0.0)
    apart = np.diff(steps, prepend=0)
    n = f"{plural(int(np.median(apart)), 'step')}" + ("" if len(set(apart.tolist())) == 1 else " (median)")
    return f"{n} in {duration(float(np.median(pieces)))}, then {duration(statistics.median(looking))} for the check"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (math.inf, "h", 3600)):
        if seconds < limit:
            return f"{format_significant(seconds / size, 3 if seconds >= 1 else 2)} {unit}"
    return ""


def provenance_rows(card: Card, folder: Path, seed: int, data_sha256: str) -> list[tuple[str, str]]:
    """Return what made a model: software, machine, seed and hashes; `data_sha256` is that of all images, if known."""
    rows = [
        ("Software", f"segmetry {card.software}"),
        ("Machine", str(card.training.get("machine", ""))),
        ("Seed", str(seed)),
        ("SHA-256 of all images", data_sha256),
        ("SHA-256 of those learned from", str(card.training.get("data_sha256", ""))),
        ("SHA-256 of the recipe", hashlib.sha256((folder / RECIPE).read_bytes()).hexdigest()),
        ("SHA-256 of the network", card.sha256),
    ]
    return [(name, text) for name, text in rows if text]
