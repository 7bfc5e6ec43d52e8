"""What a row is, in words: every sentence is of something that the recipe does, and none lacks."""

import pytest

from mgrec import Recipe
from mgrec.study.described import made_with, of_recipe

SAYS = {
    "before it learns what users take": ("late++", "demo", "late++-collaborative"),
    "While it learns": ("late++-auxiliary",),
    "have in common": ("late++-aligned-codes",),
    "only that of the text is written": ("late++-text-target",),
    "A sign between codes": ("late++", "late++-aligned-codes", "paper-late++"),
    "from the text alone": ("text", "text-taught", "paper-text"),
    "from the picture alone": ("image", "paper-image"),
    "mixed into one": ("early", "paper-early"),
    "from who takes what": ("late++-collaborative",),
    "is what other recommenders": ("text-taught", "text-experts"),
    "are added to its own": ("text-experts", "late++-experts", "demo"),
    "take again": ("text-experts", "late++-experts"),
    "In the paper's own kind": ("paper-late", "paper-clip"),
}


def says(recipe, words):
    return words.lower() in of_recipe(recipe).lower()


@pytest.mark.parametrize("words", SAYS)
def test_recipes_say_what_they_do(words):
    assert all(says(Recipe.named(name), words) for name in SAYS[words])


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("late++", "alignment.epochs=0", "before it learns"),
        ("late++-auxiliary", "alignment.auxiliary=0", "while it learns"),
        ("late++-aligned-codes", "quantiser.common=0", "have in common"),
        ("late++", "ids.transition_tokens=false", "a sign between codes"),
        ("late++-text-target", "ids.target=all", "is written"),
        ("text-taught", "training.teacher=0", "other recommenders"),
        ("late++-experts", "model.experts.views=[]", "added to its own"),
        ("text-experts", "model.repeat=false", "take again"),
    ],
)
def test_what_is_turned_off_is_not_said(name, setting, words):
    recipe = Recipe.named(name)
    assert says(recipe, words)
    assert not says(recipe.override([setting]), words)


def test_a_control_says_that_it_is_one():
    shuffled = Recipe.named("late++").override(["content.shuffle=[image]"])
    assert says(shuffled, "every picture was given to some other item")


def test_beside_published_figures_stands_what_else_counts():
    said = made_with(Recipe.named("text-experts"), "text: ready-made embeddings")
    for words in ("taught by id", "scores of id, text, linear, knn-text", "repeat scores"):
        assert words in said
    assert "taught" not in made_with(Recipe.named("text"), "")
