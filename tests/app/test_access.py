"""The page for everyone: no serious fault that axe-core knows, all controls by keyboard."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from diffsight.app.page import TABS

from .screenshots import try_example

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
    try_example(browser, tab)
    browser.value(axe)
    browser.value(FAULTS)
    assert browser.wait("window.faults") == "[]"


CONTROLS = """
[...document.querySelectorAll('#tab-TAB :is(button, input, textarea, [tabindex="0"])')]
  .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.tabIndex >= 0)
  .filter(one => one.type !== 'radio' || one.checked)
  .map((one, number) => { one.dataset.control = number; return one.outerHTML.slice(0, 120) })
"""


@pytest.mark.parametrize("tab", [name.lower() for name in TABS])
def test_every_control_is_reached_by_keyboard(browser, tab):
    try_example(browser, tab)
    controls = browser.value(CONTROLS.replace("TAB", tab))
    assert len(controls) > 5
    browser.value("document.activeElement.blur()")
    reached = set()
    for _ in range(3 * len(controls) + 20):
        browser.key("Tab")
        reached.add(browser.value("document.activeElement.dataset.control"))
    assert [one for number, one in enumerate(controls) if str(number) not in reached] == []
