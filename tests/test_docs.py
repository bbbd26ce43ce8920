"""The pages say what is so: their links lead somewhere, their commands exist, their Python runs."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from segmetry.cli.app import app
from segmetry.cli.demo import MICROGRAPH
from segmetry.cli.options import parse_settings
from segmetry.cli.simulations import write_scene
from segmetry.recipe import DEFAULT_METHOD, Recipe
from segmetry.synth import simulate

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [ROOT / "docs/how-to/python.md", ROOT / "docs/how-to/export.md", ROOT / "docs/tutorials/first-micrograph.md"]
"""Pages whose Python is run, all blocks of a page one after the other."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


FENCE = re.compile(r"^(?P<mark>```+)(?P<kind>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<to>[^)\s]+)\)")


def blocks(page: Path, *kinds: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of the fenced blocks of some kinds."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found["kind"] in kinds:
            yield text.count("\n", 0, found.start("text")) + 1, found["text"]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a forge makes of a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#{1,6}\s+(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", h).strip().lower()).replace(" ", "-") for h in heads}


def test_anchors_by_hand(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Two words\n## `g(r)`, with *signs*?\n```sh\n# not a heading\n```\n", encoding="utf-8")
    assert anchors(page) == {"two-words", "gr-with-signs"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    wrong = []
    for found in LINK.finditer(text):
        path, _, anchor = found["to"].partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        missing = not target.exists()
        if missing or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(found["to"])
    assert not wrong


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of every segmetry command in a shell text, without what runs before it or catches its output."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for is_end, part in itertools.groupby(words, lambda w: w in ("|", "&&", "||", ";", ">", "2>")):
            part = list(part)
            while part and re.fullmatch(r"\w+=\S*|time|nice|srun", part[0]):
                part.pop(0)
            if not is_end and part and Path(part[0]).name == "segmetry":
                yield part[1:]


def inline_commands(page: Path) -> Iterator[str]:
    """Yield code within lines that is a whole command: `segmetry info a.tif`."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    yield from (f"segmetry {' '.join(found.split())}" for found in re.findall(r"`segmetry\s([^`]+)`", text))


def check(words: list[str]) -> str:
    """Return what is wrong with a command, or nothing; it is not run."""
    command: Any = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return "" if words and words[0] in ("--help", "--version") else "no command"
        name = words.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    known = {name: p for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("-")}
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if not name.startswith("-") or name == "--help":
            continue
        if name not in known:
            return f"no option {name}"
        if not known[name].is_flag and not equals and next(rest, None) is None:
            return f"option {name} has no value"
    return ""


def test_check_finds_what_is_wrong():
    assert check(["measure", "a.tif", "-o", "out", "--jobs", "2"]) == ""
    assert check(["simulate", "particles", "-o", "out"]) == ""
    assert check(["measure", "a.tif", "--outt", "out"]) == "no option --outt"
    assert check(["measure", "a.tif", "--json", "-o"]) == "option -o has no value"
    assert check(["simulate", "particle", "-o", "out"]) == "no command particle"
    assert check(["mesure", "a.tif"]) == "no command mesure"
    assert list(commands_of("FOO=1 segmetry info a.tif --json | jq .n  # why\nls\n")) == [["info", "a.tif", "--json"]]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page):
    texts = [text for _, text in blocks(page, "sh", "bash", "shell")] + list(inline_commands(page))
    wrong = {}
    for words in itertools.chain.from_iterable(map(commands_of, texts)):
        reason = check(words)
        if reason and reason != "no command":
            wrong[" ".join(words)] = reason
    assert not wrong


def settings_of(page: Path) -> Iterator[tuple[str, str]]:
    """Yield method and KEY=VALUE of every --set in a page's commands."""
    for words in itertools.chain.from_iterable(commands_of(t) for _, t in blocks(page, "sh", "bash", "shell")):
        method = DEFAULT_METHOD
        for option, value in itertools.pairwise(words):
            if option in ("-m", "--method"):
                method = value
        yield from ((method, v) for o, v in itertools.pairwise(words) if o == "--set")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_exist(page):
    for method, setting in settings_of(page):
        options = parse_settings([setting])
        if method == "threshold":
            options = {"value": 100} | options
        Recipe.build(method, options=options)  # raises where method, name or value is wrong


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in RUN if p.exists()], ids=name_of)
def test_python_runs(page, tmp_path, monkeypatch):
    if "demo/input" in page.read_text(encoding="utf-8"):  # of `segmetry demo`
        write_scene(simulate(**MICROGRAPH), tmp_path / "demo/input", "micrograph")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for line, text in blocks(page, "python"):
        # Line numbers of the page in a traceback.
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
