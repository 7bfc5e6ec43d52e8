"""What a row of a comparison is, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mgrec.fitting import aligns
from mgrec.recipe import Recipe
from mgrec.study.grid import Entry

_CODES = {
    "unimodal": "The code is made from the {first} alone.",
    "early": "{all} are first mixed into one description, and the code is made of that.",
    "late": "{count} codes side by side: {each}.",
}
_COUNTS = {2: "Two", 3: "Three", 4: "Four"}
_VIEWS = {"id": "item numbers", "linear": "the log's transitions"}
_BASELINES = {
    "popularity": "The items taken most often, the same for everybody.",
    "linear": (
        "What followed, in the log, on what the user took last: one table, solved for in one step."
    ),
    "SASRec": (
        "A strong usual model that knows items by their number only, never by what they look or"
        " read like."
    ),
}


def of_entry(entry: Entry) -> str:
    """Say what a row is, for somebody who has not read the paper."""
    if entry.what:
        return entry.what
    if entry.point is not None:
        return f"{entry.point.base} with another {entry.point.key}: {entry.point.value}."
    return of_recipe(entry.recipe)


def of_recipe(recipe: Recipe) -> str:
    """Say what a recipe makes, for somebody who has not read the paper."""
    return " ".join(_sentences(recipe))


def _sentences(recipe: Recipe) -> Iterator[str]:
    ids, training = recipe.ids, recipe.training
    names = [_name(modality, recipe) for modality in ids.modalities]
    first, *others = names
    listed = joined(names)
    words = _CODES[ids.fusion.removesuffix("++")]
    each = joined([f"one from {name if ' ' in name else f'the {name}'}" for name in names])
    count = _COUNTS.get(len(names), "Several")
    codes = words.format(first=first, all=listed, each=each, count=count)
    yield codes[0].upper() + codes[1:]
    if ids.transitions and others:
        yield "A sign between codes says where the next one begins."
    if recipe.content.shuffle:
        shuffled = joined([_name(modality, recipe) for modality in recipe.content.shuffle])
        yield f"A control: every {shuffled} was given to some other item, so that it says nothing."
    if recipe.quantiser.common:
        yield f"Before codes are made, {listed} are turned towards what they have in common."
    if aligns(recipe):
        pair = f"which {first} belongs to which {others[0]}"
        which = f"the model learns {pair if len(names) == 2 else 'which codes belong together'}"
        if recipe.alignment.epochs:
            yield f"Before it learns what users take, {which}."
        if recipe.alignment.auxiliary:
            yield f"While it learns what users take, {which}."
    if ids.target != "all":
        target = _name(ids.target, recipe)
        yield f"All codes are read, and only that of the {target} is written."
    if training.teacher:
        teachers = joined([_view(view, recipe) for view in training.teachers])
        yield f"{training.teacher:.0%} of what it learns to write is what {_by(teachers)} expect."
    if recipe.model.experts.views:
        views = joined([_view(view, recipe) for view in recipe.model.experts.views])
        yield f"The scores of {_by(views)} are added to its own."
    if recipe.model.repeat:
        yield "It has learned how likely users are to take again what they had."
    if recipe.model.family == "paper":
        yield "In the paper's own kind of model, larger and slower than the default one."


def _by(views: str) -> str:
    return f"other recommenders (by {views})"


def _name(modality: str, recipe: Recipe) -> str:
    if recipe.content.sources.get(modality) == "sasrec":
        return "who takes what"
    return {"image": "picture"}.get(modality, modality)


def _view(view: str, recipe: Recipe) -> str:
    if view.startswith("knn-"):
        return f"likeness of {_name(view.removeprefix('knn-'), recipe)}"
    return _VIEWS.get(view) or _name(view, recipe)


def of_baseline(name: str) -> str:
    """Say what a baseline is."""
    kind = name.removeprefix("item-kNN on ")
    if kind != name:
        what = {"image": "picture", "both": "text and picture", "all": "content"}.get(kind, kind)
        return f"The items whose {what} is most like that of what the user took last."
    return _BASELINES[name]


def made_with(recipe: Recipe, content: str) -> str:
    """Say with what a model was made, for a comparison with published figures."""
    model, quantiser = recipe.model, recipe.quantiser.kind.replace("_", " ")
    parts = [
        content,
        quantiser,
        f"at most {model.history} items",
        f"{model.softmax} softmax",
        f"{model.family} family",
    ]
    if recipe.training.teacher:
        parts.append(f"taught by {', '.join(recipe.training.teachers)}")
    if model.experts.views:
        parts.append(f"with the scores of {', '.join(model.experts.views)}")
    if model.repeat:
        parts.append("learned repeat scores")
    return "; ".join(parts)


def baseline_made_with(name: str, recipe: Recipe) -> str:
    """Say with what a baseline was made."""
    if name == "SASRec":
        return f"item ids only; at most {recipe.model.history} items; full softmax"
    log = {"popularity": "counts of train", "linear": "a ridge regression of train"}
    return log.get(name, "embeddings, nothing trained")


def joined(names: Sequence[str]) -> str:
    """List names as people do: one, two and three."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
