"""A prediction of what a fit takes: time and memory, from sizes and this machine's speed."""

from __future__ import annotations

import time

import torch

from mgrec.catalogue import sources
from mgrec.configs import is_table
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError, RecipeError
from mgrec.ids.semantic_ids import BASE
from mgrec.model.training import precision
from mgrec.recipe import Recipe
from mgrec.teaching import LISTED

# A step's time over that of its matrix products at full speed: Beauty and Instruments took 21 s an
# epoch on one busy core, see docs/results.md.
OVERHEAD = 6.0
PASSES = 1000.0  # operations that go by while a score of a teacher is normalised and sorted
MATRICES = 4  # that the linear expert's solving holds at once
EPOCHS = 25  # a middling run: selection on validation stops some sooner, some at the recipe's end
ENCODED = {"text": 45.0, "image": 35.0}  # items a second and two cores, packaged encoders


def forecast(data: Dataset, recipe: Recipe) -> str:
    """Return one line on the time and memory of a fit; good to about a factor of two.

    Of a recipe that cannot be fitted on the data, it says why not.
    """
    try:
        sources(data, recipe)
    except (RecipeError, DataError) as error:
        return f"none: {error}"
    rate = _speed(recipe)
    targets = int((data.log.lengths - 3).clip(min=0).sum())
    model = recipe.model
    widths = model.heads * model.head_dim
    layer = model.dim * (4 * widths + 2 * model.hidden)
    levels = sum(recipe.quantiser.levels_of(m) for m in recipe.ids.modalities)
    views = {*model.experts.views, *(recipe.training.teachers if recipe.training.teacher else ())}
    experts = sum(not is_table(view) for view in views)
    if model.family == "paper":
        tokens = (levels + 2) * min(model.history, float(data.log.lengths.mean()) / 2)
        products = tokens * model.layers * layer + (levels + 2) * model.decoder_layers * layer * 1.5
    else:  # the decoder runs only until one item is left, three codes as a rule
        products = model.layers * layer + 3 * model.decoder_layers * layer
        products += 3 * model.dim * 256
        drawn = min(data.n_items, 3 * recipe.training.targets + model.experts.negatives)
        products += experts * (model.experts.layers * layer + model.dim * drawn)
    seconds = targets * EPOCHS * products * 6 * OVERHEAD / rate
    linear = "linear" in views
    solved = min(data.n_items, model.experts.neighbours.items) if linear else 0
    seconds += 3 * solved**3 / rate
    listed = 0.0  # bytes of what teachers expect; at every place they score the whole catalogue
    if recipe.training.teacher:
        listed = 6.0 * LISTED * len(data.log.items)
        score = 2 * model.dim + PASSES
        seconds += targets * len(recipe.training.teachers) * data.n_items * score / rate
    encoding = 0.0
    for modality in recipe.ids.modalities:
        wanted = recipe.content.source_of(modality)
        if wanted == "sasrec" or modality not in data.modalities:
            continue
        if data.source_of(modality, wanted) == "encode":
            encoding += data.n_items / ENCODED.get(modality, 40.0)
    vocabulary = sum(257 * recipe.quantiser.levels_of(m) for m in recipe.ids.modalities) + BASE
    parameters = vocabulary * model.dim * 2 + (model.layers + model.decoder_layers) * layer
    vectors = sum(e.vectors.nbytes for e in data.embeddings.values())
    batch = recipe.training.targets * (3000 * model.dim + 4 * data.n_items * experts)
    memory = 0.6e9 + 20 * parameters + 3 * vectors + batch + 200 * data.n_items + listed
    memory = max(memory, 0.6e9 + 3 * vectors + MATRICES * 4 * solved**2)
    stages = f"about {_minutes(seconds)} of training ({EPOCHS} epochs)"
    if encoding:
        stages += f", {_minutes(encoding)} of encoding unless its vectors are cached"
    return f"{stages}, {memory / 1e9:.1f} GB of memory"


def _speed(recipe: Recipe) -> float:
    """Return floating-point operations a second of a matrix product like the model's."""
    dtype = precision(recipe.training.precision, torch.device("cpu"))
    a = torch.randn(2048, recipe.model.dim).to(dtype)
    b = torch.randn(recipe.model.dim, recipe.model.hidden).to(dtype)
    # The fastest of many: whatever else runs on the machine only makes single ones slower.
    fastest = min(_seconds(a, b) for _ in range(200))
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / fastest


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    begun = time.perf_counter()
    a @ b
    return time.perf_counter() - begun


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
