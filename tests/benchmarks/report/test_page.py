from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diffsight.benchmarks.report.page import data_uri, literal, write_report
from diffsight.benchmarks.report.run import ScoredRun
from diffsight.benchmarks.summary import Figure, Summary
from diffsight.cli import run
from diffsight.datasets import benchmark
from diffsight.errors import InvalidInput, OutputFailed, UnreadableFile

from .runs import COMMAND, points_run, save_run, segments_run

EMPTY = {"meta", "img", "br", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Reads a page, and that its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [facts for name, facts in self.tags if name == tag]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    benchmark("spair").write_world(root, 1, 1)
    return root


def test_runs_of_two_benchmarks_become_one_page_and_markdown(tmp_path, tree, capsys):
    folders = [points_run(tmp_path / "a", tree), points_run(tmp_path / "b", tree, noise=14, method="prompt")]
    folders.append(segments_run(tmp_path / "c"))
    out = tmp_path / "report"
    assert run(["report", *map(str, folders), "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "report.html"), str(out / "report.md")]
    page, text = Page((out / "report.html").read_text()), (out / "report.md").read_text()
    for part in ("3 runs of SPair-71k", "measured here, 2026-11-21", COMMAND, "0123abcd", "f00dcafe", "52.9"):
        assert part in page.text
        assert literal(part) in text
    assert len(page.all("section")) == text.count("\n## ") == 2
    assert len(page.all("table")) == text.count("\n### ") == 4 + 4
    assert len(page.all("img")) == 2 * 3 * 3  # no picture of the benchmark that is gone
    assert "No pictures: " in page.text
    bars = [facts["style"] for facts in page.all("td") if facts.get("class") == "number bar"]
    assert len(bars) >= 2 * 12
    assert all(re.fullmatch(r"--share: [01]\.\d{4}", bar) for bar in bars)
    assert len([svg for svg in page.all("svg") if "role" in svg]) == 2
    assert "| **23.5** | **diffseg · pocket** |" in text


def test_the_page_needs_no_other_file_and_no_script(tmp_path, tree):
    page = Page(write_report([points_run(tmp_path / "a", tree)], tmp_path)[0].read_text())
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    for image in page.all("img"):
        head, _, data = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).format == "JPEG"
    assert not any("href" in facts for _, facts in page.tags)


def test_equal_runs_give_equal_files(tmp_path, tree):
    folder = points_run(tmp_path / "a", tree)
    first, second = (write_report([folder], tmp_path / name) for name in ("x", "y"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_whatever_a_run_is_called_is_escaped(tmp_path):
    bad = "<script>alert('&')</script>|`*_[x](y)"
    summary = Summary(bad, bad, bad, 1, ((bad, 1),), (Figure(bad, bad, 1.0, main=True),), ((bad, 1, 1.0),))
    folder = save_run(tmp_path / "a", summary, tmp_path / bad, model=bad, method=bad)
    html, markdown = (path.read_text() for path in write_report([folder], tmp_path))
    page = Page(html)
    assert page.all("script") == []
    assert bad in page.text
    assert "<script>" not in html + markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = {line.replace("\\|", "").count("|") for line in lines if "settings" in line}
    assert cells == {3}


def test_a_run_without_tables_or_environment_is_reported_by_its_summary(tmp_path):
    summary = Summary("spair", "test", "dift", 12_234, (), (Figure("PCK@0.1", "per point", 50.0, main=True),), ())
    folder = save_run(tmp_path / "a", summary, tmp_path / "gone")
    (folder / "environment.json").unlink()
    page = Page(write_report([folder], tmp_path / "out")[0].read_text())
    assert "not recorded" in page.text
    assert "No pictures: the run holds no scores of single samples." in page.text
    assert "By category" not in page.text


def test_a_run_knows_its_folder(tmp_path, tree):
    own = ScoredRun.load(points_run(tmp_path / "a", tree))
    ids = [score.id for score in own.scores[:2]]
    answers = own.answers(ids)
    assert list(answers) == ids
    pairs = benchmark("spair").samples(tree)
    assert answers[ids[0]].matched.size == pairs[0].target.keypoints.size
    assert own.label == "dift · pocket"
    assert dict(own.config)["settings.reading.timestep"] == "261"


def test_labels_of_photos_and_clips_are_found(tmp_path):
    folder = segments_run(tmp_path / "a")
    (folder / "labels" / "clip").mkdir(parents=True)
    names = ["photo.png", "clip/00000.png", "clip/00001.png"]
    for name in names:
        Image.new("L", (2, 2)).save(folder / "labels" / name)
    own = ScoredRun.load(folder)
    assert own.labels("photo") == (folder / "labels/photo.png",)
    assert own.labels("clip") == tuple(folder / "labels" / name for name in names[1:])
    assert own.labels("none") == ()


def test_matrices_are_read_where_there_are_any(tmp_path):
    folder = segments_run(tmp_path / "a")
    rows = [{"id": "a", "matrix": np.eye(3).ravel().tolist()}, {"id": "b", "matrix": None}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    answers = ScoredRun.load(folder).answers(["a", "b"])
    np.testing.assert_array_equal(answers["a"].matrix, np.eye(3))
    assert answers["b"].matrix is None


def spoil_scores(folder):
    pq.write_table(pa.Table.from_pylist([{"id": "a", "category": "b"}]), folder / "scores.parquet")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is no run folder, as it has no config.json"),
        (
            lambda folder: (folder / "summary.json").unlink(),
            "is not scored yet; run `diffsight bench score .*a`",
        ),
        (lambda folder: (folder / "summary.json").write_text('{"benchmark": '), "summary.json is no summary of a run"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json holds no facts by name"),
        (lambda folder: (folder / "environment.json").write_text("{"), "cannot read .*environment.json"),
        (lambda folder: (folder / "scores.parquet").write_bytes(b"PAR1"), "cannot read .*scores.parquet"),
        (spoil_scores, "scores.parquet has no column 'score'"),
    ],
)
def test_damaged_runs_are_refused_by_one_line_and_nothing_is_written(tmp_path, capsys, spoil, message):
    folder = segments_run(tmp_path / "a")
    spoil(folder)
    with pytest.raises(UnreadableFile, match=message):
        write_report([folder], tmp_path / "out")
    assert run(["report", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_damaged_predictions_cost_the_pictures_only(tmp_path, tree):
    folder = points_run(tmp_path / "a", tree)
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    page = Page(write_report([folder], tmp_path / "out")[0].read_text())
    assert "No pictures: cannot read" in page.text
    assert page.all("img") == []


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputFailed, match="out is a file; choose another folder"):
        write_report([segments_run(tmp_path / "a")], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_no_run_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no run given"):
        write_report([], tmp_path)


def test_pictures_are_shrunk_and_text_is_kept():
    assert len(data_uri(Image.new("RGB", (2000, 1000)))) < 5000
    assert literal("a\nb | <c>") == "a b \\| &lt;c&gt;"
    assert literal("plain, text 1.5") == "plain, text 1.5"
