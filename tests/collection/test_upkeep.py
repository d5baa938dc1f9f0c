from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from diffsight.collection import shards, store
from diffsight.collection.store import Collection
from diffsight.collection.upkeep import repair, verify
from diffsight.errors import UnreadableFile

from .test_store import vectors


class Killed(BaseException):
    """Ends a run without letting it write or remove anything more."""


@pytest.fixture
def kill(monkeypatch):
    """End the run at a change of files: after some, nothing that it does reaches the disk any more."""

    def kill_after(changes: int):
        left = [changes]

        def limited(change):
            def run(*arguments, **options):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return change(*arguments, **options)

            return run

        patch = pytest.MonkeyPatch()
        patch.setattr(os, "replace", limited(os.replace))
        patch.setattr(Path, "unlink", limited(Path.unlink))
        return patch

    return kill_after


def whole(folder: Path) -> dict[str, torch.Tensor]:
    """What a collection holds, after checking that nothing is wrong with it."""
    assert verify(folder) == []
    return vectors(Collection(folder))


def copy(kept: Collection, name: str) -> Collection:
    import shutil

    return Collection(shutil.copytree(kept.folder, kept.folder.with_name(name)))


def shard(kept: Collection) -> Path:
    return next((kept.folder / "shards").iterdir())


@pytest.mark.parametrize("work", ["append", "delete"])
def test_a_run_killed_at_any_change_loses_nothing(kept, reader, photos, kill, monkeypatch, work):
    monkeypatch.setattr(store, "FLUSH", -1.0)
    before = vectors(kept)
    for changes in range(40):
        own = copy(kept, f"killed{changes}")
        patch, ended = kill(changes), False
        with patch.context(), suppress(Killed):
            own.append(reader, photos[:10]) if work == "append" else own.delete(["03.png"])
            ended = True
        patch.undo()
        listed = set(Collection(own.folder).index.names)  # also before it is repaired it can be used
        assert all(torch.equal(v, before[n]) for n, v in vectors(Collection(own.folder)).items() if n in before)
        repair(own.folder)
        found = whole(own.folder)
        assert set(found) >= listed
        assert all(torch.equal(found[name], v) for name, v in before.items() if name in found)
        if work == "append":
            assert set(found) >= set(before)
            Collection(own.folder).append(reader, photos[:10])
            assert set(whole(own.folder)) == {name for name, _ in photos[:10]}
        else:
            assert set(before) - set(found) <= {"03.png"}
        if ended:
            return
    pytest.fail("the run never came to its end")


def test_a_killed_creation_starts_again(tmp_path, reader, photos, kill):
    for changes in range(12):
        folder = tmp_path / str(changes)
        patch, ended = kill(changes), False
        with suppress(Killed):
            Collection.create(folder, reader, photos[:3], dims=4)
            ended = True
        patch.undo()
        if ended:
            return
        if (folder / "manifest.json").exists():
            whole(folder)
            continue
        assert len(Collection.create(folder, reader, photos[:3], dims=4)[0]) == 3
        repair(folder)
        assert len(whole(folder)) == 3
    pytest.fail("the run never came to its end")


@pytest.mark.parametrize("share", [0.9, 0.5, 0.0])
def test_a_shard_that_is_cut_off_gives_back_what_it_has(kept, reader, photos, share):
    before, path = vectors(kept), shard(kept)
    data = path.read_bytes()
    size = kept.manifest.photo_bytes
    path.write_bytes(data[: len(data) - 8 * size + int(share * 8) * size + 5])
    assert verify(kept.folder) == [f"{path.name}: damaged or cut off, with 8 photos"]
    (line,) = repair(kept.folder)
    found = whole(kept.folder)
    assert len(found) == int(share * 8)
    assert all(torch.equal(v, before[name]) for name, v in found.items())
    assert "add these again" in line
    assert all(name in line for name in set(before) - set(found))
    assert Collection(kept.folder).append(reader, photos[:8]).added == 8 - len(found)
    again = whole(kept.folder)
    assert all(torch.equal(v, before[name]) for name, v in again.items())


def test_a_flipped_bit_costs_one_photo(kept):
    path = shard(kept)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (line,) = repair(kept.folder)
    assert line.endswith("7 of 8 photos saved; add these again: 07.png")
    assert len(whole(kept.folder)) == 7


def test_a_missing_or_headless_shard_is_named(kept):
    path = shard(kept)
    path.write_bytes(b"\xff" * 300)
    assert "0 of 8 photos saved" in repair(kept.folder)[0]
    assert whole(kept.folder) == {}


def test_a_missing_shard_is_told(kept):
    shard(kept).unlink()
    assert "missing, with 8 photos" in verify(kept.folder)[0]
    assert "0 of 8 photos saved" in repair(kept.folder)[0]
    assert whole(kept.folder) == {}


@pytest.mark.parametrize("content", [b"", b"PAR1 no table", None])
def test_the_index_is_made_again(kept, content):
    before = vectors(kept)
    path = kept.folder / "index.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"diffsight collect repair"):
        Collection(kept.folder)
    assert "index.parquet" in verify(kept.folder)[0]
    repair(kept.folder)
    assert set(whole(kept.folder)) == set(before)


def test_what_cannot_be_mended_is_said(kept):
    (kept.folder / "basis.safetensors").write_bytes(b"damaged")
    assert "build the collection anew" in verify(kept.folder)[0]
    with pytest.raises(UnreadableFile, match="basis.safetensors is missing or damaged"):
        repair(kept.folder)
    (kept.folder / "manifest.json").write_text("{")
    with pytest.raises(UnreadableFile, match="manifest.json is damaged"):
        verify(kept.folder)


def test_a_whole_collection_is_left_as_it_is(kept):
    before = {path: path.stat().st_mtime_ns for path in kept.folder.rglob("*") if path.name != ".lock"}
    assert repair(kept.folder) == []
    assert before == {path: path.stat().st_mtime_ns for path in kept.folder.rglob("*") if path.name != ".lock"}


def test_what_a_killed_run_had_finished_is_not_read_again(tmp_path, kept, reader, photos):
    other, _ = Collection.create(tmp_path / "other", reader, photos[8:10], dims=12)
    ((rows, block),) = other.blocks()
    shards.write(kept.folder / "shards", kept.index.following, rows, block)  # and then it was killed
    assert "not in the index yet" in verify(kept.folder)[0]
    report = kept.append(reader, photos)
    assert (report.known, report.added) == (10, 2)
    assert len(whole(kept.folder)) == 12


def test_what_was_deleted_does_not_come_back(kept):
    path = shard(kept)
    data = path.read_bytes()
    kept.delete(["03.png"])
    path.write_bytes(data)  # the run was killed before it removed the shard
    assert "(replaced)" in verify(kept.folder)[0]
    assert repair(kept.folder) == [f"{path.name}: removed"]
    assert "03.png" not in whole(kept.folder)
