from __future__ import annotations

import pytest

from diffsight.doctor.parts import Part, examine_part


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "state", "note"),
    [
        ("whole_part", "taken = 1", "works", ""),
        ("absent_part", None, "missing", ""),
        ("exiting_part", "raise SystemExit('no licence')", "broken", "SystemExit: no licence"),
        ("hungry_part", "import eaten_part", "broken", "ModuleNotFoundError: No module named 'eaten_part'"),
        ("poor_part", "other = 1", "broken", "AttributeError: module 'poor_part' has no attribute 'taken'"),
    ],
)
def test_how_an_import_goes(folder, module, line, state, note):
    if line is not None:
        (folder / f"{module}.py").write_text(line)
    found = examine_part(Part(module, module, "tests", needed=False, names=("taken",)))
    assert (found.state, found.note, found.version) == (state, note, "")


def test_versions_and_other_names_of_a_package():
    from importlib import metadata

    assert examine_part(Part("numpy", "numpy", "arrays")).version == metadata.version("numpy")
    renamed = examine_part(Part("another-numpy", "numpy", "arrays"))
    assert renamed.version == f"{metadata.version('numpy')} (numpy)"
