import csv
import os
from pathlib import Path

import batch_work
import pytest

from segmetry.batch import check_output, run, write_failures
from segmetry.errors import WriteError
from segmetry.inputs import Task


def tasks(*names: str) -> list[Task]:
    return [Task(Path(name), name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_batch_goes_on_after_failures(jobs):
    todo = tasks("a", "bad", "b", "bug", "memory", "c")
    outcomes = {o.task.folder: o for o in run(todo, batch_work.by_name, jobs=jobs)}
    assert sorted(outcomes) == ["a", "b", "bad", "bug", "c", "memory"]
    assert [n for n, o in outcomes.items() if o.ok and o.seconds > 0] == [n for n in outcomes if n in "abc"]
    assert outcomes["bad"].error == "bad: damaged in many lines", "one line"
    assert outcomes["bad"].kind == "ReadError"
    assert "batch_work.py" in outcomes["bug"].error, "says where"
    assert "memory" in outcomes["memory"].error


def test_a_worker_that_dies_fails_its_own_image_only():
    todo = tasks(*(f"a-{i}" for i in range(6)), "killed-1", *(f"b-{i}" for i in range(6)), "killed-2", "c")
    outcomes = list(run(todo, batch_work.by_name, jobs=2))
    assert sorted(o.task.folder for o in outcomes) == sorted(t.folder for t in todo), "each image once"
    assert sorted(o.task.folder for o in outcomes if not o.ok) == ["killed-1", "killed-2"]


def test_what_is_done_is_not_done_again():
    outcomes = list(run(tasks("bad", "a"), batch_work.by_name, done=lambda task: task.folder == "bad"))
    assert [(o.task.folder, o.ok, o.resumed) for o in outcomes] == [("bad", True, True), ("a", True, False)]


def test_failures_are_listed(tmp_path):
    outcomes = list(run(tasks("a", "bad"), batch_work.by_name))
    write_failures(tmp_path / "failures.csv", outcomes)
    with (tmp_path / "failures.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["path"], r["kind"], r["error"]) for r in rows] == [("bad", "ReadError", "bad: damaged in many lines")]


def test_an_output_that_cannot_be_written_is_said_at_the_start(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(WriteError, match="file"):
        check_output(file)
    with pytest.raises(WriteError, match="file"):
        check_output(file / "below")
    check_output(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    with pytest.raises(WriteError):
        check_output(Path("/proc/nothing/here"))
    if os.geteuid():  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(WriteError):
            check_output(tmp_path / "closed")
