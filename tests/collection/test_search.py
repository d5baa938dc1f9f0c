from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsight.collection.search import search
from diffsight.collection.store import Collection
from diffsight.errors import InvalidInput
from diffsight.images import load_picture
from diffsight.matching.nearest import TargetMap


def test_a_point_is_found_in_its_own_photo(kept, reader, photos):
    for name, path in photos[:3]:
        picture = load_picture(path)
        height, width = picture.size
        point = np.array([0.3 * width, 0.6 * height])
        vector = kept.describe(reader.read([picture])[0], point[None])[0]
        best = search(kept, vector, 1)[0]
        assert best.entry.name == name
        assert best.cosine > 0.99
        assert np.abs(np.array(best.point) - point).max() <= 2


def test_every_photo_is_ranked_by_its_best_place(tmp_path, reader, photos):
    """Of the whole photo at full resolution, computed one photo at a time."""
    kept, _ = Collection.create(tmp_path / "c", reader, photos, dims=12, numbers="float16")
    reading = reader.read([load_picture(photos[11][1])])[0]
    vector = kept.describe(reading, np.array([[30.0, 20.0]]))[0]
    expected = {}
    for rows, block in kept.blocks():
        for entry, vectors in zip(rows, block, strict=True):
            features = vectors.float().T.unflatten(1, kept.manifest.grid)
            axes = entry.fit.pixel_rows(kept.manifest.grid), entry.fit.pixel_columns(kept.manifest.grid)
            place, score = TargetMap.prepare(features).nearest(vector[None], *axes)
            expected[entry.name] = (float(score[0]), (place[0] + 0.5).tolist())
    found = search(kept, vector, 12)
    assert [f.entry.name for f in found] == sorted(expected, key=lambda name: -expected[name][0])
    for one in found:
        score, place = expected[one.entry.name]
        assert one.cosine == pytest.approx(score, abs=1e-5)
        assert list(one.point) == place


def test_how_many_come(kept, reader, photos):
    vector = torch.nn.functional.normalize(torch.randn(12), dim=0)
    assert len(search(kept, vector, 3)) == 3
    assert len(search(kept, vector, 100)) == 8
    with pytest.raises(InvalidInput, match="at least 1"):
        search(kept, vector, 0)
    kept.delete(list(kept.index.names))
    with pytest.raises(InvalidInput, match="holds no photos"):
        search(kept, vector, 1)
    with pytest.raises(InvalidInput, match="outside the photo"):
        kept.describe(reader.read([load_picture(photos[0][1])])[0], np.array([[900.0, 3.0]]))
