from __future__ import annotations

import pytest

from diffsight.benchmarks.protocols import PROTOCOLS, JointProtocol, PointProtocol, SegmentProtocol, protocol
from diffsight.errors import InvalidInput


@pytest.mark.parametrize(
    ("benchmark", "names"),
    [
        ("spair", ["dift", "hedlin", "geoaware"]),
        ("pf-pascal", ["img", "geoaware"]),
        ("pf-willow", ["kp_extent", "kp_padded", "img", "hedlin"]),
        ("cub", ["hedlin", "asic", "neural_congealing"]),
        ("ap-10k", ["geoaware"]),
        ("hpatches", ["dift"]),
        ("davis", ["official"]),
        ("jhmdb", ["videowalk", "strict"]),
        ("coco-stuff", ["diffseg", "picie", "diffcut"]),
        ("cityscapes", ["diffseg", "picie", "diffcut"]),
    ],
)
def test_every_benchmark_has_the_protocols_of_the_papers(benchmark, names):
    assert [own.name for own in PROTOCOLS[benchmark]] == names
    assert [protocol(benchmark, name).name for name in names] == names
    assert protocol(benchmark) == PROTOCOLS[benchmark][0]


@pytest.mark.parametrize(
    ("benchmark", "name", "base", "averaging", "alphas", "comparison", "frame"),
    [
        ("spair", "dift", "bbox", ("per_image", "per_point"), (0.1,), "<=", "original pixels"),
        ("spair", "hedlin", "source_bbox", ("per_image",), (0.1, 0.05), "<=", "squashed to 512 x 512"),
        ("spair", "geoaware", "bbox", ("per_image", "per_point"), (0.1, 0.05, 0.01), "<", "padded to 840 x 840"),
        ("pf-pascal", "img", "image", ("per_image",), (0.1, 0.05, 0.15), "<=", "original pixels"),
        ("pf-pascal", "geoaware", "image", ("per_image",), (0.1, 0.05, 0.15), "<", "padded to 840 x 840"),
        (
            "pf-willow",
            "kp_padded",
            "keypoints_padded",
            ("per_image",),
            (0.1, 0.05, 0.15),
            "<=",
            "squashed to 256 x 256",
        ),
        ("cub", "hedlin", "cub_x_scale", ("per_image",), (0.1, 0.05), "<=", "squashed to 512 x 512"),
        ("cub", "neural_congealing", "image", ("per_category",), (0.1,), "<=", "squashed to 256 x 256"),
    ],
)
def test_switches_of_keypoints(benchmark, name, base, averaging, alphas, comparison, frame):
    own = protocol(benchmark, name)
    assert isinstance(own, PointProtocol)
    assert (own.base, own.averaging, own.alphas, own.comparison) == (base, averaging, alphas, comparison)
    assert str(own.frame) == frame


def test_switches_of_others():
    assert [own.strict for own in PROTOCOLS["jhmdb"] if isinstance(own, JointProtocol)] == [False, True]
    switches = [(own.matching, own.side) for own in PROTOCOLS["coco-stuff"] if isinstance(own, SegmentProtocol)]
    assert switches == [("per_image", None), ("dataset", None), ("per_image", 128)]


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InvalidInput, match="unknown protocol 'dfit' of spair; use dift, hedlin, geoaware"):
        protocol("spair", "dfit")
    with pytest.raises(InvalidInput, match="unknown benchmark 'spare'; use spair, pf-pascal"):
        protocol("spare")
