"""Benchmarks on disk: each one's layout read into typed samples, and written from the procedural world."""

from .base import (
    Annotation,
    Benchmark,
    JointClip,
    LabelledPhoto,
    MaskClip,
    Photo,
    PlanePair,
    PointPair,
    Sample,
    files_of,
    missing_files,
    present,
)
from .registry import BENCHMARKS, benchmark

__all__ = [
    "BENCHMARKS",
    "Annotation",
    "Benchmark",
    "JointClip",
    "LabelledPhoto",
    "MaskClip",
    "Photo",
    "PlanePair",
    "PointPair",
    "Sample",
    "benchmark",
    "files_of",
    "missing_files",
    "present",
]
