from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from diffsight.collection import shards, store
from diffsight.collection.basis import compact
from diffsight.collection.store import Collection
from diffsight.collection.upkeep import verify, writing
from diffsight.collection.work import Recipe, Spread
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.images import load_picture
from diffsight.readers import ModelReader

from .conftest import HERE


class Counting(ModelReader):
    """Counts the photos that it reads."""

    count = 0

    def read(self, pictures):
        self.count += len(pictures)
        return super().read(pictures)


def vectors(kept: Collection) -> dict[str, torch.Tensor]:
    return {e.name: v.clone() for rows, block in kept.blocks() for e, v in zip(rows, block, strict=True)}


@pytest.mark.parametrize("numbers", ["int8", "float16"])
def test_vectors_are_the_projected_features(tmp_path, reader, photos, numbers):
    kept, _ = Collection.create(tmp_path / "c", reader, photos[:4], dims=12, numbers=numbers)
    kept.append(reader, photos)
    assert len(kept) == len(photos)
    found = vectors(Collection(tmp_path / "c"))
    for name, path in photos:
        reading = reader.read([load_picture(path)])[0]
        expected = kept.basis.project(compact(reading), reading.fit).flatten(1).T
        own = kept.manifest.unpack(found[name])
        torch.testing.assert_close(own, expected, atol=0.006, rtol=0)
    assert kept.manifest.photo_bytes == found["00.png"].nbytes


def test_nothing_is_read_twice(tmp_path, reader, photos):
    counting = Counting(reader.backbone, reader.settings)
    kept, _ = Collection.create(tmp_path / "c", counting, photos[:8], dims=4)
    report = kept.append(counting, photos)
    assert (report.added, report.known, counting.count) == (4, 8, 12)
    shutil.copy(photos[0][1], tmp_path / "copy.png")
    report = Collection(tmp_path / "c").append(counting, [*photos, ("copy.png", tmp_path / "copy.png")])
    assert (report.added, report.known, counting.count) == (0, 13, 12)
    twice, _ = Collection.create(tmp_path / "twice", counting, [photos[0], ("copy.png", tmp_path / "copy.png")], dims=4)
    assert (len(twice), counting.count) == (1, 13)


def test_what_cannot_be_added_is_told(tmp_path, kept, reader, photos):
    (tmp_path / "other").mkdir()
    same_name = shutil.copy(photos[9][1], tmp_path / "other" / "00.png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no photo")
    given = [("00.png", same_name), ("a.png", tmp_path / "a.png"), ("b.png", tmp_path / "b.png"), photos[10]]
    report = kept.append(reader, given)
    assert (report.added, report.known, len(report.skipped)) == (1, 0, 3)
    assert "another photo named '00.png'" in report.skipped[0]
    assert str(photos[0][1]) in report.skipped[0]
    assert "a.png is not a photo" in report.skipped[1]
    assert len(Collection(kept.folder)) == 9


def test_another_reader_is_refused_by_name(kept, reader, photos, tiny_sd):
    other = ModelReader.open(tiny_sd, **{**HERE, "timestep": 3})
    with pytest.raises(InvalidInput, match=f"{reader.name} at other weights, number format or settings"):
        kept.append(other, photos)
    with pytest.raises(InvalidInput, match=r"built with pocket, not with .*sd; use --model pocket"):
        replace(kept.manifest, model="pocket").check(reader, kept.folder)


def test_one_run_writes_at_a_time(kept, reader, photos):
    with writing(kept.folder), pytest.raises(InvalidInput, match="being written by another run"):
        kept.append(reader, photos)


def test_deleted_photos_leave_nothing(kept, reader, photos):
    before = vectors(kept)
    with pytest.raises(InvalidInput, match=r"no photo named '0.png'; did you mean 0\d\.png"):
        kept.delete(["01.png", "0.png"])
    assert len(kept) == 8
    kept.delete(["01.png", "05.png"])
    again = Collection(kept.folder)
    assert set(vectors(again)) == set(before) - {"01.png", "05.png"}
    assert all(torch.equal(v, before[name]) for name, v in vectors(again).items())
    written = b"".join(path.read_bytes() for path in (kept.folder / "shards").iterdir())
    assert before["01.png"].numpy().tobytes() not in written
    assert before["02.png"].numpy().tobytes() in written
    assert verify(kept.folder) == []
    again.delete(list(again.index.names))
    assert len(Collection(kept.folder)) == 0
    assert again.append(reader, photos).added == 12


def test_shards_are_joined(kept, reader, photos, monkeypatch):
    monkeypatch.setattr(store, "FLUSH", -1.0)
    monkeypatch.setattr(shards, "PHOTOS", 5)
    before = vectors(kept)
    kept.append(reader, photos)
    assert [len(rows) for _, rows in kept.index.shards()] == [8, 4]  # a shard of another size is left as it is
    kept.delete(["00.png"])
    assert sorted(len(rows) for _, rows in kept.index.shards()) == [2, 4, 5]
    found = vectors(Collection(kept.folder))
    assert all(torch.equal(found[name], v) for name, v in before.items() if name != "00.png")
    assert verify(kept.folder) == []


def test_shards_hang_on_the_photos_alone(tmp_path, reader, photos, monkeypatch):
    """However often was written: only the numbers in front of their names tell that."""
    monkeypatch.setattr(shards, "PHOTOS", 4)
    monkeypatch.setattr(store, "SAMPLE", 3)
    found = []
    for seconds in (600.0, -1.0):
        monkeypatch.setattr(store, "FLUSH", seconds)
        kept, report = Collection.create(tmp_path / str(seconds), reader, photos[:11], dims=12)
        assert (report.added, report.known) == (11, 0)
        found.append([(name.split("-")[1], [row.name for row in rows]) for name, rows in kept.index.shards()])
    assert found[0] == found[1]
    assert [len(names) for _, names in found[0]] == [4, 4, 3]


def test_a_worker_with_other_weights_is_refused(kept, reader, photos, tiny_sd):
    elsewhere = Recipe(lambda: ModelReader.open(tiny_sd, **{**HERE, "timestep": 3}), reader.fingerprint, None, set())
    with pytest.raises(InvalidInput, match=r"a worker has other weights of .*sd than the command"):
        elsewhere()
    with pytest.raises(InvalidInput, match="give open_reader, too"):
        kept.append(reader, photos, Spread("ray"))


def test_photos_that_were_moved_are_found_again(tmp_path, reader, photos):
    (tmp_path / "in").mkdir()
    there = [(name, shutil.copy(path, tmp_path / "in" / name)) for name, path in photos[:3]]
    kept, _ = Collection.create(tmp_path / "c", reader, there, dims=4)
    (tmp_path / "in").rename(tmp_path / "moved")
    kept.append(reader, [("02.png", tmp_path / "moved" / "02.png")])
    paths = [entry.path for entry in Collection(tmp_path / "c").index.entries]
    assert paths == [str(tmp_path / "in" / "00.png"), str(tmp_path / "in" / "01.png"), str(tmp_path / "moved/02.png")]


def test_a_folder_of_other_things_is_not_written_to(tmp_path, reader, photos, kept):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"holds other files \(notes.txt\)"):
        Collection.create(tmp_path / "mine", reader, photos)
    with pytest.raises(InvalidInput, match="is a collection already"):
        Collection.create(kept.folder, reader, photos)
    with pytest.raises(InvalidInput, match="900 dimensions"):
        Collection.create(tmp_path / "new", reader, photos, dims=900)
    with pytest.raises(UnreadableFile, match="no photo can be read"):
        Collection.create(tmp_path / "new", reader, [("a.png", tmp_path / "a.png")], dims=4)
    with pytest.raises(UnreadableFile, match="is no collection"):
        Collection(tmp_path / "mine")
