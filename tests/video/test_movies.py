"""Frames by number, however a file is made up: the answer is that of decoding all of it."""

from __future__ import annotations

import time
from fractions import Fraction

import av
import numpy as np
import pytest

from diffsight.video.frames import read_frames
from diffsight.video.movies import decode, video_writer

LENGTH = 50


def write(path, codec, times, side=96, **options):
    """A video of a texture that moves, a frame at each of ``times`` (ms)."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (side // 8, side // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.pix_fmt, stream.height, stream.width = "rgb8" if codec == "gif" else "yuv420p", side, side
        for i, milliseconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(ground, 2 * i, axis=1)), format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def everything(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


EVEN = [40 * i for i in range(LENGTH)]
FILES = {
    "b-frames": ("v.mp4", "libx264", EVEN, {"g": "12", "bf": "3"}),
    "open groups": ("v.mp4", "libx264", EVEN, {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "one keyframe": ("v.mp4", "libx264", EVEN, {"g": "250"}),
    "uneven times": ("v.mkv", "libx264", [40 * i + i * i for i in range(LENGTH)], {"g": "7"}),
    "stream": ("v.ts", "libx264", EVEN, {"g": "12"}),
    "old": ("v.avi", "mpeg4", EVEN, {"g": "12"}),
    "palette": ("v.gif", "gif", EVEN, {}),
    "no times": ("v.h264", "libx264", EVEN, {"g": "12"}),
}


@pytest.mark.parametrize("kind", FILES)
def test_single_frames_are_those_of_the_whole(tmp_path, kind):
    name, codec, times, options = FILES[kind]
    path = write(tmp_path / name, codec, times, **options)
    whole = everything(path)
    assert len(whole) == LENGTH
    for wanted in ([0], [LENGTH - 1], [11, 12, 13], [0, 1, 30, 31, 47], [0, 14, 15, 36], range(LENGTH)):
        found = dict(decode(path, set(wanted).__contains__))
        assert list(found) == list(wanted)
        for number, frame in found.items():
            assert np.array_equal(frame.to_ndarray(format="rgb24"), whole[number]), (wanted, number)


def test_each_number_is_asked_of_once_and_none_from_the_stop_on(tmp_path):
    for name in ("v.mp4", "v.h264"):
        asked = []
        found = decode(write(tmp_path / name, "libx264", EVEN), lambda i, asked=asked: asked.append(i) or i > 3, 9)
        assert [number for number, _ in found] == [4, 5, 6, 7, 8]
        assert asked == list(range(9))


def test_what_lies_before_is_not_decoded(tmp_path):
    path = write(tmp_path / "v.mp4", "libx264", [40 * i for i in range(200)], side=320, g="20")

    def seconds(wanted):
        begin = time.process_time()
        assert list(decode(path, wanted))
        return time.process_time() - begin

    assert min(seconds({0, 199}.__contains__) for _ in range(3)) < 0.5 * seconds(lambda index: True)


def test_a_recording_that_begins_amid_a_group_counts_from_its_first_keyframe(tmp_path):
    path = write(tmp_path / "v.ts", "libx264", EVEN, g="12")
    content = path.read_bytes()
    (tmp_path / "late.ts").write_bytes(content[: 188 * 3] + content[188 * 12 :])  # the head, and what follows a cut
    found = list(decode(tmp_path / "late.ts", lambda index: True))
    assert [number for number, _ in found] == list(range(LENGTH - 12))
    for (_, frame), expected in zip(found, everything(path)[12:], strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected)


def test_the_same_pictures_give_the_same_file(tmp_path):
    """With x264's macroblock tree, which reads memory that it never wrote, a few runs in a hundred would differ."""
    files = set()
    for name in ("a.mp4", "b.mp4"):
        with video_writer(tmp_path / name, Fraction(10)) as add:
            for i in range(20):
                add(np.full((61, 80, 3), 10 * i, np.uint8))
        files.add((tmp_path / name).read_bytes())
    (content,) = files
    assert b" mbtree=0 " in content  # x264 notes its options in what it writes
    assert b" threads=1 " in content


def test_a_damaged_group_costs_only_its_own_frames(tmp_path):
    path = write(tmp_path / "v.mp4", "libx264", EVEN, g="10", bf="0")
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in places[23:25]:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    told: list[int] = []
    found = [frame.index for frame in read_frames(path, on_bad=lambda index, error: told.append(index))]
    assert sorted(found + told) == list(range(LENGTH))
    assert {23, 24} <= set(told) <= set(range(23, 30))
    rest = read_frames(path, wanted=lambda index: index >= 24, on_bad=lambda index, error: told.append(-index))
    assert [frame.index for frame in rest] == [0, *(i for i in found if i >= 24)]


def test_a_frame_that_was_decoded_with_errors_counts_as_damaged(tmp_path):
    path = write(tmp_path / "v.avi", "mpeg4", EVEN, g="10")
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][23]
    content = bytearray(path.read_bytes())
    content[position + size // 2 : position + size] = bytes(size - size // 2)
    path.write_bytes(content)
    told: dict[int, str] = {}
    found = [frame.index for frame in read_frames(path, on_bad=lambda index, error: told.update({index: str(error)}))]
    assert found == [i for i in range(LENGTH) if i != 23]
    assert told == {23: f"{path}, frame 23 is damaged (it was decoded with errors)"}
