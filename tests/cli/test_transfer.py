from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from diffsight.cli import run
from diffsight.transfer.annotations import Annotations
from diffsight.transfer.coco import write_coco

from ..transfer.worlds import album, paint
from .test_cli import fails

OUTPUTS = ("annotations.json", "label_studio.json", "cvat.xml", "annotations.csv", "review.html")
OPTIONS = ["--model", "pocket", "--device", "cpu", "--no-flip", "--to", "new"]


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Three annotated faces in ``old``, four to label in ``new``, one of them annotated, and two runs on them."""
    home = tmp_path_factory.mktemp("home")
    old = [paint(home / "old", f"{seed}.png", seed) for seed in range(3)]
    new = [paint(home / "new", name, seed) for name, seed in (("a.png", 3), ("b ü.png", 4), ("c.png", 5))]
    shutil.copy(home / "old" / "2.png", home / "new" / "known.png")
    write_coco(album(old), home / "old" / "marks.json")
    write_coco(album(new), home / "truth.json")
    with contextlib.chdir(home):
        assert run(transfer("--out", "one")) == 0
        assert run(transfer("--out", "nearest", "--votes", "1")) == 0
    return home


@pytest.fixture
def here(painted, tmp_path, monkeypatch):
    """A copy of it all."""
    shutil.copytree(painted, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def transfer(*more: object, references: str = "old/marks.json") -> list[str]:
    return ["transfer", references, *OPTIONS, *map(str, more)]


def content(folder: Path) -> dict[str, bytes]:
    """All that a run wrote."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[str, int]:
    """When each photo was labelled."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "state").iterdir()}


def coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def objects(folder: Path) -> dict[str, list]:
    """The objects of a run's COCO file by photo."""
    found = coco(folder / "annotations.json")
    return {own["file_name"]: found.imgToAnns[number] for number, own in found.imgs.items()}


def corrected(folder: Path, name: str, by: float) -> Path:
    """A run's COCO file in which a photo's first point is moved."""
    facts = json.loads((folder / "annotations.json").read_text())
    number = next(own["id"] for own in facts["images"] if own["file_name"] == name)
    own = next(own for own in facts["annotations"] if own["image_id"] == number)
    own["keypoints"][0] += by
    own["keypoints"][2] = 2
    path = folder.parent / "corrected.json"
    path.write_text(json.dumps(facts))
    return path


def test_every_tool_can_load_what_was_found(here):
    assert set(OUTPUTS) <= {path.name for path in (here / "one").iterdir()}
    found = objects(here / "one")
    assert list(found) == ["a.png", "b ü.png", "c.png", "known.png"]
    assert all(len(own) == 1 and 0 < own[0]["score"] <= 1 for name, own in found.items() if name != "known.png")
    tasks = json.loads((here / "one" / "label_studio.json").read_text())
    assert len(tasks) == 4
    assert len(ElementTree.parse(here / "one" / "cvat.xml").findall("image")) == 4
    rows = list(csv.DictReader((here / "one" / "annotations.csv").open(encoding="utf-8")))
    assert [row["image"] for row in rows] == list(found)
    page = (here / "one" / "review.html").read_text(encoding="utf-8")
    assert all(name in page for name in found)


def test_a_photo_that_is_a_reference_has_its_marks_and_is_not_labelled(here):
    assert set(times(here / "one")) == {"a.png", "b ü.png", "c.png"}
    (own,) = objects(here / "one")["known.png"]
    given = coco(here / "old" / "marks.json")
    number = next(number for number, photo in given.imgs.items() if photo["file_name"] == "2.png")
    assert own["keypoints"] == given.imgToAnns[number][0]["keypoints"]
    assert "score" not in own


def test_a_second_run_changes_nothing(here):
    before, when = content(here / "one"), times(here / "one")
    assert run(transfer("--out", "one")) == 0
    assert content(here / "one") == before
    assert times(here / "one") == when


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(here):
    """The process ends for good as it is about to write the state of another photo."""
    code = (
        "import os, signal, sys\n"
        "from diffsight.transfer import folder\n"
        "save, left = folder.save_tensors, int(sys.argv[1])\n"
        "def killed(tensors, path, *rest):\n"
        "    global left\n"
        "    if not left:\n"
        "        path.parent.mkdir(parents=True, exist_ok=True)\n"
        "        (path.parent / '.half.part').write_bytes(b'half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left -= 1\n"
        "    save(tensors, path, *rest)\n"
        "folder.save_tensors = killed\n"
        "import torch; torch.set_num_threads(int(sys.argv[2]))\n"
        "from diffsight.cli import run; sys.exit(run(sys.argv[3:]))\n"
    )
    start = [sys.executable, "-c", code, "2", str(torch.get_num_threads())]
    done = subprocess.run([*start, *transfer("--out", "two")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((here / "two" / "state").glob("*.safetensors"))) == 2
    assert not (here / "two" / "annotations.json").exists()
    assert run(transfer("--out", "two")) == 0
    (here / "two" / "state" / ".half.part").unlink()
    assert content(here / "two") == content(here / "one")


def test_other_settings_want_another_folder(here, capsys):
    before = content(here / "one")
    for more in (["--votes", "2"], ["--seed", "1"], ["--masks"], ["--abstain-below", "0.5"], ["--preset", "plain"]):
        assert "another run" in fails(capsys, *transfer("--out", "one", *more))
    (here / "one" / "run.json").unlink()
    assert "no run.json" in fails(capsys, *transfer("--out", "one"))
    assert content(here / "one") == {name: own for name, own in before.items() if name != "run.json"}


def test_a_replaced_a_new_and_a_removed_photo(here):
    when = times(here / "one")
    shutil.copy(here / "old" / "0.png", here / "x.png")
    Image.open(here / "new" / "c.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(here / "new" / "a.png")
    paint(here / "new", "a.jpg", 9)
    (here / "new" / "c.png").rename(here / "c.png")
    assert run(transfer("--out", "one")) == 0
    assert list(objects(here / "one")) == ["a.jpg", "a.png", "b ü.png", "known.png"]
    now = times(here / "one")
    assert {name for name in when if now[name] != when[name]} == {"a.png"}
    (here / "c.png").rename(here / "new" / "c.png")
    assert run(transfer("--out", "one")) == 0
    assert times(here / "one") == now
    assert "c.png" in objects(here / "one")


def test_photos_that_cannot_be_read_are_named(here, capsys):
    (here / "new" / "a.png").write_bytes(b"no photo")
    Image.new("RGB", (1, 1)).save(here / "new" / "dot.png")
    assert run(transfer("--out", "one")) == 1
    printed = capsys.readouterr().out
    assert "skipped: new/a.png is not a photo" in printed
    assert "skipped: new/dot.png is of one colour" in printed
    assert list(objects(here / "one")) == ["b ü.png", "c.png", "known.png"]


def test_a_folder_of_photos_that_cannot_be_read(here, capsys):
    for path in (here / "new").iterdir():
        path.write_bytes(b"")
    assert run(transfer("--out", "two")) == 1
    assert capsys.readouterr().out.count("skipped: new/") == 4
    assert objects(here / "two") == {}


def test_marks_as_they_were_found_are_no_correction(here, capsys):
    before = content(here / "one")
    assert run(transfer("--out", "one", "--add", "one/annotations.json")) == 0
    assert "0 corrected photos" in capsys.readouterr().out
    assert content(here / "one") == before
    assert run(transfer("--out", "one", "--add", "one/annotations.csv")) == 0
    assert "0 corrected photos" in capsys.readouterr().out


def test_a_correction_is_final_and_redoes_what_it_votes_on(here, capsys):
    path = corrected(here / "nearest", "a.png", 3.0)
    shutil.copy(here / "new" / "a.png", here / "old" / "twin.png")
    image = np.asarray(Image.open(here / "new" / "a.png")).copy()
    image[:4, :4] = 0
    Image.fromarray(image).save(here / "new" / "like a.png")
    near = ["--out", "nearest", "--votes", "1"]
    assert run(transfer(*near)) == 0
    when = times(here / "nearest")
    assert run(transfer(*near, "--add", path)) == 0
    assert "1 corrected photos" in capsys.readouterr().out
    now = times(here / "nearest")
    redone = {name for name in when if now[name] != when[name]}
    assert "like a.png" in redone
    assert len(redone) < len(when) - 1
    wanted = json.loads(path.read_text())["annotations"][0]["keypoints"]
    (own,) = objects(here / "nearest")["a.png"]
    assert own["keypoints"] == wanted
    assert "score" not in own
    before = content(here / "nearest")
    assert run(transfer(*near)) == 0
    assert content(here / "nearest") == before
    assert times(here / "nearest") == now
    assert run(transfer(*near, "--add", path)) == 0
    assert "0 corrected photos" in capsys.readouterr().out
    assert content(here / "nearest") == before
    Image.fromarray(image).save(here / "new" / "a.png")
    assert "another photo than was corrected" in fails(capsys, *transfer(*near))


def test_corrections_that_do_not_fit_are_refused_before_any_is_kept(here, capsys):
    before = content(here / "one")
    path = corrected(here / "one", "a.png", 3.0)
    facts = json.loads(path.read_text())

    def refused(change, *reasons):
        changed = json.loads(json.dumps(facts))
        change(changed)
        (here / "bad.json").write_text(json.dumps(changed))
        line = fails(capsys, *transfer("--out", "one", "--add", path, "--add", "bad.json"))
        assert all(reason in line for reason in reasons), line
        assert content(here / "one") == before

    refused(lambda own: own["annotations"][0]["keypoints"].__setitem__(1, 60.0), "a.png is marked twice")
    refused(lambda own: own["annotations"][3]["keypoints"].__setitem__(0, 60.0), "2.png", "known.png", "one photo")
    refused(lambda own: own["annotations"][0]["keypoints"].__setitem__(0, 600.0), "outside the photo")
    refused(lambda own: own["images"][0].update(file_name="gone.png"), "gone.png", "is not in new")
    refused(lambda own: own["categories"][0].update(name="Face"), "marks Face, the references face")
    refused(lambda own: own.pop("categories"), "bad.json")
    paint(here / "new" / "in", "d.png", 7)
    refused(lambda own: own["images"][0].update(file_name="in/d.png"), "in/d.png", "none of the photos to label")


def test_a_damaged_state_says_what_to_do(here, capsys):
    before = content(here / "one")
    state = here / "one" / "state" / "a.png.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    line = fails(capsys, *transfer("--out", "one"))
    assert "a.png.safetensors is damaged" in line
    assert "delete it" in line
    state.unlink()
    assert run(transfer("--out", "one")) == 0
    assert content(here / "one") == before


def test_who_is_never_sure_enough_leaves_points_to_others(here):
    assert run(transfer("--out", "two", "--abstain-below", "1.0", "--review", "2")) == 0
    found = objects(here / "two")
    assert all(own["num_keypoints"] == 0 for name in ("a.png", "c.png") for own in found[name])
    assert len(list((here / "two" / "review").iterdir())) == 2


def test_masks_are_found_if_asked_for(here):
    assert not any(own["segmentation"] for name, (own,) in objects(here / "one").items() if name != "known.png")
    assert run(transfer("--out", "two", "--masks")) == 0
    found = coco(here / "two" / "annotations.json")
    masks = [found.annToMask(own) for own in found.anns.values() if own["segmentation"]]
    assert len(masks) > 1
    assert all(mask.shape == (128, 128) and mask.any() for mask in masks)


def test_only_one_category(here, capsys):
    both = [paint(here / "both", "0.png", 0, ("dog", "fish"))]
    write_coco(album(both), here / "both.json")
    more = ["--photos", "both", "--out", "two", "--review", "0", "--category", "fish"]
    assert run(transfer(*more, references="both.json")) == 0
    assert [own["name"] for own in coco(here / "two" / "annotations.json").cats.values()] == ["fish"]
    assert not (here / "two" / "review.html").exists()
    capsys.readouterr()
    assert "no category 'cat'" in fails(capsys, *transfer(*more, "--category", "cat", references="both.json"))
    write_coco(Annotations(album(both).categories, ()), here / "none.json")
    assert "no reference shows 'fish'" in fails(capsys, *transfer(*more, references="none.json"))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--to", "gone"], "--to gone is no folder"),
        (["--to", "new/a.png"], "--to new/a.png is no folder"),
        (["--to", "empty"], "empty holds no photos"),
        (["--out", "new/out"], "lies in the folder of photos"),
        (["--out", "old"], "old/marks.json lies in --out old"),
        (["--out", "old/marks.json"], "is a file"),
        (["--votes", "0"], "use 1 or more"),
        (["--preset", "worst"], "use plain or best"),
        (["--abstain-below", "2"], "use 0 to 1"),
        (["--review", "-1"], "use 0 or more"),
        (["--segmenter", "pocket"], "give --masks too"),
        (["--category", "dog"], "no category 'dog'; they have face"),
        (["--photos", "new"], "names the photo '0.png', which is not in new"),
        (["--model", "gone"], "gone"),
        (["--engine", "cloud"], "local or ray"),
        (["--workers", "2"], "engine local is one worker"),
        (["--calibration", "truth.json"], "truth.json is no calibration"),
        (["--add", "gone.json"], "gone.json"),
        (["--add", "new/a.png"], "a.png"),
        (["--set", "shape=-1"], "-1"),
    ],
)
def test_what_does_not_suit_is_said_in_a_line_and_writes_nothing(here, capsys, more, reason):
    (here / "empty").mkdir()
    before = content(here)
    line = fails(capsys, *transfer("--out", "two", *more))
    assert reason in line
    assert content(here) == before


def test_references_that_contradict(here, capsys):
    facts = json.loads((here / "old" / "marks.json").read_text())
    facts["annotations"][0]["keypoints"][0] += 5
    (here / "old" / "other.json").write_text(json.dumps(facts))
    line = fails(capsys, *transfer("old/other.json", "--out", "two"))
    assert "old/0.png is marked twice, and not alike" in line


def test_names_that_no_tool_can_hold(here, capsys):
    (here / "new" / "a\tb.png").write_bytes((here / "new" / "a.png").read_bytes())
    assert "control characters" in fails(capsys, *transfer("--out", "two"))
    assert not (here / "two").exists()


def test_a_disk_that_is_full_leaves_what_was_there(here, capsys, monkeypatch):
    path = corrected(here / "one", "a.png", 3.0)
    before = content(here / "one")
    replaced = os.replace

    def full(source, target):
        if str(target).endswith("cvat.xml"):
            raise OSError(28, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert run(transfer("--out", "one", "--add", path)) == 2
    assert "No space left" in capsys.readouterr().err
    assert not [name for name in content(here / "one") if name.endswith("part") or ".part" in name]
    assert content(here / "one")["cvat.xml"] == before["cvat.xml"]
    monkeypatch.setattr(os, "replace", replaced)
    assert run(transfer("--out", "one")) == 0
    (own,) = objects(here / "one")["a.png"]
    assert own["keypoints"] == json.loads(path.read_text())["annotations"][0]["keypoints"]


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'diffsight[ray]'")
def test_many_workers_write_the_same_bytes(here):
    assert run(transfer("--out", "two", "--engine", "ray", "--workers", "2")) == 0
    assert content(here / "two") == content(here / "one")
