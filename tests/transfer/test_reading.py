from __future__ import annotations

import pytest

from diffsight.errors import UnreadableFile
from diffsight.transfer.coco import write_coco
from diffsight.transfer.reading import read_annotations
from diffsight.transfer.tables import write_keypoint_table


def test_the_content_tells_the_format_whatever_the_name(album, folder):
    write_coco(album, folder / "marks.csv")
    write_keypoint_table(album, folder / "marks.json")
    assert read_annotations(folder / "marks.csv").categories == album.categories
    assert read_annotations(folder / "marks.json").photos[2].name == "c.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read annotations from .*a\.json: No such file"),
        (b"\xff\xfe\x00\x80", "cannot read annotations from"),
        (b'{"images": [', r"a\.json is no whole JSON"),
        (b"[" * 100_000, "is no whole JSON"),
        (b"[1, 2]", "JSON of neither COCO"),
        (b'{"a": 1}', "JSON of neither COCO"),
    ],
)
def test_files_that_are_none_of_these(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=message):
        read_annotations(path)
