"""Studies: the paper's tables and figures as named grids of variants of one strategy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mgrec.configs import AlignmentConfig, shown_in
from mgrec.errors import RequestError, nearest
from mgrec.fitting import aligns
from mgrec.recipe import Recipe
from mgrec.study.grid import Entry, made, stem, swept

BASE = "paper-late++"  # the paper's claims are judged on its own family


@dataclass(frozen=True)
class Variant:
    """A strategy with something changed.

    Attributes
    ----------
    name : a few words, behind the base's name
    changes : ``key=value``, on top of the base
    what : in a sentence about ``{base}``, for somebody who has not read the paper; empty where the
        recipe says it
    recipe : the name of the recipe that says the same, without the family's prefix
    """

    name: str
    changes: tuple[str, ...]
    what: str = ""
    recipe: str = ""


WHOLE = Variant("", ())
TEXT = Variant("text", ("ids.fusion=unimodal", "ids.modalities=[text]"), recipe="text")
IMAGE = Variant("image", ("ids.fusion=unimodal", "ids.modalities=[image]"), recipe="image")
EARLY = Variant("early", ("ids.fusion=early",), recipe="early")
LATE = Variant("late", ("ids.fusion=late",), recipe="late")

UNALIGNED = Variant(
    "no alignment",
    ("alignment.epochs=0", "alignment.auxiliary=0"),
    "{base}, but the model does not learn beforehand which text belongs to which picture.",
)
CONTRASTIVE = Variant(
    "contrastive only",
    ("alignment.generative=0",),
    "{base}, but beforehand the model only learns to tell which text belongs to which picture.",
)
GENERATIVE = Variant(
    "generative only",
    ("alignment.contrastive=0",),
    "{base}, but beforehand the model only learns to write one part of a code from the other.",
)
UNMARKED = Variant(
    "no transition token",
    ("ids.transition_tokens=false",),
    "{base}, but without the sign between the two codes.",
)
TO_TEXT = Variant(
    "target text",
    ("ids.target=text",),
    "Reads both codes of what a user took, and writes only the text's code of what comes next,"
    " with digits of its own behind it that tell items of one text code apart.",
    "late++-text-target",
)
TO_IMAGE = Variant(
    "target image",
    ("ids.target=image",),
    "Reads both codes of what a user took, and writes only the picture's code of what comes next,"
    " with digits of its own behind it that tell items of one picture code apart.",
)
SHUFFLED = Variant(
    "images shuffled",
    ("content.shuffle=[image]",),
    "A control: every picture, or its code, was given to some other item before anything was"
    " learned, so that pictures say nothing.",
)

# Further rows beside late++, each a recipe of its own too (tests hold them to be the same).
EXTENSIONS = (
    Variant(
        "image first",
        ("ids.modalities=[image, text]",),
        "{base} with the picture's code first.",
        "late++-image-first",
    ),
    Variant(
        "collaborative",
        ("ids.modalities=[text, image, collaborative]", "content.sources.collaborative=sasrec"),
        "A third code beside those of text and picture, made from who takes what.",
        "late++-collaborative",
    ),
    TO_TEXT,
    Variant(
        "auxiliary alignment",
        ("alignment.epochs=0", "alignment.auxiliary=0.1"),
        "The model learns which text belongs to which picture while it learns what users take, and"
        " not before.",
        "late++-auxiliary",
    ),
    Variant(
        "aligned codes",
        ("alignment.epochs=0", "quantiser.common=64"),
        "Text and picture are turned towards what they have in common before codes are made of"
        " them; the model itself aligns nothing.",
        "late++-aligned-codes",
    ),
)

STUDIES: Mapping[str, tuple[Variant, ...]] = {
    "strategies": (TEXT, IMAGE, EARLY, LATE, WHOLE),
    # Without both, late++ is late (Figure 5).
    "ablation": (WHOLE, UNALIGNED, CONTRASTIVE, GENERATIVE, UNMARKED, LATE),
    # With one block only in the history, the target is that block: a unimodal strategy (Table 3).
    "target": (WHOLE, TO_TEXT, TO_IMAGE, TEXT, IMAGE),
    "control": (WHOLE, SHUFFLED),
    "extensions": (WHOLE, *EXTENSIONS),
    "sensitivity": (WHOLE,),
}
# Everything that the paper's claims are judged by, and the control.
CLAIMS = ("strategies", "ablation", "target", "control")
SWEEPS = (
    "quantiser.levels=2,3,4,5",
    "quantiser.size=64,128,256,512,1024",
    "content.prefix=1,2,3,4",
)


def rows(
    studies: Iterable[str], *, seeds: int, settings: Sequence[str] = (), base: str = BASE
) -> Iterator[Entry]:
    """Return the rows of studies; one that several share comes several times.

    Parameters
    ----------
    studies : names out of `STUDIES`, or ``claims`` for all of `CLAIMS`; after a recipe's name and
        a colon if the study is of that one: ``late++: ablation``
    seeds : of the rows that claims are judged by; every other one has one
    settings : overrides for every row
    base : the recipe that is varied, where none is named

    Raises
    ------
    RequestError, RecipeError
        If there is no such study or recipe, or something does not fit.
    """
    for word in studies:
        head, colon, tail = word.partition(": ")
        name, of = (tail.strip(), head.strip()) if colon else (word.strip(), base)
        if name not in STUDIES and name != "claims":
            known = ["claims", *STUDIES]
            raise RequestError(
                f"study '{name}': expected one of {', '.join(known)}.{nearest(name, known)}"
            )
        for part in CLAIMS if name == "claims" else (name,):
            for variant in STUDIES[part]:
                yield _row(of, variant, seeds if part in CLAIMS else 1, settings)
        if name == "sensitivity":
            for sweep in SWEEPS:
                yield from swept(f"{of}: {sweep}", settings, of)


def _row(base: str, variant: Variant, seeds: int, settings: Sequence[str]) -> Entry:
    """Return a variant's row, under the name of the recipe that says the same if there is one."""
    named = _named(base, variant)
    name = named or f"{stem(base)}, {variant.name}"
    # Also on top of a recipe that says the same: overrides of all rows must not undo it.
    changes = changes_of(Recipe.named(base).override(settings), variant)
    what = variant.what.format(base=stem(base))
    return made(named or base, settings, seeds, name=stem(name), changes=changes, what=what)


def _named(base: str, variant: Variant) -> str | None:
    if not variant.changes:
        return base
    known = base.removesuffix("late++") + variant.recipe
    if not variant.recipe or known not in Recipe.names():
        return None
    recipe = Recipe.named(base)
    changed = recipe.override(changes_of(recipe, variant))
    return known if canonical(changed) == canonical(Recipe.named(known)) else None


def changes_of(recipe: Recipe, variant: Variant) -> tuple[str, ...]:
    """Return what makes a recipe a variant; what only a modality that goes had goes with it."""
    if variant not in (TEXT, IMAGE, EARLY):
        return variant.changes
    more: dict[str, Any] = {"quantiser.common": 0}  # there are no two blocks to bring together
    if variant is not EARLY:
        kept = ("fused", variant.name)
        views = recipe.model.experts.views
        more["model.experts.views"] = [v for v in views if shown_in(v) in (None, *kept)]
        more["content.shuffle"] = [name for name in recipe.content.shuffle if name in kept]
        for key, own in (
            ("content.sources", recipe.content.sources),
            ("quantiser.per_modality", recipe.quantiser.model_dump()["per_modality"]),
        ):
            more[key] = {name: value for name, value in own.items() if name in kept}
    return (*variant.changes, *(f"{key}={json.dumps(value)}" for key, value in more.items()))


def bases(entries: Sequence[Entry]) -> list[Entry]:
    """Return the rows of a grid that the paper's claims can be judged of.

    They are late++ in full, asked for by themselves, with at least one variant beside them.
    """
    return [
        entry
        for entry in entries
        if entry.headline
        and entry.recipe.ids.fusion == "late++"
        and entry.recipe.ids.target == "all"
        and aligns(entry.recipe)
        and len(roles(entries, entry)) > 1
    ]


def roles(entries: Sequence[Entry], base: Entry) -> dict[Variant, Entry]:
    """Return the rows that claims are judged by, by what they are of a base; itself is `WHOLE`."""
    judged = dict.fromkeys(variant for name in CLAIMS for variant in STUDIES[name])
    found = {variant: find(entries, base, variant) for variant in judged if variant != WHOLE}
    others = {v: entry for v, entry in found.items() if entry is not None and entry != base}
    return {WHOLE: base, **others}


def find(entries: Sequence[Entry], base: Entry, variant: Variant) -> Entry | None:
    """Return the row of a grid that is a variant of another, whatever it is called.

    Of several the one that was asked for by itself, which has more seeds than a sweep's.
    """
    wanted = canonical(base.recipe.override(changes_of(base.recipe, variant)))
    alike = [entry for entry in entries if canonical(entry.recipe) == wanted]
    return next((entry for entry in alike if entry.headline), next(iter(alike), None))


def canonical(recipe: Recipe) -> Recipe:
    """Return what decides a training: the same for recipes that say the same in other words.

    ``late++`` with nothing aligned is ``late`` with or without transition tokens, whatever the
    alignment would have been.
    """
    ids, alignment = recipe.ids, recipe.alignment
    if not aligns(recipe):
        fusion = "late" if ids.fusion == "late++" else ids.fusion
        ids = ids.model_copy(update={"fusion": fusion, "transition_tokens": ids.transitions})
        alignment = AlignmentConfig()
    else:
        ids = ids.model_copy(update={"transition_tokens": ids.transitions})
    changes = {"name": "", "seed": 0, "ids": ids, "alignment": alignment}
    return recipe.model_copy(update=changes)
