"""The recipe: everything that decides a run, read from a name, a file or single settings."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from mgrec.configs import (
    AlignmentConfig,
    Config,
    ContentConfig,
    IdsConfig,
    ModelConfig,
    QuantiserConfig,
    SearchConfig,
    SplitConfig,
    TrainingConfig,
    shown_in,
)
from mgrec.errors import RecipeError, in_one_line, nearest


class Recipe(Config):
    """Everything that decides a run, apart from the data.

    Examples
    --------
    >>> Recipe.named("late++").override(["model.dim=64"]).model.dim
    64
    """

    name: str = "late++"
    seed: int = Field(0, ge=0)
    content: ContentConfig = ContentConfig()
    quantiser: QuantiserConfig = QuantiserConfig()
    ids: IdsConfig = IdsConfig()
    model: ModelConfig = ModelConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _named_modalities(self) -> Recipe:
        """A misspelt name would otherwise do nothing, and a control that does nothing misleads."""
        named = {
            "content.shuffle": self.content.shuffle,
            "content.sources": self.content.sources,
            "quantiser.per_modality": [m for m in self.quantiser.per_modality if m != "fused"],
            "model.experts.views": [m for v in self.model.experts.views if (m := shown_in(v))],
            "training.teachers": [m for v in self.training.teachers if (m := shown_in(v))],
        }
        for field, names in named.items():
            for name in names:
                if name not in self.ids.modalities:
                    known = ", ".join(self.ids.modalities)
                    raise ValueError(f"{field}: '{name}' is none of the recipe's ({known})")
        if self.quantiser.common and self.ids.fusion not in ("late", "late++"):
            raise ValueError(
                "quantiser.common: expected a recipe with a block for each of several modalities,"
                f" found the fusion '{self.ids.fusion}'"
            )
        return self

    @model_validator(mode="after")
    def _can_align(self) -> Recipe:
        """Interleaved levels have no block that could be generated from another."""
        asked = self.alignment.generative and not self.alignment.contrastive
        if self.ids.fusion == "late++" and self.ids.interleaved and asked:
            raise ValueError("alignment.contrastive: expected above 0 with interleaved levels")
        return self

    @staticmethod
    def names() -> list[str]:
        """Return the recipes that come with the package."""
        folder = files("mgrec") / "recipes"
        return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if ".yaml" in f.name)

    @classmethod
    def named(cls, name: str) -> Recipe:
        """Return a recipe by its name, or from a YAML file by its path.

        Raises
        ------
        RecipeError
            If there is no such recipe or a field of the file is unknown or malformed.
        """
        if name in cls.names():
            return cls.parse((files("mgrec") / "recipes" / f"{name}.yaml").read_text("utf-8"), name)
        path = Path(name)
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            try:
                return cls.parse(path.read_text("utf-8"), name)
            except UnicodeDecodeError as error:
                raise RecipeError(f"{name}: not UTF-8: {error.reason}") from None
        raise RecipeError(
            f"recipe '{name}': unknown.{nearest(name, cls.names())}"
            f" Expected one of {', '.join(cls.names())}, or a YAML file."
        )

    @classmethod
    def parse(cls, text: str, where: str) -> Recipe:
        """Read a recipe from YAML; `where` names it in errors."""
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise RecipeError(f"{where}: not YAML: {in_one_line(error)}") from None
        if not isinstance(values, dict):
            raise RecipeError(f"{where}: expected fields and values, found {type(values).__name__}")
        return cls._build({"name": Path(where).stem, **values}, where)

    @classmethod
    def _build(cls, values: dict[str, Any], where: str) -> Recipe:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                hint = nearest(field.split(".")[-1], [k.split(".")[-1] for k in _fields(cls)])
                raise RecipeError(f"{where}: unknown field '{field}'.{hint}") from None
            found = "" if isinstance(first["input"], dict) else f", found {first['input']!r}"
            place = f"{where}: {field}" if field else where
            said = first["msg"].removeprefix("Value error, ")
            raise RecipeError(f"{place}: {said}{found}") from None

    def override(self, settings: Iterable[str]) -> Recipe:
        """Return a copy with ``key=value`` settings; keys dotted or a unique last part.

        Raises
        ------
        RecipeError
            If a key is unknown or ambiguous, or its value does not fit.
        """
        values = self.model_dump()
        for setting in settings:
            key, value = self.read(setting)
            *parents, last = key.split(".")
            place = values
            for parent in parents:
                place = place.setdefault(parent, {})
                if not isinstance(place, dict):
                    raise RecipeError(f"setting '{setting}': '{parent}' has no fields of its own")
            place[last] = value
        return self._build(values, "setting")

    @classmethod
    def read(cls, setting: str) -> tuple[str, Any]:
        """Return a setting's field, its whole name, and its value.

        Raises
        ------
        RecipeError
            If it is not ``key=value``, the key unknown or ambiguous, or the value no YAML.
        """
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"setting '{setting}': expected key=value")
        try:
            return cls._resolve(key.strip()), yaml.safe_load(text)
        except yaml.YAMLError:
            raise RecipeError(f"setting '{setting}': value is not YAML") from None

    @classmethod
    def _resolve(cls, key: str) -> str:
        known = _fields(cls)
        if key in known or any(k in _OPEN and key.startswith(k + ".") for k in known):
            return key
        ending = [k for k in known if k.split(".")[-1] == key]
        if len(ending) == 1:
            return ending[0]
        if ending:
            raise RecipeError(f"setting '{key}': ambiguous, one of {', '.join(sorted(ending))}")
        leaves = [k.split(".")[-1] for k in known]
        raise RecipeError(f"setting '{key}': unknown field.{nearest(key, known + leaves)}")

    def to_yaml(self) -> str:
        """Return the whole recipe, every field spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


# Fields whose keys are modalities, so that anything may stand below them.
_OPEN = ("content.sources", "quantiser.per_modality")


def _fields(config: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all leaf fields."""
    names = []
    for name, field in config.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += _fields(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
