"""Looking names up on the disk: what is found, and that a short hostile text cannot make it long."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.gateway.leading import Disk, leads
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails.surroundings import NOWHERE
from guardhouse.guardrails.text import Examined
from tests.effort import within
from tests.guardrails.packs import shipped

PARTS = ["..", ".", "a", "b", "l", "m", "gone", "*", "l*", "[lm]", "?", "", "loop"]


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Folders with links between them: to a folder, a file, nothing and itself."""
    root = Path(os.path.realpath(tmp_path))
    for folder in ("a/b", "b"):
        (root / folder).mkdir(parents=True)
    for file in ("a/m", "b/l"):
        (root / file).write_text("x")
    (root / "l").symlink_to("a")
    (root / "m").symlink_to("a/m")
    (root / "a/l").symlink_to("../b")
    (root / "a/b/m").symlink_to("/nowhere")
    (root / "loop").symlink_to("loop")
    os.link(root / "b/l", root / "b/m")
    return root


def plainly(name: str, cwd: str) -> Iterator[tuple[str, str]]:
    """Every place that a name leads to, each looked up on its own."""
    path = os.path.join(cwd, name)
    folded = os.path.normpath(path)
    for one in (path, folded):
        if os.path.realpath(one) != folded:
            yield one, os.path.realpath(one)
    try:
        seen = os.stat(folded)
    except OSError:
        seen = None
    if seen is not None and os.path.isfile(folded) and seen.st_nlink > 1:
        yield folded, f"{seen.st_dev}:{seen.st_ino}"
    folder, last = os.path.split(folded)
    if set("*?[") & set(last) and not set("*?[") & set(folder) and os.path.isdir(folder):
        for entry in os.scandir(folder):
            if entry.is_symlink() and fnmatch.fnmatchcase(entry.name, last):
                yield entry.path, os.path.realpath(entry.path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5),
    cwd=st.sampled_from(["", "a", "a/b", "l", "a/l"]),
    rooted=st.booleans(),
)
def test_a_name_leads_where_it_leads_when_each_is_looked_up_on_its_own(
    ground: Path, parts: list[str], cwd: str, rooted: bool
) -> None:
    where = str(ground / cwd)
    name = f"{ground}/" * rooted + "/".join(parts)
    if not name or (name[:1] == "/" and not rooted):
        return
    found = set(leads((Examined("t", "", "file", cwd=where, file_paths=(name,)),), NOWHERE))
    wanted = {one for said in (where, name) for one in plainly(said, where)}
    real = {(os.path.normpath(path), place) for path, place in found}
    assert real <= {(os.path.normpath(path), place) for path, place in wanted}
    missed = {(os.path.normpath(path), place) for path, place in wanted} - real
    assert all(os.path.normpath(path) == place or not _through_a_link(path) for path, place in missed)


def _through_a_link(path: str) -> bool:
    """Whether the system meets a link on its way to a path."""
    parts = path.split("/")
    return any(os.path.islink("/".join(parts[: number + 1])) for number in range(1, len(parts)))


def test_no_folder_is_read_twice_for_one_call(ground: Path) -> None:
    texts = (Examined("t", " ".join(f"x{number}*" for number in range(300)), "shell", cwd=str(ground)),)
    read: list[str] = []
    scan = os.scandir

    def counting(path: str) -> Iterator[os.DirEntry[str]]:
        read.append(path)
        return scan(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", counting)
        disk = Disk()
        leads(placed(texts, NOWHERE, disk), NOWHERE, disk)
    assert read == [str(ground)]


def test_patterns_in_full_folders_take_bounded_work(tmp_path: Path) -> None:
    """2 KB of patterns, seen from five folders of links, took over a second on the event loop."""
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
        for number in range(400):
            (folder / f"link{number}").symlink_to(f"gone{number}")
    text = f"cd {' '.join(map(str, folders))}; rm " + " ".join(
        "*" * (1 + number % 9) + f"k{number}*" for number in range(150)
    )
    texts = (Examined("t", text, "shell", cwd=str(folders[0])),)

    def look() -> None:
        disk = Disk()
        leads(placed(texts, NOWHERE, disk), NOWHERE, disk)

    assert within(0.09, look)


@pytest.mark.parametrize("padding", ["names", "patterns", "folders", "links"])
def test_nobody_hides_a_name_behind_many_others(tmp_path: Path, padding: str) -> None:
    """What exceeds the bounds of looking up is asked about."""
    ground = Path(os.path.realpath(tmp_path))
    many = 600 if padding == "links" else 400
    for number in range(many):
        (ground / f"link{number}").symlink_to(f"gone{number}")
    hidden = {
        "names": " ".join(f"n{number}" for number in range(1_030)),
        "patterns": " ".join(f"*k{number}*" for number in range(60)),
        "folders": " ".join(f"f{number}/*" for number in range(12)),
        "links": "link*",
    }[padding]
    for number in range(12 if padding == "folders" else 0):
        (ground / f"f{number}").mkdir()
        for entry in range(800):
            (ground / f"f{number}" / f"e{entry}").touch()
    for text, crowded in ((f"ls {hidden} last*", True), ("ls link1 last*", False)):
        (one,) = placed((Examined("t", text, "shell", cwd=str(ground)),), NOWHERE)
        assert one.crowded is crowded
        assert bool({found.rule for found in shipped().examine((one,))} & {"execution.unknown.text"}) is crowded
