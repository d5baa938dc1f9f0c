from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffsight.backbones.base import ReadSettings
from diffsight.errors import InvalidInput
from diffsight.probe import Probe
from diffsight.readers import ModelReader, Stages
from diffsight.types import Taps

SETTINGS = ReadSettings("up1", timestep=50, ensemble=2, size=(128, 128), fit="pad")
NAMES = ("up2.a1", "up1.a1", "up0.r1")


@pytest.mark.parametrize("even", [False, True])
def test_stages_are_those_of_one_pass_on_the_finest_grid(even, diffusion, pictures):
    reader = Stages(diffusion, SETTINGS, NAMES, even=even)
    for reading, whole in zip(
        reader.read(pictures), Probe(diffusion).read(pictures, SETTINGS, Taps(NAMES)), strict=True
    ):
        assert [whole.grid(name)[0] for name in NAMES] == [8, 4, 2]
        maps = [F.interpolate(whole.feature(name)[None], (8, 8), mode="bilinear")[0] for name in NAMES]
        torch.testing.assert_close(
            reading.feature("+".join(NAMES)), torch.cat([F.normalize(m, dim=0) if even else m for m in maps])
        )
        assert reading.fit == whole.fit
        assert reading.feature().shape[0] == reader.channels[0] == 192


def test_the_network_runs_once_for_all_stages(diffusion, pictures, monkeypatch):
    read, rows = diffusion.read, []
    monkeypatch.setattr(diffusion, "read", lambda latent, *rest: rows.append(len(latent)) or read(latent, *rest))
    Stages(diffusion, SETTINGS, NAMES).read(pictures)
    assert sum(rows) == 2 * SETTINGS.ensemble


def test_the_taps_of_sd_dino_are_those_of_its_paper(diffusion):
    modules = {tap.name: tap.module for tap in diffusion.taps.features}
    assert [modules[name] for name in NAMES] == [
        "up_blocks.2.attentions.1",
        "up_blocks.1.attentions.1",
        "up_blocks.0.resnets.1",
    ]


def test_the_fingerprint_follows_stages(diffusion):
    readers = [
        ModelReader(diffusion, SETTINGS),
        Stages(diffusion, SETTINGS, NAMES),
        Stages(diffusion, SETTINGS, NAMES, even=True),
        Stages(diffusion, SETTINGS, NAMES[:2]),
    ]
    assert len({reader.fingerprint for reader in readers}) == 4


def test_an_unknown_stage(diffusion):
    with pytest.raises(InvalidInput, match="no stage 'up9'"):
        Stages(diffusion, SETTINGS, ("up1", "up9"))
