"""The package as a whole: light imports, rooms that import one way, a README that runs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mgrec import Recipe
from mgrec.errors import RecipeError

ROOT = Path(__file__).parents[1]
HEAVY = ("sentence_transformers", "transformers", "PIL", "ray", "fastapi", "matplotlib", "jinja2")
# Each room may import those before it; the files of the package's top level stand where named.
ORDER = (
    ("errors", "interrupts", "printable", "progress", "files", "folders", "lock", "manifest"),
    ("configs", "recipe", "cores", "freed"),
    ("data",),
    ("content", "conditions"),
    ("conversion",),
    ("ids",),
    ("measure",),
    ("model",),
    ("search",),
    ("batches", "answers", "popularity", "requests", "selection", "titles", "variety"),
    ("catalogue",),
    ("users", "newcomers"),
    ("choice", "growing", "given"),
    ("tables",),
    ("ensemble", "teaching"),
    ("fitting",),
    ("journal",),
    ("artifact", "replay"),
    ("consistency",),
    (
        "recommender",
        "storage",
        "making",
        "continuing",
        "questions",
        "answering",
        "everybody",
        "explain",
        "similar",
    ),
    ("study",),
    ("serving",),
    ("cli",),
)


def test_a_recipe_that_is_not_utf_8_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes("seed: 1  # ö".encode("utf-16"))
    with pytest.raises(RecipeError, match=r"mine\.yaml: not UTF-8"):
        Recipe.named(str(file))


def test_importing_mgrec_imports_nothing_heavy():
    code = f"import sys, mgrec; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_rooms_import_one_way():
    place = {name: level for level, names in enumerate(ORDER) for name in names}
    wrong = []
    for path in (ROOT / "mgrec").rglob("*.py"):
        parts = path.relative_to(ROOT / "mgrec").with_suffix("").parts
        if parts == ("__init__",):
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mgrec."):
                room = node.module.split(".")[1]
                if place[room] > place[parts[0]]:
                    wrong.append(f"{path.name} imports {node.module}")
    assert wrong == []


@pytest.mark.parametrize("name", Recipe.names())
def test_every_recipe_is_read_and_can_be_written(name):
    recipe = Recipe.named(name)
    assert Recipe.parse(recipe.to_yaml(), name) == recipe


def test_paper_clip_is_the_papers_best_strategy_with_clip():
    clip, best = Recipe.named("paper-clip"), Recipe.named("paper-late++")
    assert {clip.content.text_encoder, clip.content.image_encoder} == {"clip-ViT-B-32"}
    assert clip.model_copy(update={"name": best.name, "content": best.content}) == best


def test_the_readme_runs_as_written(tmp_path):
    from mgrec.data.worlds import make_world

    make_world(0, items=60, users=60, topics=3, looks=3).write(tmp_path / "demo" / "world")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) == 1
    code = blocks[0].replace('"u007"', '"u07"')  # so few users have shorter names
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("Interval(")
    assert len(found.stdout.splitlines()) == 6
