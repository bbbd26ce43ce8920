"""The reference in docs/ says what the code does: every command, method, option, measure and function."""

from pathlib import Path

import pytest

from segmetry.cli import reference

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_as_the_code(name):
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == reference.PAGES[name](), "run `make docs` and commit what changed"


def test_every_command_is_documented():
    from typer.main import get_command

    from segmetry.cli.app import app

    def leaves(command, path=""):
        for name, child in getattr(command, "commands", {}).items():
            whole = f"{path} {name}".strip()
            yield from leaves(child, whole) if hasattr(child, "commands") else [whole]

    page = (FOLDER / "commands.md").read_text(encoding="utf-8")
    for command in leaves(get_command(app)):
        assert f"## segmetry {command}\n" in page


def test_every_method_measure_and_function_is_documented():
    import segmetry
    from segmetry.measure import MEASURES
    from segmetry.segment import METHODS

    for page, names in (("methods.md", METHODS), ("measures.md", MEASURES), ("python.md", segmetry.__all__)):
        text = (FOLDER / page).read_text(encoding="utf-8")
        for name in names:
            assert name.startswith("__") or f"## {name}" in text or f"| `{name}` |" in text, (page, name)


def test_every_measure_and_option_says_what_it_is():
    from dataclasses import fields

    from segmetry.measure import MEASURES
    from segmetry.segment import METHODS

    assert [m.name for m in MEASURES.values() if len(m.meaning) < 10] == []
    assert [(n, f.name) for n, m in METHODS.items() for f in fields(m) if len(f.metadata.get("meaning", "")) < 10] == []
