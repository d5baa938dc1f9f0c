from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.video.frames import frame_count, frame_names, frame_rate, read_frames
from diffsight.video.movies import video_writer


def ramp(index, height=61, width=81):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x * 3 + index * 12) % 256, (y * 4) % 256, x + y], axis=2).astype(np.uint8)


def write(path, pictures, rate=10):
    with video_writer(path, Fraction(rate)) as add:
        for picture in pictures:
            add(picture)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(12):
        Image.fromarray(ramp(index)).save(tmp_path / "in" / f"f{index}.png")
    return tmp_path / "in"


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_video_comes_back(tmp_path, ending):
    path = write(tmp_path / f"v.{ending}", [ramp(i) for i in range(7)])
    found = list(read_frames(path))
    assert [frame.index for frame in found] == list(range(7))
    assert frame_rate(path) == 10
    assert frame_count(path) in (7, None)
    for frame in found:
        pixels = frame.picture.array()[:61, :81].astype(int)
        assert np.abs(pixels - ramp(frame.index)).mean() < 6
        assert np.abs(pixels - ramp(frame.index + 3)).mean() > 9


def test_a_folder_is_read_in_the_order_of_its_numbers(folder):
    found = list(read_frames(folder))
    assert [np.array_equal(frame.picture.array(), ramp(frame.index)) for frame in found] == [True] * 12
    assert frame_count(folder) == 12
    assert frame_names(folder, [2, 10]) == ["f2.png", "f10.png"]


def test_frames_can_begin_and_end_anywhere(folder, tmp_path):
    assert [frame.index for frame in read_frames(folder, start=3, stop=6)] == [3, 4, 5]
    path = write(tmp_path / "v.mp4", [ramp(i) for i in range(9)])
    whole, part = list(read_frames(path)), list(read_frames(path, start=5))
    assert [frame.index for frame in part] == [5, 6, 7, 8]
    assert all(np.array_equal(a.picture.array(), b.picture.array()) for a, b in zip(whole[5:], part, strict=True))
    cases = ((12, None, "no frame 12: the video has 12"), (3, 3, "are none"), (-1, None, "are none"))
    for start, stop, message in cases:
        with pytest.raises(InvalidInput, match=message):
            list(read_frames(folder, start=start, stop=stop))


def test_what_is_not_wanted_is_not_loaded(folder):
    (folder / "f4.png").write_bytes(b"no photo")
    found = read_frames(folder, wanted=lambda index: index % 2 == 1)
    assert [frame.index for frame in found] == [0, 1, 3, 5, 7, 9, 11]


def test_an_iterable_is_read_one_by_one():
    given = iter([ramp(0), ramp(1)])
    frames = read_frames(given)
    assert next(frames).index == 0
    assert np.array_equal(next(given), ramp(1))


def test_damaged_frames_stop_or_are_told(folder):
    (folder / "f4.png").write_bytes(b"no photo")
    Image.fromarray(ramp(0, 20, 30)).save(folder / "f7.png")
    with pytest.raises(UnreadableFile, match="f4.png"):
        list(read_frames(folder))
    with pytest.raises(InvalidInput, match="frame 7 is 30x20, the first one 81x61"):
        list(read_frames(folder, start=5))
    told = []
    found = list(read_frames(folder, on_bad=lambda index, error: told.append(index)))
    assert told == [4, 7]
    assert [frame.index for frame in found] == [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
    with pytest.raises(UnreadableFile):  # what is to be followed stands in the first one
        list(read_frames(folder, start=4, on_bad=lambda index, error: None))


def test_a_damaged_place_of_a_video_is_told_and_the_count_goes_on(tmp_path, rng):
    path = write(tmp_path / "v.mp4", [rng.integers(0, 255, (60, 80, 3), np.uint8) for _ in range(20)])
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 3000] = bytes(3000)
    path.write_bytes(content)
    told = []
    found = [frame.index for frame in read_frames(path, on_bad=lambda index, error: told.append(index))]
    assert told
    assert sorted(found + told) == list(range(20))
    with pytest.raises(UnreadableFile, match="is damaged"):
        list(read_frames(path))


def test_a_video_lying_on_its_side_is_read_upright(tmp_path):
    path = tmp_path / "v.mp4"
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:10] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 60, 80
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    (frame,) = read_frames(path)
    assert frame.picture.size == (80, 60)
    assert frame.picture.array()[:, :8].mean() > 200  # turned counterclockwise, the top is at the left
    assert frame.picture.array()[:, 20:].mean() < 50


def test_what_is_no_video_is_refused(tmp_path):
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    whole = write(tmp_path / "v.mp4", [ramp(i) for i in range(5)])
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "none").mkdir()
    for name, message in (
        ("sound.wav", "holds no pictures, only audio"),
        ("cut.mp4", "cannot be read as a video"),
        ("empty.mp4", "cannot be read as a video"),
        ("missing.mp4", "does not exist"),
        ("none", "holds no frames"),
    ):
        with pytest.raises(UnreadableFile, match=message):
            list(read_frames(tmp_path / name))


def test_a_video_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), video_writer(tmp_path / "v.mp4", Fraction(10)) as add:
        add(ramp(0))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInput, match="use .mp4 or .gif"), video_writer(tmp_path / "v.avi", Fraction(10)):
        pass
