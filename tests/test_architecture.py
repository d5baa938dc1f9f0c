"""The walls of the house, read off the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "diffsight"
FLOORS = {
    "errors": 0,
    "grid": 1,
    "device": 1,
    "files": 1,
    "changes": 1,
    "engine": 1,
    "types": 2,
    "images": 3,
    "backbones": 4,
    "probe": 5,
    "readers": 6,
    "matching": 7,
    "segmentation": 7,
    "video": 7,
    "world": 7,
    "warping": 8,
    "datasets": 8,
    "training": 8,
    "draw": 9,
    "editing": 9,
    "doctor": 9,
    "draw_alignment": 10,
    "collection": 10,
    "transfer": 10,
    "benchmarks": 11,
    "api": 12,
    "__init__": 12,
    "app": 13,
    "cli": 14,
}
MODULES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file."""
    package = ["diffsight", *path.relative_to(ROOT).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {stem} if node.module else {f"{stem}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path):
    for name in imports(path):
        if name.startswith("diffsight."):
            other = name.split(".")[1]
            if other != room(path):
                assert FLOORS[other] < FLOORS[room(path)], f"{path.name} imports {name}"


def test_every_room_has_a_floor():
    assert {room(path) for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_walls(path):
    found = imports(path)
    outside = {name.split(".")[0] for name in found}
    if room(path) in ("matching", "segmentation", "video", "world", "warping", "editing", "draw", "draw_alignment"):
        assert not outside & {"diffusers", "transformers"}
    if room(path) in ("world", "datasets"):
        assert not any(name.startswith("diffsight.backbones") for name in found)
    assert not outside & {"torchvision", "timm"}
    assert "gradio" not in outside or room(path) == "app"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, diffsight; print([m for m in ('torch', 'numpy', 'diffusers', 'PIL', 'cv2') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_command_line_loads_nothing_heavy_for_help():
    code = "import sys; from diffsight.cli import run; run(['--help']); "
    code += "print([m for m in ('torch', 'numpy', 'diffusers') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        .stdout.strip()
        .endswith("[]")
    )


def test_public_names_exist():
    import diffsight

    for name in diffsight.__all__:
        assert getattr(diffsight, name) is not None
    with pytest.raises(AttributeError):
        _ = diffsight.nonsense
