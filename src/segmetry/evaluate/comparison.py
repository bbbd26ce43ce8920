"""Several methods beside each other: the record that tables, pictures and the page are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from segmetry.evaluate.dependence import Trend
    from segmetry.evaluate.paired import Difference


@dataclass(frozen=True, eq=False)
class Rank:
    """A method's place.

    Parameters
    ----------
    method : str
    place : int
        1 is best.
    tier : int
        A method is in the tier of a better one where the interval of their paired difference holds 0: these images do
        not tell it from the best of its tier.
    estimate : Estimate
        The ranking score, mean over images.
    to_best : Difference or None
        This method minus the best, on the same images; None for the best itself.
    """

    method: str
    place: int
    tier: int
    estimate: Estimate
    to_best: Difference | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What methods gave on the same images.

    Parameters
    ----------
    methods : tuple of str
        In the order of their rank.
    kind : {"instance", "semantic"}
    ranked_by : str
        ``family.score``, such as ``instance.ap50``.
    table : DataFrame
        Tidy: ``method, image, group, family, score, value, unit``, one row a value; per image only. Family ``cost``
        holds ``seconds``, ``peak_memory`` (MiB) and ``megapixels``.
    objects : DataFrame
        One row per true object and per invented object: ``method, image, group, truth, prediction, iou, outcome,
        boundary_distance``, and what `object_properties` says of the true object.
    estimates : mapping of method to mapping of ``family.score`` to Estimate
        Means over images (`Estimate.method` names the averaging), and ``instance_pooled.*``.
    ranking : tuple of Rank
    trends : mapping of method to tuple of Trend
    groups : str
        What the bootstrap drew: ``"image"``, or the name of the groups (``"publication"``).
    n_images, n_groups : int
    failures : tuple of (method, image, error)
        They count as empty predictions, and the page says so.
    notes : tuple of str
    settings : mapping of method to mapping
        The options of each method, as data.
    """

    methods: tuple[str, ...]
    kind: str
    ranked_by: str
    table: pd.DataFrame
    objects: pd.DataFrame
    estimates: Mapping[str, Mapping[str, Estimate]]
    ranking: tuple[Rank, ...]
    trends: Mapping[str, tuple[Trend, ...]]
    groups: str
    n_images: int
    n_groups: int
    failures: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def grids(self) -> list[pd.DataFrame]:
        """Return the ranking score over two settings, for each method that was run with several values of just two.

        Rows are the values of the first setting, columns those of the second, in rising order; nan where a pair of
        values was not run.
        """
        import pandas as pd

        value = {r.method: r.estimate.value for r in self.ranking}
        families: dict[Any, list[str]] = {}
        for name, options in self.settings.items():
            families.setdefault(options.get("method"), []).append(name)
        found = []
        for names in families.values():
            rows = pd.DataFrame([self.settings[name] for name in names], index=names).astype(object)
            varied = [key for key in rows if rows[key].astype(str).nunique() > 1]
            if len(names) >= 4 and len(varied) == 2 and not rows[varied].astype(str).duplicated().any():
                rows["value"] = pd.Series(value)
                found.append(rows.pivot(index=varied[0], columns=varied[1], values="value").astype(float))
        return found
