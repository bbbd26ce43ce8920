"""Every kind of scene whose pixels have classes, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import unknown_name
from segmetry.synth.alloy import random_alloy, simulate_alloy
from segmetry.synth.branching import random_branching, simulate_branching
from segmetry.synth.labelled import LabelledScene
from segmetry.synth.muscles import random_muscles, simulate_muscles
from segmetry.synth.record import Record
from segmetry.synth.somas import random_somas, simulate_somas


@dataclass(frozen=True)
class LabelledKind:
    """A kind of scene: how one is made from options, and how options are drawn for varied ones."""

    name: str
    meaning: str
    simulate: Callable[..., LabelledScene]
    random: Callable[..., Record]


LABELLED: dict[str, LabelledKind] = {
    k.name: k
    for k in (
        LabelledKind(
            "alloy", "precipitates and inclusions in an X-ray microscope's slice", simulate_alloy, random_alloy
        ),
        LabelledKind("somas", "cell bodies and vessels in a tomograph's slice", simulate_somas, random_somas),
        LabelledKind("branching", "roots or vessels in a radiograph", simulate_branching, random_branching),
        LabelledKind("muscles", "an upper arm in a stack of MRI slices", simulate_muscles, random_muscles),
    )
}
"""Every kind by its name."""


def labelled_scenes(kind: str, n: int, *, seed: int = 0, **options: Any) -> Iterator[LabelledScene]:
    """Return `n` varied random scenes of a kind, one after the other; the i-th is the same whatever `n` is.

    Parameters
    ----------
    kind : str
        One of `LABELLED`.
    n : int
        How many.
    seed : int
        Same seed, same scenes.
    **options
        Fields of the kind's record that are the same in all: ``frame_shape=(512, 512)``, ``only="biceps"``.

    Examples
    --------
    >>> scene = next(labelled_scenes("alloy", 3, seed=2, frame_shape=(128, 128)))
    >>> scene.classes
    ('substrate', 'precipitate', 'inclusion')
    """
    if kind not in LABELLED:
        raise unknown_name("kind of labelled scene", kind, LABELLED)

    def record(i: int) -> Record:
        return LABELLED[kind].random(np.random.default_rng([abs(int(seed)), i]), **options)

    record(0)  # a wrong option is refused now, and not with the first scene
    return (LABELLED[kind].simulate(**record(i).as_dict()) for i in range(n))
