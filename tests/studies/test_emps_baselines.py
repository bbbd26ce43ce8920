"""The study of baselines: thresholds come from other publications, and the table says what was not run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

import emps_baselines as study  # noqa: E402
from segmetry.train.data import Example  # noqa: E402


def image(group, score_of_the_false):
    """Return a truth of one particle, and two finds: it, with a score of .5, and a false one."""
    truth = np.zeros((8, 16), np.uint16)
    truth[2:6, 2:6] = 1
    labels = truth.astype(np.int32)
    labels[2:6, 10:14] = 2
    return Example(group, group, np.zeros(truth.shape, np.uint8), truth), (labels, np.array([0.5, score_of_the_false]))


def test_no_publication_has_a_part_in_its_own_threshold():
    # In nine images what is false has a score of .1; the tenth, alone, would have what is true dropped.
    examples, found = zip(*[image(f"publication {i}", 0.1) for i in range(9)], image("the odd one", 0.9), strict=True)
    before = study.choose(examples, found)
    assert all(0.1 < t <= 0.5 for t in before)
    labels, _ = found[-1]
    after = study.choose(examples, [*found[:-1], (labels, np.array([0.01, 0.9]))])
    assert after[-1] == before[-1]


def comparison():
    """Return the data of a comparison of two methods on four images, each score .1 lower for the second one."""
    names = [*study.COLUMNS, *study.PROTOCOL]
    rows = [
        {"method": m, "image": f"{i}", "group": f"{i // 2}", "family": n.partition(".")[0],
         "score": n.partition(".")[2], "value": v + i / 10}
        for m, v in (("ours", 0.5), ("theirs", 0.4)) for n in names for i in range(4)
    ]  # fmt: skip
    scores = {
        method: {name: {"value": v, "low": v - 0.1, "high": v + 0.1} for name in names}
        for method, v in (("ours", 0.65), ("theirs", 0.55))
    }
    return {"ranking": [{"method": "ours"}, {"method": "theirs"}], "scores": scores}, pd.DataFrame(rows)


def test_differences_are_paired():
    found, scores = comparison()
    table = study.make_table(found, scores, "ours").set_index(["method", "score"])
    assert table.loc["theirs", "minus_ours"].to_numpy() == pytest.approx(-0.1)
    assert table.loc["ours", "minus_ours"].isna().all()
    assert table.loc[("theirs", "instance.pq"), ["value", "low", "high"]].tolist() == pytest.approx([0.55, 0.45, 0.65])


def test_what_was_not_run_is_said():
    found, scores = comparison()
    found["scores"]["ours"]["instance.ap50"]["low"] = None  # too few groups for an interval
    text = study.markdown(study.make_table(found, scores, "ours"), ["mask-rcnn"])
    assert text.count("| mask-rcnn | not run |") == 2
    assert "| printed: BPartIS Bayesian + filter | 0.632 | 0.928 | 0.874 | 0.844 | not given |" in text
    widths = {line.count("|") for line in text.split("\n\n")[0].splitlines()}
    assert widths == {len(study.COLUMNS) + 4}
