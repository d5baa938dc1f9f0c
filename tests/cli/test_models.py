from __future__ import annotations

import pytest

from diffsight.backbones.cards import CARDS
from diffsight.backbones.weights import NETWORKS
from diffsight.cli import run


@pytest.mark.parametrize("columns", ["30", "80", "200"])
def test_nothing_is_cut_off_whatever_the_width(capsys, hub, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert run(["models"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    for card in CARDS.values():
        assert set(f"{card.name} {card.licence} {card.about}".split()) <= set(out.split())
    assert run(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert {network.variable for network in NETWORKS.values()} <= set(out.split())
