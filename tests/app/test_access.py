"""The page for everyone: no serious fault that axe-core knows, all controls by keyboard."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from diffsight.app.page import TABS

FAULTS = """
axe.run(document, {resultTypes: ['violations']}).then(found => { window.faults = JSON.stringify(found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => [one.help, ...one.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary)])) })
"""


@pytest.fixture(scope="module")
def axe():
    package = find_spec("axe_core_python")
    if package is None:
        pytest.skip("axe-core-python is not installed")
    return (Path(package.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", [name.lower() for name in TABS])
def test_axe_finds_nothing_serious(server, browser, axe, tab, scheme):
    browser.open(f"{server}?__theme={scheme}")
    browser.show_tab(tab)
    browser.press(f"#{tab}-example")
    browser.wait(f"!!document.querySelector('#tab-{tab} img, #tab-{tab} svg image')")
    browser.wait("!document.querySelector('.progress-text')")  # Gradio fades it in and out
    browser.value(axe)
    browser.value(FAULTS)
    assert browser.wait("window.faults") == "[]"
