"""Configuration: one frozen, typed config a stage, whose values a `Recipe` gathers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Source = Literal["auto", "encode", "embeddings", "codes"]
Learned = Literal["sasrec"]
Fusion = Literal["unimodal", "early", "late", "late++"]


class Config(BaseModel):
    """A frozen stage of a recipe; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContentConfig(Config):
    """Where each modality's content comes from, and what encodes it.

    `auto` takes the most finished thing present: codes, then embeddings, then text or pictures.
    `sasrec`, for a modality of any other name, makes its embeddings from the log alone: the item
    vectors of a SASRec that sees nothing but the train split.
    """

    source: Source = "auto"
    sources: dict[str, Source | Learned] = {}  # per modality, over `source`
    text_encoder: str = "packaged"  # or any sentence-transformers name or local path
    image_encoder: str = "packaged"
    shuffle: tuple[str, ...] = ()  # negative control: content of these is shuffled between items
    batch: int = Field(64, ge=1)
    prefix: int = Field(0, ge=0)  # levels kept of ready-made codes; 0 keeps all
    sasrec_epochs: int = Field(20, ge=1)  # without selection, which would look at held-out items

    def source_of(self, modality: str) -> Source | Learned:
        return self.sources.get(modality, self.source)


Size = Annotated[int, Field(ge=1, le=65535)] | Literal["auto"]


class BlockSizes(Config):
    """One modality's own codebooks; what is None is as for all."""

    levels: int | None = Field(None, ge=1, le=16)
    size: Size | None = None


class QuantiserConfig(Config):
    """How embeddings become codes, level by level.

    `size: auto` takes the power of two next above the square root of the catalogue, between 16
    and 256: a codebook much larger than that names items instead of describing them.
    """

    kind: Literal["residual_kmeans", "rqvae"] = "residual_kmeans"
    levels: int = Field(3, ge=1, le=16)
    size: Size = 256
    iterations: int = Field(25, ge=1)  # of k-means; epochs of RQ-VAE
    pca: int = Field(0, ge=0)  # principal components kept before quantising; 0 keeps all
    # Dimensions of a common space that modalities are turned towards before they are quantised,
    # alignment in the quantiser's input; 0 quantises each as it is.
    common: int = Field(0, ge=0)
    per_modality: dict[str, BlockSizes] = {}  # {image: {levels: 2, size: 64}}

    def levels_of(self, modality: str) -> int:
        return self.per_modality.get(modality, BlockSizes()).levels or self.levels

    def size_of(self, modality: str, items: int) -> int:
        size = self.per_modality.get(modality, BlockSizes()).size or self.size
        if size == "auto":
            return min(256, max(16, 2 ** int(max(items, 1) ** 0.5).bit_length()))
        return size


class IdsConfig(Config):
    """The layout of a semantic ID (DESIGN: the five strategies)."""

    fusion: Fusion = "late++"
    modalities: tuple[str, ...] = ("text", "image")  # in this order
    target: str = "all"  # which blocks are generated: all, or one modality
    transition_tokens: bool | None = None  # None: as the fusion says
    interleaved: bool = False  # t1 v1 t2 v2 ... instead of block after block

    @property
    def transitions(self) -> bool:
        """Whether a transition token stands before every block but the first."""
        if self.transition_tokens is None:
            return self.fusion == "late++" and not self.interleaved
        return self.transition_tokens

    @model_validator(mode="after")
    def _consistent(self) -> IdsConfig:
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError("modalities: expected at least one, each named once")
        if self.fusion == "unimodal" and len(self.modalities) != 1:
            raise ValueError(f"modalities: unimodal takes exactly one, found {self.modalities}")
        if self.target != "all" and self.target not in self.modalities:
            raise ValueError(f"target: expected 'all' or one of {self.modalities}")
        if self.interleaved and self.transition_tokens:
            raise ValueError("transition_tokens: interleaved levels have no blocks for them")
        if self.target != "all" and self.fusion == "early":
            raise ValueError("target: early fusion has one block only, so expected 'all'")
        return self


def shown_in(view: str) -> str | None:
    """Return the modality that an expert's view shows; None where it is made of the log alone."""
    return None if view in ("id", "linear") else view.removeprefix("knn-")


def is_table(view: str) -> bool:
    """Whether a view's expert is a table of neighbours, which nothing trains."""
    return view == "linear" or view.startswith("knn-")


def check_views(field: str, views: tuple[str, ...]) -> None:
    """Refuse what cannot be the views of experts.

    Raises
    ------
    ValueError
        If one is named twice, or names nothing.
    """
    if len(set(views)) != len(views) or "knn-" in views:
        raise ValueError(f"{field}: expected each named once, and a modality behind 'knn-'")


class NeighboursConfig(Config):
    """The experts by tables: "linear" and "knn-..."."""

    # The most taken ones, which lead to others; "linear" takes four matrices of as many rows and
    # columns in float32 to make, 6.5 GB at 20,000.
    items: int = Field(20_000, ge=1)
    most: int = Field(128, ge=1)  # neighbours kept of each
    ridge: float = Field(100, gt=0)  # of "linear": an item taken as often is believed half


class ExpertsConfig(Config):
    """Recommenders of one view of the items each, whose scores are added to the generated one's.

    Each reads histories for itself, is trained for itself, and scores the whole catalogue.
    """

    # "id" and a modality's name are trained; "linear" and "knn-" with a modality's name are tables.
    views: tuple[str, ...] = ()
    # Instead, they predict from the generative model's own state and are trained with it: for logs
    # too short to train several readers on.
    shared: bool = False
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)  # of "id", which has a free vector an item
    content_dropout: float = Field(0.1, ge=0, lt=1)  # of the others, which cannot learn by heart
    whiten: int = Field(0, ge=0)  # axes of variance one that embeddings are read by; 0: as they are
    negatives: int = Field(2048, ge=0)  # items a training step is drawn against; 0 takes all
    epochs: int = Field(60, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    neighbours: NeighboursConfig = NeighboursConfig()

    @model_validator(mode="after")
    def _readers(self) -> ExpertsConfig:
        check_views("views", self.views)
        for view in self.views:
            if self.shared and is_table(view):
                raise ValueError(f"views: '{view}' reads for itself, so not where all are shared")
        return self


class ModelConfig(Config):
    """The generative model.

    `default`: one position an item, causal, trained at every position, a small token decoder.
    `paper`: one position a token, bidirectional encoder, one target an example (TIGER's T5).
    """

    family: Literal["default", "paper"] = "default"
    dim: int = Field(128, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    head_dim: int = Field(64, ge=2)
    hidden: int = Field(512, ge=8)
    decoder_layers: int = Field(1, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    history: int = Field(50, ge=1)  # items
    softmax: Literal["legal", "plain"] = "legal"
    history_embeddings: bool = True  # continuous embeddings beside the codes (default family)
    tied: bool = False  # one table to read and to predict tokens by, as in T5: for small logs
    experts: ExpertsConfig = ExpertsConfig()
    repeat: bool = False  # a learned repeat score, fitted on validation


class AlignmentConfig(Config):
    """Contrastive modality alignment before sequence training (`late++`).

    The paper's loss details, temperature and schedule are not public; these values are ours.
    """

    epochs: int = Field(20, ge=0)
    batch: int = Field(512, ge=2)
    contrastive: float = Field(1.0, ge=0)  # weight of symmetric InfoNCE between pooled blocks
    generative: float = Field(1.0, ge=0)  # weight of generating one block from the other
    temperature: float = Field(0.07, gt=0)  # where the learnable temperature starts
    # Weight with which both are on in sequence training, after the epochs before it or, where
    # there are none, by themselves.
    auxiliary: float = Field(0.0, ge=0)


class TrainingConfig(Config):
    """The optimiser's part; selection is by validation NDCG@10."""

    epochs: int = Field(60, ge=1)
    minutes: float | None = Field(None, gt=0)  # stops sequence training; resumes are not exact
    targets: int = Field(1024, ge=1)  # predicted items a step
    # Part of sequence training's targets, those of shared experts too, that are drawn from what
    # teachers expect, in place of what the log holds. Teachers are views as in `model.experts`,
    # trained and weighed first; those that the recipe has no use for besides are dropped.
    teacher: float = Field(0, ge=0, lt=1)
    teachers: tuple[str, ...] = Field(("linear",), min_length=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: int = Field(300, ge=0)  # steps
    # The last part of every training of the recipe (alignment's and experts' too), in which the
    # rate falls to 0; patience does not end one before.
    cooldown: float = Field(0, ge=0, le=1)
    clip: float = Field(1.0, gt=0)
    evaluate_every: int = Field(2, ge=1)  # epochs
    validation_users: int = Field(4000, ge=1)  # a fixed sample, for selection
    patience: int = Field(4, ge=1)  # evaluations without a better one
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_seconds: float = Field(60, ge=0)
    # Where models are trained (docs/model.md): cpu, cuda, cuda:1. A trained one ranks on the CPU.
    device: str = "cpu"
    threads: int = Field(0, ge=0)  # of the CPU in training; 0 leaves them as they are

    @model_validator(mode="after")
    def _teachers(self) -> TrainingConfig:
        check_views("teachers", self.teachers)
        return self


class SearchConfig(Config):
    """Catalogue-constrained beam search."""

    beams: int = Field(50, ge=1)
    validation_beams: int = Field(20, ge=1)
    memory: int = Field(512, ge=16)  # MiB that a batch of histories may take
    # bfloat16 is for bulk: its rounding depends on the batch, so that near scores may change place.
    precision: Literal["float32", "bfloat16"] = "float32"
    # How often an item added after training is expected to be taken, beside what its content or
    # its siblings speak for. None leaves it to codes that the model never learnt to choose.
    new_items: float | None = Field(1.0, gt=0)


class SplitConfig(Config):
    """What is held out: each user's last two, or whatever lies behind two points in time."""

    kind: Literal["leave_one_out", "global_time", "none"] = "leave_one_out"
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)  # of interactions, global_time only
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
