"""The shapes of requests and answers over HTTP, with examples; what OpenAPI shows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from mgrec.data.keys import plain
from mgrec.serving import limits


def _whole(value: object) -> object:
    """Return 3.0 as 3: JSON has one type of numbers."""
    known = plain(value) if isinstance(value, float) else None
    return value if known is None else known


def _of_64_bits(value: object) -> object:
    """Refuse a whole number that would be rounded to a float."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("a whole number should have at most 64 bits")
    return value


Whole = Annotated[StrictInt, BeforeValidator(_whole)]


Id = Annotated[
    Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
    | Annotated[StrictStr, Field(min_length=1, max_length=limits.ID)],
    BeforeValidator(_whole),
]
History = Annotated[
    list[Id],
    Field(
        max_length=limits.HISTORY,
        description="Item ids, oldest first; unknown ones are passed over.",
    ),
]
Ids = Annotated[list[Id], Field(max_length=limits.IDS)]
Run = Annotated[
    StrictStr,
    Field(max_length=limits.ID, description="Which of the served runs; the first if not named."),
]
K = Annotated[Whole, Field(ge=1, le=limits.K, description="How many items.")]
Where = Annotated[
    StrictStr,
    Field(
        max_length=limits.WHERE,
        description="A filter over the catalogue's attributes: `price < 20 and brand in ['x']`.",
    ),
]
Name = Annotated[StrictStr, Field(max_length=limits.ID)]
MaxPer = Annotated[dict[Name, Annotated[Whole, Field(ge=1)]], Field(max_length=8)]


class Shape(BaseModel):
    """A request; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class RecommendRequest(Shape):
    """Whom to recommend to, and what is allowed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["i0007", "i0321"], "k": 5, "exclude_seen": True},
                {"user": "u007", "k": 10},
            ]
        }
    )

    history: History | None = None
    user: Id | None = Field(None, description="Instead of a history: a user of the log.")
    k: K = 10
    only: Ids | None = Field(None, description="Only these items are allowed.")
    exclude: Ids | None = Field([], description="These items are not allowed.")
    exclude_seen: StrictBool = Field(False, description="Leave out what is in the history.")
    where: Where | None = None
    max_per: MaxPer | None = Field(
        {}, description="At most so many items with the same value: `{'brand': 2}`."
    )
    beams: Whole | None = Field(
        None, ge=1, le=limits.BEAMS, description="Of the search; the recipe's if not named."
    )
    run: Run | None = None


class Scored(BaseModel):
    """One item of an answer."""

    item_id: int | str
    score: float
    title: str


class Belongs(BaseModel):
    """What every answer tells: the run and the one catalogue version that it belongs to."""

    run: str
    version: int


class RecommendAnswer(Belongs):
    """Recommended items, best first."""

    items: list[Scored]
    reason: str = Field(description="In words: how these items were found.")
    generated: bool = Field(description="Whether the model answered, and not popularity.")
    known: int = Field(description="How many items of the history the catalogue knows.")


class SimilarRequest(Shape):
    """An item whose like is sought."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "i0007", "k": 5}]})

    item_id: Id
    k: K = 10
    by: Name | None = Field(
        None, description="A modality, such as `text` or `image`; all of them if not named."
    )
    where: Where | None = None
    run: Run | None = None


class SimilarAnswer(Belongs):
    """Similar items, nearest first."""

    items: list[Scored]


class ExplainRequest(Shape):
    """A recommended item, and whom it was recommended to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_id": "i0042", "history": ["i0007", "i0321"]}]}
    )

    item_id: Id
    history: History | None = None
    user: Id | None = None
    run: Run | None = None


class ExplainAnswer(Belongs):
    """What moved a recommendation's score."""

    words: list[str]
    parts: dict[str, Any]


Attribute = Annotated[
    StrictStr | StrictInt | StrictBool | Annotated[StrictFloat, Field(allow_inf_nan=False)] | None,
    BeforeValidator(_of_64_bits),
]


class NewItem(BaseModel):
    """A new item: its id, its text columns and attributes, and its picture's bytes."""

    model_config = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        json_schema_extra={"maxProperties": limits.FIELDS + 2},
    )
    # Text columns and attributes: one value each, so that nothing nests.
    __pydantic_extra__: dict[str, Attribute]

    item_id: Id | None = Field(
        None,
        description="Required, unless the id has the column name of the fitted file.",
    )
    picture: Base64Bytes | None = Field(None, description="A picture file's bytes, in base64.")

    @model_validator(mode="after")
    def _few_fields(self) -> NewItem:
        """Refuse an item of thousands of columns: each becomes one of the catalogue."""
        if len(self.model_extra or {}) > limits.FIELDS:
            raise ValueError(f"expected at most {limits.FIELDS} fields, found more")
        return self


class AddRequest(Shape):
    """Items to add; those with a known id are refused."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"item_id": "new-1", "title": "A lamp", "text": "a warm lamp"}]}
            ]
        }
    )

    items: Annotated[list[NewItem], Field(min_length=1, max_length=limits.ITEMS)]
    embeddings: dict[Name, Base64Bytes] = Field(
        {},
        max_length=8,
        description="Ready-made vectors by modality, instead of encoding: a NumPy .npy file in"
        " base64, one row for each of the items, in their order.",
    )
    run: Run | None = None


class RemoveRequest(Shape):
    """Items to take out of the catalogue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": ["new-1"]}]})

    item_ids: Annotated[list[Id], Field(min_length=1, max_length=limits.IDS)]
    run: Run | None = None


class RunRequest(Shape):
    """Which run a change is for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    run: Run | None = None


class ChangeAnswer(Belongs):
    """A change of a catalogue that stands, on disk and for the next request."""

    items: int = Field(description="Items of the catalogue now.")
    change: dict[str, Any]


class RunAnswer(Belongs):
    """One of the served runs."""

    items: int
    users: int
    modalities: list[str]
    attributes: dict[str, str] = Field(
        description="Columns that filters may name, and their types."
    )
    metrics: dict[str, Any] = Field(description="What was measured on the test cases at training.")
    refused: str | None = Field(
        description="Why the artifact in the run's folder is not in service; null if it is."
    )


class Error(BaseModel):
    """Why a request was not answered, in one line."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": "k: input should be greater than 0, found 0", "request_id": "5f1c2a90"}
            ]
        }
    )

    error: str
    request_id: str
