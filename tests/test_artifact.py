"""An artifact is read as it was written, refused when it is not, and whole whenever a save dies."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mgrec.artifact import Contents, check_place, read, read_manifest, write
from mgrec.errors import ArtifactError
from mgrec.recipe import Recipe
from tests.disk import full_disk

RECIPE = Recipe().override(["model.dim=64", "seed=7", "content.sources.text=codes"])


def some_contents() -> Contents:
    shared = torch.arange(6.0).reshape(2, 3)
    return Contents(
        recipe=RECIPE,
        fingerprint="f00d",
        tensors={
            "model": {
                "z.weight": shared,
                "a.tied": shared,
                "bf16": torch.tensor([1.5, -3.0], dtype=torch.bfloat16),
                "step": torch.tensor(41),
                "nothing": torch.empty(0, 4),
                "columns": torch.arange(6).reshape(2, 3).T,
                "learned": torch.nn.Parameter(torch.ones(2)),
            }
        },
        arrays={
            "codes.text": {
                "codes": np.arange(6, dtype=np.int32).reshape(3, 2),
                "present": np.array([True, False, True]),
                "transposed": np.arange(6, dtype=np.uint16).reshape(2, 3).T,
                "scalar": np.array(2.5),
                "empty": np.zeros((0, 3), np.float16),
            }
        },
        tables={
            "items": pl.DataFrame(
                {
                    "item_id": [3, 1, 2],
                    "text": ["ä", None, ""],
                    "tags": [["x"], [], None],
                    "when": [datetime(2026, 1, 2, tzinfo=UTC), None, None],
                    "day": [date(2026, 1, 2), None, None],
                }
            ),
            "empty": pl.DataFrame(schema={"user_id": pl.String}),
        },
        documents={"notes": {"words": ["naïve", None, 1.5], "best": float("-inf")}},
        encoders={"text": {"name": "packaged", "revision": "0.1.0", "dim": 384}},
        seeds={"split": 3},
        facts={"test": {"ndcg@10": 0.0384}, "users": 12},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write(tmp_path / "RUN", some_contents())
    return tmp_path / "RUN"


def own_names(folder: Path) -> set[str]:
    """The entries of an artifact but its changes and what it replaced."""
    return {entry.name for entry in folder.iterdir()} - {"live", "previous"}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def without_live(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.startswith("live/")}


def reseal(folder: Path, **changes: object) -> None:
    """Change the manifest as somebody would who computes its checksum too."""
    values = json.loads((folder / "manifest.json").read_text())
    values.pop("checksum")
    values = json.loads(json.dumps(values | changes))
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(values | {"checksum": checksum}))


def refusal(path: Path, action: Callable[[Path], object] = read) -> str:
    with pytest.raises(ArtifactError) as caught:
        action(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# What was written is what is read


def test_everything_comes_back_as_it_was(saved: Path) -> None:
    before, after = some_contents(), read(saved)
    assert after.recipe == before.recipe
    assert (after.fingerprint, after.seeds, after.facts) == ("f00d", {"split": 3}, before.facts)
    assert after.encoders == before.encoders
    assert after.documents == before.documents
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors["model"].items():
        found = after.tensors["model"][name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found, tensor)
    assert after.arrays.keys() == before.arrays.keys()
    for name, array in before.arrays["codes.text"].items():
        found = after.arrays["codes.text"][name]
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)
    assert after.tables.keys() == before.tables.keys()
    for name, table in before.tables.items():
        assert_frame_equal(after.tables[name], table)


def test_the_manifest_describes_the_folder(saved: Path) -> None:
    manifest = read_manifest(saved)
    others = snapshot(saved)
    del others["manifest.json"]
    assert {name: (f.sha256, f.bytes) for name, f in manifest.files.items()} == {
        name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in others.items()
    }
    assert manifest.format == 1
    assert datetime.fromisoformat(manifest.created).tzinfo == UTC
    assert manifest.seeds == {"recipe": 7, "split": 3}
    assert manifest.encoders["text"]["revision"] == "0.1.0"
    assert manifest.libraries["torch"] == torch.__version__
    assert manifest.libraries.keys() >= {"python", "numpy", "polars", "mgrec"}
    assert Recipe.model_validate(manifest.recipe) == RECIPE
    assert Recipe.parse((saved / "recipe.yaml").read_text(), "recipe.yaml") == RECIPE


def test_nothing_is_pickled_and_any_reader_can_list_the_folder(saved: Path) -> None:
    assert {file.suffix for file in saved.iterdir()} == {
        ".json",
        ".yaml",
        ".parquet",
        ".safetensors",
    }
    assert all(os.access(file, os.R_OK) for file in saved.iterdir())
    assert saved.stat().st_mode & 0o777 == 0o777 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_same_contents_give_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    contents = some_contents()
    backwards = Contents(
        recipe=contents.recipe,
        tensors={name: dict(reversed(list(g.items()))) for name, g in contents.tensors.items()},
        arrays={name: dict(reversed(list(g.items()))) for name, g in contents.arrays.items()},
        tables=contents.tables,
        documents=contents.documents,
    )
    write(tmp_path / "one", contents)
    write(tmp_path / "two", backwards)
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == ["manifest.json"]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "RUN").symlink_to(tmp_path / "disk" / "real", target_is_directory=True)
    write(tmp_path / "RUN", Contents(RECIPE, facts={"n": 1}))
    write(tmp_path / "RUN", Contents(RECIPE, facts={"n": 2}))
    assert (tmp_path / "RUN").is_symlink()
    assert read(tmp_path / "disk" / "real").facts == {"n": 2}


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "a\\b"])
def test_a_part_cannot_be_named_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        write(tmp_path / "RUN", Contents(RECIPE, documents={f"{name}": 1}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "clash",
    [
        Contents(RECIPE, documents={"manifest": 1}),
        Contents(RECIPE, tensors={"w": {"a": torch.ones(1)}}, arrays={"w": {"a": np.ones(1)}}),
    ],
)
def test_two_parts_cannot_share_a_file(tmp_path: Path, clash: Contents) -> None:
    with pytest.raises(ValueError, match="names taken"):
        write(tmp_path / "RUN", clash)


# What is not whole is refused


def test_a_missing_folder_a_file_and_another_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "a web app"}')
    assert "found nothing" in refusal(tmp_path / "none")
    assert "a file" in refusal(tmp_path / "file")
    assert "not an mgrec artifact" in refusal(tmp_path / "home")
    assert "not of an mgrec artifact" in refusal(tmp_path / "other")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"kind": "mgrec art', "[" * 100_000, "\0\xff"])
def test_a_broken_manifest_is_refused(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text, encoding="latin-1")
    assert "manifest.json" in refusal(saved)


def test_a_newer_format_is_named_before_anything_else_is_judged(saved: Path) -> None:
    values = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(values | {"format": 2, "libraries": None}))
    assert "format 2, expected at most 1" in refusal(saved)


def test_a_changed_fact_is_refused(saved: Path) -> None:
    text = (saved / "manifest.json").read_text()
    (saved / "manifest.json").write_text(text.replace("0.0384", "0.0984"))
    assert "checksum" in refusal(saved)
    assert "checksum" in refusal(saved, read_manifest)


@pytest.mark.parametrize("name", ["../../secret.json", "/etc/hostname", "..", ".x.json"])
def test_a_manifest_cannot_point_out_of_the_folder(saved: Path, name: str) -> None:
    reseal(saved, files={name: {"sha256": "", "bytes": 0}})
    assert "no name for a file" in refusal(saved)


def test_a_manifest_of_another_shape_is_refused(saved: Path) -> None:
    reseal(saved, files=["model.safetensors"])
    assert "files" in refusal(saved)


def test_a_recipe_of_another_release_is_refused_by_its_field(saved: Path) -> None:
    reseal(saved, recipe=RECIPE.model_dump(mode="json") | {"sorcery": 1})
    assert "sorcery" in refusal(saved)


def test_each_missing_file_is_named(saved: Path) -> None:
    for file in sorted(read_manifest(saved).files):
        (saved / file).rename(saved / "away")
        assert f"{file}: missing" in refusal(saved)
        (saved / "away").rename(saved / file)
    read(saved)


def test_a_changed_byte_passes_only_where_verification_is_declined(saved: Path) -> None:
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (saved / "model.safetensors").write_bytes(data)
    message = refusal(saved)
    assert re.search(r"model\.safetensors: corrupt: found SHA-256 \w{12}, expected \w{12}", message)
    assert read(saved, verify=False).facts == some_contents().facts


def test_unreadable_files_are_refused_even_unverified(saved: Path) -> None:
    for file in ("model.safetensors", "items.parquet", "notes.json"):
        whole = (saved / file).read_bytes()
        (saved / file).write_bytes(b"\xff" * len(whole))
        assert f"{file}: corrupt" in refusal(saved, lambda path: read(path, verify=False))
        (saved / file).write_bytes(whole)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that the fuzz below breaks and mends."""
    path = tmp_path_factory.mktemp("fuzz") / "RUN"
    write(path, some_contents())
    return path


@settings(max_examples=150, deadline=None, database=None)
@given(draw=st.data())
def test_no_damage_to_any_file_goes_unnoticed(sound: Path, draw: st.DataObject) -> None:
    whole, manifest = snapshot(sound), read_manifest(sound)
    file = draw.draw(st.sampled_from(sorted(whole)))
    data = bytearray(whole[file])
    place = draw.draw(st.integers(0, len(data) - 1))
    if draw.draw(st.booleans()):
        data[place] ^= draw.draw(st.integers(1, 255))
    else:
        del data[place:]
    (sound / file).write_bytes(data)
    try:
        read(sound)
    except ArtifactError:
        refusal(sound)
    else:  # white space of the manifest, which says the same as before
        assert file == "manifest.json"
        assert read_manifest(sound) == manifest
    finally:
        (sound / file).write_bytes(whole[file])


# What is somebody else's is left alone


def test_a_folder_that_is_not_an_artifact_is_never_replaced(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "file"
    (home / "photos").mkdir(parents=True)
    (home / "photos" / "cat.jpg").write_bytes(b"meow")
    (home / "manifest.json").write_text('{"files": {"photos": 1}}')
    file.write_text("x")
    before = snapshot(tmp_path)
    for path in (home, file):
        for action in (check_place, lambda path: write(path, some_contents())):
            assert "expected a new or empty folder" in refusal(path, action)
    assert snapshot(tmp_path) == before


def test_an_artifact_whose_manifest_is_corrupt_is_not_replaced(saved: Path) -> None:
    (saved / "manifest.json").write_text("{")
    assert "expected a new or empty folder" in refusal(saved, check_place)


def test_new_empty_and_artifact_folders_are_good_places(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a" / "b", tmp_path / "empty", saved):
        check_place(path)
        write(path, Contents(RECIPE, facts={"n": 1}))
        assert read(path).facts == {"n": 1}
        assert own_names(path) == {"manifest.json", "recipe.yaml"}


def test_files_that_the_artifact_does_not_list_survive_a_save(saved: Path) -> None:
    (saved / "notes.txt").write_text("mine")
    (saved / "plots").mkdir()
    (saved / "plots" / "a.png").write_bytes(b"png")
    assert read(saved).seeds == {"split": 3}
    write(saved, Contents(RECIPE))
    assert own_names(saved) == {"manifest.json", "recipe.yaml", "notes.txt", "plots"}
    assert (saved / "plots" / "a.png").read_bytes() == b"png"


def test_leftovers_of_killed_saves_go_and_those_of_neighbours_stay(saved: Path) -> None:
    beside = saved.parent
    for name in (".RUN.0123abcd.tmp", ".RUN.x.0123abcd.tmp", ".RUN.notes.tmp", ".RUNS.old"):
        (beside / name).mkdir()
        (beside / name / "part").write_text("x")
    write(saved, some_contents())
    assert {entry.name for entry in beside.iterdir()} == {
        "RUN",
        ".RUN.x.0123abcd.tmp",
        ".RUN.notes.tmp",
        ".RUNS.old",
    }


# A save that fails or dies


@pytest.mark.parametrize(
    "large",
    [
        {"tensors": {"model": {"w": torch.ones(1 << 16)}}},
        {"arrays": {"model": {"w": np.ones(1 << 16)}}},
        {"tables": {"items": pl.DataFrame({"x": np.random.default_rng(0).random(1 << 16)})}},
        {"documents": {"items": "x" * (1 << 17)}},
    ],
    ids=lambda large: next(iter(large)),
)
def test_a_full_disk_is_one_line_and_leaves_the_old_one(saved: Path, large: dict) -> None:
    before = snapshot(saved)
    with full_disk(1 << 16):
        message = refusal(saved, lambda path: write(path, Contents(RECIPE, **large)))
    assert "could not be saved" in message
    assert without_live(snapshot(saved)) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["RUN"]


def test_a_swap_that_was_killed_halfway_is_read_at_once_and_undone_by_a_failing_save(
    saved: Path,
) -> None:
    before = snapshot(saved)
    saved.rename(saved.with_name(".RUN.old"))
    assert read(saved).fingerprint == "f00d"
    assert read_manifest(saved).fingerprint == "f00d"
    with pytest.raises(ValueError, match="no name"):
        write(saved, Contents(RECIPE, documents={"a/b": 1}))
    assert without_live(snapshot(saved)) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["RUN"]


def test_an_empty_folder_made_after_a_killed_swap_hides_nothing(saved: Path) -> None:
    saved.rename(saved.with_name(".RUN.old"))
    saved.mkdir()
    assert read(saved).fingerprint == "f00d"
    with pytest.raises(ValueError, match="no name"):
        write(saved, Contents(RECIPE, documents={"a/b": 1}))
    assert read(saved).fingerprint == "f00d"
    write(saved, Contents(RECIPE, fingerprint="new"))
    assert read(saved).fingerprint == "new"
    assert [entry.name for entry in saved.parent.iterdir()] == ["RUN"]


# A process that saves version after version, each in a child that it kills: after the given
# seconds, or at the given step, which is a call on a file of ours as Python's audit events tell it.
SAVER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, polars as pl, torch
from mgrec.artifact import Contents, write
from mgrec.recipe import Recipe

EVENTS = {"open", "os.mkdir", "os.rmdir", "os.rename", "os.remove"}
path, recipe = Path(sys.argv[1]).resolve(), Recipe()

def version(n):
    values = np.full(1000, n)
    return Contents(recipe, facts={"n": n}, tensors={"model": {"w": torch.from_numpy(values)}},
        arrays={f"only in {n}": {"w": values}}, tables={"items": pl.DataFrame({"w": values})})

def save(n, step, forever):
    count, parent = 0, os.getppid()
    def hook(event, arguments):
        nonlocal count
        # Relative to us, not to the libraries: deleting gives bare names within a folder of ours.
        ours = event in EVENTS and (path.parent / str(arguments[0])).is_relative_to(path.parent)
        if ours:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    write(path, version(n))
    while forever and os.getppid() == parent:
        n += 1
        write(path, version(n))
    os._exit(0)

for line in sys.stdin:
    n, step, seconds = line.split()
    child = os.fork()
    if child == 0:
        save(int(n), int(step), forever=float(seconds) > 0)
    if float(seconds) > 0:
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print({0: "done", -signal.SIGKILL: "killed"}.get(code, code), flush=True)
"""


class Saver:
    """The process above, and what is found of its work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, n: int, step: int = 0, seconds: float = 0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{n} {step} {seconds}\n")
        self.process.stdin.flush()

    def save(self, n: int, step: int = 0, seconds: float = 0) -> str:
        """Save version n and return whether that was "done" or "killed"."""
        assert self.process.stdout is not None
        self.order(n, step, seconds)
        return self.process.stdout.readline().strip()

    def found(self) -> int:
        """The version that is there, every part of which must be of it."""
        contents = read(self.path)
        n = int(contents.facts["n"])
        assert (contents.tensors["model"]["w"] == n).all()
        assert contents.tables["items"]["w"].unique().to_list() == [n]
        assert [*contents.arrays] == [f"only in {n}"]
        return n


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    saver = Saver(tmp_path / "RUN")
    yield saver
    saver.process.kill()
    saver.process.communicate()


def assert_tidy(path: Path, n: int) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == ["RUN"]
    names = {"items.parquet", f"only in {n}.safetensors", "model.safetensors"}
    assert own_names(path) == names | {"manifest.json", "recipe.yaml", "notes.txt"}
    assert own_names(path / "previous") > {"manifest.json", "items.parquet"}
    assert not (path / "previous" / "previous").exists()
    assert (path / "notes.txt").read_text() == "mine"


def test_a_save_killed_at_any_step_leaves_the_old_or_the_new_one(saver: Saver) -> None:
    assert saver.save(0) == "done"
    (saver.path / "notes.txt").write_text("mine")
    outcomes, n = [], 0
    for step in range(1, 1000):
        ended = saver.save(n + 1, step)
        outcomes.append(saver.found() - n)
        assert saver.save(n + 2) == "done"
        n += 2
        assert saver.found() == n
        assert_tidy(saver.path, n)
        if ended == "done":
            break
    assert step > 15  # the hook did see the save at work
    assert outcomes == sorted(outcomes)  # first the old one, and from one step on the new one
    assert set(outcomes) == {0, 1}


@pytest.mark.slow
def test_a_save_after_a_killed_save_may_be_killed_too(saver: Saver) -> None:
    assert saver.save(0) == "done"
    (saver.path / "notes.txt").write_text("mine")
    stride = 5 if os.environ.get("MGREC_SLOW") == "short" else 1
    n = 0
    for first in range(1, 1000, stride):
        for second in range(1 + first % stride, 1000, stride):
            ended = [saver.save(n + 1, first)]
            ended.append(saver.save(n + 2, second))
            assert n <= saver.found() <= n + 2
            if ended[1] == "done":
                break
        assert saver.save(n + 3) == "done"
        n += 3
        assert_tidy(saver.path, n)
        if ended[0] == "done":
            return
    pytest.fail("no save ever ended")


@pytest.mark.slow
def test_saves_killed_at_random_moments_lose_nothing(saver: Saver) -> None:
    assert saver.save(0) == "done"
    (saver.path / "notes.txt").write_text("mine")
    chance, before = random.Random(0), 0
    for _ in range(40 if os.environ.get("MGREC_SLOW") == "short" else 300):
        assert saver.save(before + 1, seconds=chance.uniform(0.005, 0.2)) == "killed"
        assert saver.found() >= before
        before = saver.found()
    assert saver.save(before + 1) == "done"
    assert_tidy(saver.path, before + 1)


@pytest.mark.slow
def test_reading_beside_a_writer_always_finds_a_whole_one(saver: Saver) -> None:
    assert saver.save(0) == "done"
    saver.order(1, seconds=60)
    found, begun = [0], time.monotonic()
    while found[-1] < 50 and time.monotonic() - begun < 50:
        found.append(saver.found())
    assert found[-1] >= 50 or len(set(found)) > 20
    assert found == sorted(found)
