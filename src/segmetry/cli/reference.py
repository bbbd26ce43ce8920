"""The reference pages, made from the code: ``python -m segmetry.cli.reference FOLDER``.

Commands come from their ``--help``, methods, measures and scores from their tables, functions from their docstrings, so
that the pages cannot say anything else than the program does. A test compares them with what is committed.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

_COMMANDS = (
    "measure",
    "segment",
    "prepare",
    "classify",
    "mesh",
    "evaluate",
    "compare",
    "info",
    "methods",
    "measures",
    "steps",
    "networks",
    "train",
    "study threshold",
    "study capacity",
    "study networks",
    "simulate particles",
    "simulate alloy",
    "simulate somas",
    "simulate branching",
    "simulate muscles",
    "model info",
    "model check",
    "model export",
    "demo",
)

_HEAD = "<!-- Made by `make docs` from the code; edit the code. -->\n\n"


def commands() -> str:
    """Return the page of the command line."""
    parts = ["# Commands\n", f"```text\n{_help('')}```\n"]
    parts += [f"## segmetry {name}\n\n```text\n{_help(name)}```\n" for name in _COMMANDS]
    parts.append(
        "Exit codes: 0 done; 1 some images failed (they are listed on stderr and in `failures.csv`); 2 asked wrongly,\n"
        "or no image could be read; 130 stopped with Ctrl-C. Results go to stdout, progress and errors to stderr.\n"
    )
    return _HEAD + "\n".join(parts)


def methods() -> str:
    """Return the page of the methods of segmentation."""
    from segmetry.cli.options import field_rows
    from segmetry.recipe import DEFAULT_METHOD, Statistics
    from segmetry.segment import METHODS

    parts = ["# Methods\n"]
    for name, method in METHODS.items():
        default = " (the default)" if name == DEFAULT_METHOD else ""
        parts.append(
            f"## {name}{default}\n\n{inspect.getdoc(method)}\n\n{_table(rows) if (rows := field_rows(method)) else ''}"
        )
    parts.append(f"## Options of the statistics, for every method\n\n{_table(field_rows(Statistics))}")
    return _HEAD + "\n".join(parts)


def steps() -> str:
    """Return the page of the steps of preparation."""
    from segmetry.cli.options import field_rows
    from segmetry.prepare.table import STEPS

    parts = ["# Steps of preparation\n"]
    for name, step in STEPS.items():
        axes = f"Images with the axes {' or '.join(step.axes)}.\n\n" if step.axes else ""
        options = _table(rows) if (rows := field_rows(step)) else ""
        parts.append(f"## {name}\n\n{inspect.getdoc(step)}\n\n{axes}{options}")
    return _HEAD + "\n".join(parts)


def measures() -> str:
    """Return the page of the measures."""
    from segmetry.measure import MEASURES

    rows = [f"| `{m.name}` | {m.unit('nm') or '–'} | {m.meaning} |" for m in MEASURES.values()]
    head = "# Measures\n\nUnits are those of an image calibrated in nm.\n\n| column | unit | meaning |\n|---|---|---|\n"
    return _HEAD + head + "\n".join(rows) + "\n"


def scores() -> str:
    """Return the page of the scores."""
    from segmetry.evaluate import FAMILIES

    best = {"high": "higher", "low": "lower", "zero": "nearer to 0"}
    parts = [
        "# Scores\n\nEvery score comes with an interval. How they are defined: [scores](../explanation/scores.md).\n"
    ]
    for name, family in FAMILIES.items():
        rows = [
            f"| `{key}` | {best[score.best]} | {'length' if score.length_power else '–'} | {score.meaning} |"
            for key, score in family.scores.items()
        ]
        head = f"## {name}\n\nOf {' and '.join(family.kinds)} labels; {family.averaging}.\n\n"
        parts.append(f"{head}| score | better | unit | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return _HEAD + "\n".join(parts)


def python() -> str:
    """Return the page of the Python functions and records."""
    import segmetry

    parts = ["# Python\n\nEvery name is had as `segmetry.NAME`.\n"]
    for name in segmetry.__all__:
        if name.startswith("__"):
            continue
        value = getattr(segmetry, name)
        if inspect.ismodule(value):
            value = getattr(value, name)
        try:
            signature = str(inspect.signature(value)).replace("'", "")
        except ValueError:
            signature = ""
        parts.append(f"## {name}\n\n```text\n{name}{signature}\n\n{inspect.getdoc(value)}\n```\n")
    return _HEAD + "\n".join(parts)


PAGES = {
    "commands.md": commands,
    "methods.md": methods,
    "steps.md": steps,
    "measures.md": measures,
    "scores.md": scores,
    "python.md": python,
}


def _help(command: str) -> str:
    from segmetry.cli import main

    text = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}), contextlib.redirect_stdout(text):
        main([*command.split(), "--help"])
    return text.getvalue().strip("\n") + "\n"


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {default or '–'} | {meaning.replace(chr(124), chr(92) + chr(124))} |"
        for name, default, meaning in rows
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> Iterator[Path]:
    """Write every page, and yield where."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")
        yield folder / name


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
