from __future__ import annotations

import csv
import re

from diffsight.benchmarks.published import TABLE, all_published, published

NAMES = {"spair", "pf-pascal", "pf-willow", "cub", "ap-10k", "hpatches", "davis", "jhmdb", "coco-stuff", "cityscapes"}
CATEGORIES = 18


def test_the_table_has_its_columns_and_each_row_once():
    with TABLE.open(newline="", encoding="utf-8") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["method", "supervision", "benchmark", "split_or_note", "metric", "value", "source", "confidence"]
    assert len(set(map(tuple, rows))) == len(rows) == len(all_published()) > 300
    for row in rows:
        assert all(cell == cell.strip() for cell in row)


def test_rows_are_clean():
    for row in all_published():
        assert row.benchmark in NAMES, row
        assert row.confidence in ("verified", "secondary"), row
        assert re.fullmatch(r"PCK@0\.\d*[1-9]|AUC@[135]px|J&F|mIoU|ACC", row.metric), row
        assert 1 < row.value < 100, row  # percent; fractions would lie below
        assert row.method, row
        assert row.source, row
        assert ".md" not in row.split_or_note + row.source, row


def test_known_figures_are_found_with_their_protocol():
    rows = published("spair", "PCK@0.1")
    same_features = {(row.protocol, row.value) for row in rows if row.method == "DIFT" and row.confidence == "verified"}
    assert {("per image, bbox", 52.9), ("per point, bbox", 59.57), ("per point, image side", 66.53)} <= same_features
    (best,) = (row for row in published("davis", "J&F") if row.method == "DIFT (ADM)")
    assert best.value == 75.7
    assert best.protocol == "not stated"


def test_rows_of_single_categories_say_so():
    rows = [row for row in published("spair", "PCK@0.1") if row.method == "DIFT (SD)" and row.category]
    assert len({row.category for row in rows}) == len(rows) == CATEGORIES
    assert {row.protocol for row in rows} == {"per point, bbox"}
    assert not any(row.category for row in published("coco-stuff", "mIoU"))


def test_nothing_is_known_of_unknown_metrics():
    assert published("spair", "PCK@0.3") == published("nowhere", "mIoU") == ()
