from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from diffsight.app.clips import EXAMPLE, example_clip, open_clip, open_mask, open_photos
from diffsight.app.limits import MAX_CLIP_BYTES, MAX_FRAMES
from diffsight.errors import InvalidInput
from diffsight.video.frames import read_frames
from diffsight.video.movies import video_writer
from diffsight.world import make_clip

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


def film(path, frames, height=16, width=16):
    """A video of noise."""
    rng = np.random.default_rng(0)
    with video_writer(path, Fraction(12)) as add:
        for _ in range(frames):
            add(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    return path


def photo(path, height=16, width=24, level=80):
    pixels = np.full((height, width, 3), level, np.uint8)
    pixels[:4] = 200
    Image.fromarray(pixels).save(path)
    return path


def test_a_video_is_moved_into_a_folder_of_its_own(tmp_path, shelf):
    clip = open_clip(film(tmp_path / "a b.mp4", 5, 32, 48), shelf)
    assert (clip.name, clip.count, clip.rate, clip.first.size) == ("a b.mp4", 5, 12, (32, 48))
    assert not (tmp_path / "a b.mp4").exists()
    assert clip.source.parent == clip.folder
    assert clip.folder.parent == shelf
    assert len(clip.folder.name) == 32
    assert len(list(read_frames(clip.source))) == 5


def test_photos_come_in_the_order_of_their_names(tmp_path, shelf):
    paths = [photo(tmp_path / f"{i}.png", level=i) for i in (10, 9, 100)]
    clip = open_photos(paths, shelf)
    assert [int(frame.picture.array()[8, 8, 0]) for frame in read_frames(clip.source)] == [9, 10, 100]
    assert (clip.count, int(clip.first.array()[8, 8, 0])) == (3, 9)


def test_as_many_frames_as_allowed_and_not_one_more(tmp_path, shelf):
    assert open_clip(film(tmp_path / "a.mp4", MAX_FRAMES), shelf).count == MAX_FRAMES
    with pytest.raises(InvalidInput, match=rf"^b\.mp4 has more than {MAX_FRAMES} frames; send a shorter clip$"):
        open_clip(film(tmp_path / "b.mp4", MAX_FRAMES + 1), shelf)
    with pytest.raises(InvalidInput, match=f"^{MAX_FRAMES + 1} photos are more than the {MAX_FRAMES}"):
        open_photos([photo(tmp_path / "a.png")] * (MAX_FRAMES + 1), shelf)


def heavy(path):
    with path.open("wb") as handle:
        handle.truncate(MAX_CLIP_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("no video\n" * 50), "cannot be read as a video"),
        (lambda path: path.write_bytes(b""), "cannot be read as a video"),
        (lambda path: film(path, 1), "one frame only"),
        (lambda path: film(path, 2, 2002, 2002), "2002x2002, over 4 million pixels a frame; send a smaller one"),
        (heavy, "larger than 100 MB; send a shorter"),
    ],
    ids=["text", "empty", "one frame", "many pixels", "many bytes"],
)
def test_what_is_no_clip_is_refused_in_one_line(tmp_path, shelf, make, reason):
    make(tmp_path / "a.mp4")
    with pytest.raises(InvalidInput, match=rf"^a\.mp4 .*{reason}") as refused:
        open_clip(tmp_path / "a.mp4", shelf)
    assert str(tmp_path) not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(shelf.glob("*")) == []  # nothing is left behind


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "notes.txt"])
def test_files_that_name_others_are_not_opened(tmp_path, shelf, name):
    film(tmp_path / "secret.mp4", 3)
    lists = {"list.m3u8": PLAYLIST.format(tmp_path / "secret.mp4"), "list.ffconcat": "ffconcat version 1.0\nfile x\n"}
    (tmp_path / name).write_text(lists.get(name, "no video\n" * 50))
    with pytest.raises(InvalidInput, match=f"^{name} cannot be read as a video"):
        open_clip(tmp_path / name, shelf)


def test_photos_that_do_not_go_together_are_refused(tmp_path, shelf):
    (tmp_path / "sub").mkdir()
    small = photo(tmp_path / "1.png")
    with pytest.raises(InvalidInput, match="^frame 1 is 24x20, the first one 24x16"):
        open_photos([small, photo(tmp_path / "2.png", 20)], shelf)
    with pytest.raises(InvalidInput, match=r"^two photos are named 1\.png"):
        open_photos([photo(tmp_path / "1.png"), photo(tmp_path / "sub" / "1.png")], shelf)
    (tmp_path / "a.exe").write_text("no photo")
    with pytest.raises(InvalidInput, match=r"^a\.exe is not a photo"):
        open_photos([tmp_path / "a.exe"], shelf)
    (tmp_path / "a.png").write_text("no photo")
    with pytest.raises(InvalidInput, match=r"^a\.png is not a photo that can be read"):
        open_photos([tmp_path / "a.png"], shelf)
    with pytest.raises(InvalidInput, match=r"^a\.png has over 4 million pixels"):
        open_photos([photo(tmp_path / "a.png", 2002, 2002)], shelf)
    assert list(shelf.glob("*")) == []


def test_a_mask_is_read_and_its_file_deleted(tmp_path):
    Image.fromarray(np.eye(4, dtype=np.uint8) * 3).save(tmp_path / "mask.png")
    assert np.array_equal(open_mask(tmp_path / "mask.png"), np.eye(4) * 3)
    (tmp_path / "bad.png").write_text("no mask")
    with pytest.raises(InvalidInput, match=r"^bad\.png cannot be read as a mask"):
        open_mask(tmp_path / "bad.png")
    assert list(tmp_path.iterdir()) == []


def test_the_example_is_the_worlds_clip(shelf):
    clip, mask = example_clip(shelf)
    scenes = make_clip(*EXAMPLE)
    frames = [frame.picture.array() for frame in read_frames(clip.source)]
    assert clip.count == len(frames) == len(scenes)
    assert all(np.array_equal(frame, scene.image) for frame, scene in zip(frames, scenes, strict=True))
    assert np.array_equal(mask, scenes[0].instances)
