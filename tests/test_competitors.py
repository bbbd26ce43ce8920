"""Methods, settings, recipes and folders, named in one way each."""

from __future__ import annotations

import pytest

from segmetry.competitors import parse_competitors
from segmetry.errors import OptionError, ReadError, RecipeError
from segmetry.recipe import Recipe
from segmetry.segment import method_from


def test_every_kind(tmp_path):
    (tmp_path / "mine.yaml").write_text(Recipe.build("local", options={"window": 31}).to_yaml())
    (tmp_path / "cells").mkdir()
    base = Recipe(pixel_size="0.5 nm")
    texts = ["otsu", "local:window=33,polarity=dark", str(tmp_path / "mine.yaml"), str(tmp_path / "cells")]
    otsu, local, mine, cells = parse_competitors(texts, base)
    assert otsu.recipe.method == method_from("otsu")
    assert (local.name, local.recipe.method) == (
        "local-window=33-polarity=dark",
        method_from("local", {"window": 33, "polarity": "dark"}),
    )
    assert (mine.name, mine.recipe.method) == ("mine", method_from("local", {"window": 31}))
    assert (cells.name, cells.recipe, cells.folder) == ("cells", None, tmp_path / "cells")
    assert {c.recipe.pixel_size for c in (otsu, local, mine)} == {"0.5 nm"}


def test_list_values_keep_their_commas():
    (found,) = parse_competitors(["threshold:value=[80, 120],min_size=5"], Recipe())
    assert found.recipe.method == method_from("threshold", {"value": [80, 120], "min_size": 5})


@pytest.mark.parametrize(
    ("texts", "error", "says"),
    [
        (["otzu"], OptionError, "did you mean 'otsu'"),
        (["local:windw=3"], OptionError, "windw"),
        (["local:window"], OptionError, "KEY=VALUE"),
        (["otsu", "otsu"], OptionError, "2 competitors are called 'otsu'"),
        (["nowhere/predictions"], ReadError, "no folder"),
        (["nowhere.yaml"], ReadError, "nowhere.yaml"),
    ],
)
def test_bad_names(texts, error, says):
    with pytest.raises(error, match=says):
        parse_competitors(texts, Recipe())


def test_bad_recipe_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("segment: [1]")
    with pytest.raises(RecipeError, match=r"a\.yaml"):
        parse_competitors([str(tmp_path / "a.yaml")], Recipe())
