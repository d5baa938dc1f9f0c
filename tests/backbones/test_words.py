from __future__ import annotations

import pytest
import torch

from diffsight.backbones.words import WordTable
from diffsight.errors import InvalidInput


@pytest.fixture
def table():
    torch.manual_seed(0)
    return WordTable(["bird", "red", "wing"], width=8, length=6)


def test_fillers_do_not_count(table):
    ids = table.tokenize(["a photo of a bird", "bird", "Bird!", ""])
    assert torch.equal(ids[0], ids[1])
    assert torch.equal(ids[0], ids[2])
    assert ids[3].tolist() == [0, 1, 1, 1, 1, 1]


def test_a_noun_knows_its_adjective(table):
    red, plain = table(table.tokenize(["red wing", "bird wing"]))
    assert not torch.allclose(red[2], plain[2])


def test_long_texts_are_cut(table):
    assert table.tokenize(["bird " * 50]).shape == (1, 6)


def test_unknown_words_are_named(table):
    with pytest.raises(InvalidInput, match="'zebra'.*bird, red, wing"):
        table.tokenize(["a red zebra"])


def test_saved_and_loaded_is_the_same(table, tmp_path):
    table.save_pretrained(tmp_path)
    again = WordTable.from_pretrained(tmp_path)
    ids = table.tokenize(["red bird"])
    assert torch.equal(table(ids), again(ids))
