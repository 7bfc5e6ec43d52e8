"""A folder of pictures, one an item: what is there is taken, what is not is fetched by its link.

Only what decodes to a picture gets a name in the folder, and under that name it stands whole.
One run a folder at a time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urlsplit

from mgrec.content.fetching import Fetcher, FetchProblem, Limits
from mgrec.content.pictures import (
    Picture,
    PictureProblem,
    ahead,
    is_pixel,
    quiet,
    read_picture,
)
from mgrec.errors import MissingExtra
from mgrec.progress import bar

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
# An item and its new file's name, or what is wrong, or what went wrong here.
Result = tuple[str, tuple[str, str] | Exception]
_DRAFT = ".mgrec-draft-"
_SIDE = 16  # of the picture that is decoded to see whether it can be


@dataclass(frozen=True)
class Pictures:
    """What came of it.

    Attributes
    ----------
    files : dict
        Item id -> name of its file in the folder.
    problems : dict
        Item id -> why it has none.
    fetched : int
        How many of the files are new.
    """

    files: dict[str, str]
    problems: dict[str, str]
    fetched: int = 0

    def reasons(self) -> dict[str, int]:
        """Return how many items each reason concerns, the most frequent first."""
        return dict(Counter(self.problems.values()).most_common())


def gather(links: Mapping[str, str | None], folder: Path, limits: Limits | None) -> Pictures:
    """Take the pictures that are there and fetch the others.

    A file is an item's if it is called by the item's id, with any of `SUFFIXES`. One that is no
    whole picture counts as not there; it is replaced once its link gives a better one.

    Parameters
    ----------
    links : mapping
        Item id -> address of its picture, None where it has none.
    folder : Path
    limits : Limits or None
        None fetches nothing.

    Raises
    ------
    MissingExtra
        If pillow is not installed.
    OSError
        If a picture cannot be written.
    """
    if find_spec("PIL") is None:
        raise MissingExtra("pictures: PIL not installed. Run: pip install 'mgrec[encoders]'")
    _swept(folder)
    with quiet():
        files, problems = _there(links, folder)
        wanted = {} if limits is None else {i: u for i, u in links.items() if i in problems and u}
        fetched = _fetch(wanted, folder, limits) if limits and wanted else {}
    for item, (file, problem) in fetched.items():
        if problem:
            problems[item] = problem
        else:
            files[item] = file
            del problems[item]
    whole = {item: files[item] for item in links if item in files}
    return Pictures(whole, problems, sum(not problem for _, problem in fetched.values()))


def mirror(names: Iterable[str], source: Path, target: Path) -> None:
    """Let files of one folder stand in another too: the same bytes, or copies on another disk."""
    _swept(target)
    for name in names:
        old, new, draft = source / name, target / name, target / f"{_DRAFT}{name}"
        if new.exists() and _alike(old.stat(), new.stat()):
            continue
        try:
            os.link(old, draft)
        except OSError:  # another disk, or one without links
            shutil.copy2(old, draft)
        draft.replace(new)


def _alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two files are the same, or one is a copy of the other."""
    same = os.path.samestat(one, other)
    return same or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _swept(folder: Path) -> None:
    """Make a folder, or delete what a killed run left half written in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(f"{_DRAFT}*"):
        draft.unlink()


def stem(item: str) -> str:
    """Return what an item's file is called, whatever its id holds."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", item):
        return item
    return hashlib.sha256(item.encode()).hexdigest()[:32]


def refusal(source: Picture) -> str:
    """Return why something is no picture to learn from; empty where it is one."""
    try:
        read_picture(source, _SIDE)
    except PictureProblem as problem:
        return problem.kind
    # Picture servers answer so for what they do not have any more.
    return "a single pixel" if is_pixel(source) else ""


def _there(links: Mapping[str, str | None], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the items' files in the folder, and why the others have none."""
    names: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - a Path a picture costs more
        front, suffix = os.path.splitext(name)  # noqa: PTH122
        if suffix.lower() in SUFFIXES:
            names.setdefault(front, []).append(name)
    found = [(item, name) for item in links for name in names.get(stem(item), ())]
    files: dict[str, str] = {}
    problems = {item: "no file" if link else "no link" for item, link in links.items()}
    with bar("checking pictures", len(found), "pictures") as progress:
        judged = ahead(refusal, (folder / name for _, name in found))
        for (item, name), reason in zip(found, judged, strict=True):
            progress.advance()
            if reason:
                problems[item] = reason
            else:
                files.setdefault(item, name)
    return files, {item: why for item, why in problems.items() if item not in files}


def _fetch(links: Mapping[str, str], folder: Path, limits: Limits) -> dict[str, tuple[str, str]]:
    """Return each item's new file, or why there is none."""
    fetcher = Fetcher(limits)
    waiting = deque(links.items())
    results: SimpleQueue[Result] = SimpleQueue()
    work = partial(_work, fetcher, folder, waiting, results)
    done: dict[str, tuple[str, str]] = {}
    broken = 0
    try:
        with bar("fetching pictures", len(links), "pictures") as progress:
            # Daemons, unlike a pool's threads, do not hold up a program that is interrupted.
            for _ in range(min(limits.workers, len(links))):
                Thread(target=work, daemon=True).start()
            for _ in links:
                item, found = _next(results)
                if isinstance(found, Exception):
                    raise found
                done[item] = found
                broken += bool(found[1])
                progress.advance()
                progress.note(f"{broken:,} broken")
    finally:
        fetcher.stop.set()
    return done


def _next(results: SimpleQueue[Result]) -> Result:
    """Return the next result; wakes now and then, for a blocked thread may sleep through Ctrl-C."""
    while True:
        try:
            return results.get(timeout=0.5)
        except Empty:
            continue


def _work(
    fetcher: Fetcher, folder: Path, waiting: deque[tuple[str, str]], results: SimpleQueue[Result]
) -> None:
    """Fetch what is waiting until nothing is, or until the fetcher is stopped."""
    while waiting and not fetcher.stop.is_set():
        try:
            item, link = waiting.popleft()
        except IndexError:  # another thread was faster
            return
        try:
            results.put((item, _fetch_one(fetcher, folder, item, link)))
        except Exception as error:  # a full disk, say: for the main thread to raise
            results.put((item, error))


def _fetch_one(fetcher: Fetcher, folder: Path, item: str, link: str) -> tuple[str, str]:
    """Fetch one picture; returns its file's name and what is wrong, one of them empty."""
    try:
        body = fetcher.fetch(link)
    except FetchProblem as problem:
        return "", problem.kind
    if reason := refusal(body):
        return "", reason
    suffix = os.path.splitext(urlsplit(link).path)[1].lower()  # noqa: PTH122
    name = stem(item) + (suffix if suffix in SUFFIXES else ".jpg")
    draft = folder / f"{_DRAFT}{name}"
    with draft.open("wb") as stream:
        stream.write(body)
        # Else a power cut could leave the name and lose the bytes.
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / name)
    return name, ""
