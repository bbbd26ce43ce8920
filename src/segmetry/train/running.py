"""How a training runs on this machine, which has no part in what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Progress = Callable[[int, int, dict[str, Any]], None]
"""Told the step, the number of steps, and the latest entry of the log."""


@dataclass(frozen=True)
class Running:
    """How a training runs.

    Parameters
    ----------
    workers : int
        Processes that draw samples, beside the one that learns; 0 draws them in that one.
    device : str
        See `segmetry.train.device.make_fabric`.
    progress : callable, optional
        See `Progress`.
    say : callable, optional
        Told in words what was settled before the first step.
    """

    workers: int = 1
    device: str = "auto"
    progress: Progress | None = None
    say: Callable[[str], None] | None = None

    def tell(self, text: str) -> None:
        """Say a text, if somebody listens."""
        if self.say:
            self.say(text)


PLAIN = Running()
"""One process that draws, the best device, no words."""
