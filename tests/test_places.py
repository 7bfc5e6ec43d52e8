"""Where something is written: what may be replaced, with which permissions, and on a full disk."""

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mgrec
from mgrec import Recommender, artifact
from mgrec.content.cache import VectorCache
from mgrec.content.encoding import encode_texts
from mgrec.errors import ArtifactError, MgrecError, RecipeError, RequestError, StorageError
from mgrec.folders import new_file
from mgrec.manifest import checksum
from mgrec.model.checkpoint import Checkpoint
from mgrec.serving.live import Live
from mgrec.study.inspection import inspection
from tests.content.encoder import CountingEncoder
from tests.disk import full_disk

TREE = {
    "device": lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3)),
    "pipe": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "folder": lambda path: (path.mkdir(), (path / "mine").write_text("mine")),
    "link to a pipe": lambda path: (os.mkfifo(path.parent / "p"), path.symlink_to("p")),
    "link in a circle": lambda path: path.symlink_to(path.name),
}


@pytest.fixture(params=TREE)
def occupied(request, tmp_path, monkeypatch) -> Path:
    """A path at which there is something that no output may replace."""
    monkeypatch.chdir(tmp_path)
    if request.param == "device" and os.geteuid():
        pytest.skip("only root makes devices")
    TREE[request.param](Path("OUT"))
    return Path("OUT")


def kind(path: Path) -> int:
    return stat.S_IFMT(path.lstat().st_mode)


WRITERS: dict[str, Callable[[Recommender, Path], object]] = {
    "save": lambda made, out: made.save(out),
    "recommend_all": lambda made, out: made.recommend_all(out, 3),
    "inspect": lambda made, out: inspection(made, export=out),
    "checkpoint": lambda made, out: Checkpoint(out, "0" * 64).save({}, "x" * 1000),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_output_replaces_nothing_but_files_and_artifacts(trained, occupied, writer):
    before = kind(occupied)
    if writer == "checkpoint" and before == stat.S_IFDIR:
        pytest.skip("checkpoints go into a folder")
    with pytest.raises(MgrecError) as caught:
        WRITERS[writer](trained, occupied)
    assert "\n" not in str(caught.value)
    assert kind(occupied) == before
    assert [e.name for e in Path().iterdir() if e.name.endswith((".tmp", ".old"))] == []


@pytest.mark.parametrize("place", ["/", "/tmp/..", "a\udcffb/RUN", "RUN\udcff"])
def test_a_place_that_no_artifact_can_have_is_one_line(trained, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    for use in (trained.save, mgrec.load, artifact.restore):
        with pytest.raises(ArtifactError) as caught:
            use(Path(place))
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_link_to_a_file_is_followed_and_stays(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "OUT").symlink_to("real")
    with new_file(tmp_path / "OUT") as draft:
        draft.write_text("new")
    assert (tmp_path / "OUT").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_place_that_cannot_be_written_is_known_before_any_work(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "RUN", tmp_path / "file" / "deep" / "RUN"):
        with pytest.raises(ArtifactError, match="found a file"):
            artifact.check_place(out)
    with pytest.raises(ArtifactError):
        artifact.check_place(tmp_path / ("x" * 300))
    with pytest.raises(ArtifactError, match="mount point"):
        artifact.check_place(mounted())


def mounted() -> Path:
    """Some mount point that is an empty folder."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = Path(line.split()[4])
        try:
            if path.is_dir() and not any(path.iterdir()):
                return path
        except OSError:
            continue
    pytest.skip("no empty mount point here")


# Permissions


@pytest.fixture(params=[0o022, 0o027])
def umask(request) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_gets_the_permissions_of_the_umask(trained, data, tiny, umask, tmp_path):
    out = tmp_path / "out"
    Recommender.fit(data, tiny("text", "training.epochs=1"), out=out / "fit", cache=out / "cache")
    trained.save(out / "RUN")
    live = Live.open(out / "RUN")
    vector = {"text": (["x"], np.ones((1, trained.catalogue.vectors["text"].dim)))}
    live.add_items(pl.DataFrame({"item_id": ["x"]}), embeddings=vector)
    live.recommender.save(out / "RUN")
    artifact.restore(out / "RUN")
    trained.recommend_all(out / "all.parquet", 3)
    inspection(trained, export=out / "ids.parquet")
    Checkpoint(out / "checkpoints", "0" * 64).save({}, 1)
    encode_texts(["words"], CountingEncoder(), cache=out / "cache")
    entries = [out, *out.rglob("*")]
    assert len(entries) > 40
    for entry in entries:
        wanted = (0o777 if entry.is_dir() else 0o666) & ~umask
        assert oct(stat.S_IMODE(entry.stat().st_mode)) == oct(wanted), entry


# A full disk


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_nothing(trained, tmp_path, writer):
    with full_disk(300), pytest.raises(StorageError, match=os.strerror(errno.EFBIG)) as caught:
        WRITERS[writer](trained, tmp_path / "OUT")
    assert "\n" not in str(caught.value)
    assert [e for e in tmp_path.iterdir() if e.name != "OUT" or writer != "checkpoint"] == []


def test_a_full_disk_leaves_the_version_before(trained, tmp_path):
    trained.save(tmp_path / "RUN")
    live = Live.open(tmp_path / "RUN")
    live.remove_items(["i01"])
    dim = trained.catalogue.vectors["text"].dim
    vector = {"text": (["x"], np.ones((1, dim)))}
    for change in (
        lambda: live.add_items(pl.DataFrame({"item_id": ["x"]}), embeddings=vector),
        lambda: live.remove_items(["i02"]),
    ):
        with full_disk(300), pytest.raises(StorageError, match=os.strerror(errno.EFBIG)):
            change()
        assert live.version == Live.open(tmp_path / "RUN").version == 1


@pytest.mark.usefixtures("shown")
def test_a_full_cache_costs_one_warning(tmp_path, capsys):
    texts = [f"text {n}" for n in range(200)]
    with full_disk(300):
        found = encode_texts(texts, CountingEncoder(), batch=4, cache=tmp_path)
    assert found.embeddings.present.all()
    assert " ".join(capsys.readouterr().err.split()).count("cannot be written") == 1


# A fit into the folder of another


@pytest.mark.usefixtures("shown")
def test_a_fit_is_not_replaced_unless_asked(data, tiny, tmp_path, capsys):
    first, second = tiny("text", "training.epochs=1"), tiny("text", "training.epochs=1", "seed=5")
    run = tmp_path / "RUN"
    made = Recommender.fit(data, first, out=run)
    (run / "report.html").write_text("of the first")
    again = Recommender.fit(data, first, out=run)
    assert "this fit is finished, nothing to do" in capsys.readouterr().err
    assert again.fingerprint == made.fingerprint
    assert (run / "report.html").exists()
    for other in (lambda: Recommender.fit(data, second, out=run), lambda: final(data, first, run)):
        with pytest.raises(ArtifactError, match=r"artifact of another fit.*--replace"):
            other()
    assert not (tmp_path / "RUN.checkpoints").exists()
    Live.open(run).remove_items(["i01"])
    Recommender.fit(data, second, out=run, replace=True)
    assert mgrec.load(run).recipe.seed == 5
    assert mgrec.load(run).catalogue.listed.all()
    assert not (run / "report.html").exists()
    before = mgrec.load(run / "previous")
    assert (before.recipe.seed, int(before.catalogue.listed.sum())) == (0, 89)
    artifact.restore(run)
    assert mgrec.load(run).recipe.seed == 0
    assert not mgrec.load(run).catalogue.listed.all()
    assert (run / "report.html").read_text() == "of the first"
    with pytest.raises(RequestError, match="roll back the changes first"):
        artifact.restore(run)
    Live.open(run).rollback()
    artifact.restore(run)
    assert mgrec.load(run).recipe.seed == 5


def final(data, recipe, run: Path) -> Recommender:
    return Recommender.fit(data, recipe, out=run, final=True)


def test_rollback_without_changes_brings_the_artifact_before_back(trained, tmp_path):
    run = tmp_path / "RUN"
    trained.save(run)
    replace(trained, fingerprint="second").save(run)
    Live.open(run).remove_items(["i01"])
    command = [sys.executable, "-c", "from mgrec.cli import main; main()", "rollback", str(run)]
    for words, fingerprint in (("1 items added", "second"), ("the previous artifact", "")):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert words in done.stdout
        assert mgrec.load(run).fingerprint == (fingerprint or trained.fingerprint)


# Encoders of an artifact from anybody


def test_the_encoder_of_an_artifact_is_loaded_by_consent_only(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MGREC_CACHE", str(tmp_path / "cache"))
    run, model = tmp_path / "RUN", tmp_path / "model"
    model.mkdir()
    recipe = trained.recipe.override([f"content.text_encoder={model}"])
    trained.save(run)
    named(run, recipe, {"name": str(model), "revision": "r", "dim": 32})
    new = pl.DataFrame({"item_id": ["x"]})
    for add in (Live.open(run).add_items, mgrec.load(run).add_items):
        with pytest.raises(RecipeError, match=f"not used it before.*--encoder {model}"):
            add(new)
    with pytest.raises(RecipeError, match="revision"):  # it was looked at, and is another
        Live.open(run, [str(model)]).add_items(new)
    VectorCache.of(None, "text", str(model), "r").folder.mkdir(parents=True)
    with pytest.raises(RecipeError, match="revision"):  # this account has encoded with it
        Live.open(run).add_items(new)
    named(run, recipe, {"name": "another", "revision": "r", "dim": 32})
    with pytest.raises(RecipeError, match="vectors were made with 'another'"):
        Live.open(run, [str(model)]).add_items(new)


def named(run: Path, recipe, encoder: dict[str, object]) -> None:
    """Let an artifact name an encoder."""
    values = json.loads((run / "manifest.json").read_text())
    values.pop("checksum")
    values |= {"recipe": recipe.model_dump(mode="json"), "encoders": {"text": encoder}}
    (run / "manifest.json").write_text(json.dumps(values | {"checksum": checksum(values)}))
