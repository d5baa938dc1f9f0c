"""The counts and the table behind ``make bench``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import table
import work


def test_products_and_fused_attention_are_counted_forwards_and_backwards():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert work.counted(lambda: a @ b) == 2 * 3 * 4 * 5
    query, key = torch.randn(2, 3, 64, 8), torch.randn(2, 3, 32, 8)
    once = 4 * 2 * 3 * 64 * 32 * 8
    with torch.no_grad():
        assert work.counted(lambda: F.scaled_dot_product_attention(query, key, key)) == once
    query.requires_grad_()
    both = work.counted(lambda: F.scaled_dot_product_attention(query, key, key).sum().backward())
    assert both == once + once * 5 // 2


def test_propagation_counts_the_pairs_within_the_window():
    grid, radius = (5, 7), 2
    cells = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    pairs = sum(abs(a - c) <= radius and abs(b - d) <= radius for a, b in cells for c, d in cells)
    assert work.of_propagation(grid, 16, 3, radius, 2)["flops"] == 2 * 16 * 3 * pairs


@pytest.fixture
def report():
    own = {"seconds": 2.0, "peak_mib": 10.0, "work": {"flops": 4e9, "bytes": 1e9}}
    machine = {"float32": 8e9, "bfloat16": 16e9, "bandwidth": 10e9}
    part = {"what": "A part", "notes": {"maps": 3.0}, "literal": {"seconds": 10.0, "peak_mib": 99.0}, "diffsight": own}
    part |= {"ratio": 5.0, "largest_difference": 0.0, "rates": table.rates(part, machine)}
    facts = {"date": "2026-11-22", "GPU": "no GPU at hand"}
    return {"environment": facts, "machine": machine, "parts": {"part": part}, "alone": {}}


def test_rates_are_shares_of_what_the_machine_can_do(report):
    assert report["parts"]["part"]["rates"] == {
        "flops_per_second": 2e9,
        "share_of_products": 0.25,
        "bytes_per_second": 0.5e9,
        "share_of_bandwidth": 0.05,
    }


def test_every_line_of_the_table_is_as_wide_and_the_json_holds_the_same(report, tmp_path):
    table.save(report, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| what") or line.startswith("| A part")]
    assert [line.count("|") for line in rows] == [len(table.COLUMNS) + 1] * 2
    assert "no GPU at hand" in text
    assert "at 16 in bf16" in text
    assert json.loads((tmp_path / "table.json").read_text()) == report
    del report["parts"]["part"]["diffsight"]["work"]
    report["parts"]["part"]["rates"] = table.rates(report["parts"]["part"], report["machine"])
    assert table.row(report["parts"]["part"]).count("|") == len(table.COLUMNS) + 1


def test_a_processor_without_bfloat16_has_no_rate_of_it(report):
    del report["machine"]["bfloat16"]
    assert "at 8 GFLOP/s in fp32 and not in bf16 by itself" in table.markdown(report)
