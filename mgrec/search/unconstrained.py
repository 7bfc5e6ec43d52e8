"""Beam search without the catalogue: any code of a slot may follow any other, for diagnosis only.

Recommending never uses this: most of what comes out belongs to no item. It shows what the model
itself has learned of which codes belong together, and so what the constraint is worth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mgrec.errors import RequestError
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.model.products import exact_product, recurring_shapes
from mgrec.search.beam import best_of


@torch.inference_mode()
def free_search(model: Generator, context: Context, beams: int) -> tuple[Tensor, Tensor]:
    """Generate the likeliest code tuples of each context, legal or not.

    A slot's codes are its own codebook's; probabilities are of the whole vocabulary, as the plain
    softmax was trained.

    Parameters
    ----------
    context : one row a user
    beams : tuples kept a user

    Returns
    -------
    codes : int64 [users, found, slots], best first, counted within their slots
    scores : float32 [users, found], log-probabilities

    Raises
    ------
    RequestError
        If the model's softmax is over legal codes: it gives no probability to any other.
    """
    if model.legal:
        raise RequestError(
            "search without the catalogue: found model.softmax=legal, which gives codes of no item"
            " no probability; expected a model trained with model.softmax=plain"
        )
    users, device = context.rows, context.start.device
    state = model.decoder.begin(context)
    codes = torch.zeros(users, 1, 0, dtype=torch.int64, device=device)  # [users, width, so far]
    score = torch.zeros(users, 1, device=device)  # [users, width]
    owner = torch.arange(users, device=device)
    x = context.start
    for level, slot in enumerate(model.ids.target_slots):
        with recurring_shapes():
            logits = exact_product(model.decoder.step(state, x, owner), model.head)
        # [users * width, codes of the slot]
        step = logits.log_softmax(-1)[:, slot.first : slot.first + slot.size]
        width = score.shape[1]
        grown = score[..., None] + step.view(users, width, slot.size)
        score, best, _ = best_of(grown.flatten(1), beams)
        parent, code = best // slot.size, best % slot.size
        before = codes.gather(1, parent[..., None].expand(-1, -1, level))
        codes = torch.cat([before, code[..., None]], dim=2)
        state.follow((torch.arange(users, device=device)[:, None] * width + parent).flatten())
        owner = torch.arange(users, device=device).repeat_interleave(score.shape[1])
        x = model.tokens(code.flatten() + slot.first)
    return codes, score
