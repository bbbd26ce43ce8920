"""The table of steps: a new one costs a record, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmetry.errors import OptionError, unknown_name
from segmetry.prepare.step import Step
from segmetry.prepare.steps_basic import Crop, Invert, Smooth
from segmetry.prepare.steps_radiography import (
    CleanSpots,
    DenoiseFrames,
    FlatField,
    Linearise,
    Reconstruct,
    RemoveStripes,
    RepairPixels,
)

STEPS: dict[str, type[Step]] = {
    s.name: s
    for s in (
        Crop,
        Smooth,
        Invert,
        RepairPixels,
        CleanSpots,
        DenoiseFrames,
        FlatField,
        Linearise,
        RemoveStripes,
        Reconstruct,
    )
}
"""Every step by its name."""


def step_from(data: str | Mapping[str, Any] | Step) -> Step:
    """Return the record of a step by its name, or from data: ``{"step": "smooth", "sigma": 2}``.

    Raises
    ------
    OptionError
        If the step or an option does not exist (the near name is offered), or a value is out of range.

    Examples
    --------
    >>> step_from({"step": "smooth", "sigma": "2"}).as_dict()
    {'step': 'smooth', 'sigma': 2.0}
    """
    if isinstance(data, Step):
        return data
    entries = {"step": data} if isinstance(data, str) else data
    if not isinstance(entries, Mapping) or not isinstance(entries.get("step"), str):
        raise OptionError(
            f"a step of preparation is a name, or a table with one: {{step: smooth, sigma: 1}}; got {data!r:.60}."
        )
    own = {k: v for k, v in entries.items() if k != "step"}
    if entries["step"] not in STEPS:
        raise unknown_name("step of preparation", entries["step"], STEPS)
    return STEPS[entries["step"]].from_options(own)
