"""The page for everyone: no serious fault that axe-core knows, not wider than a phone, nothing asked of others."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from diffsight.app.page import TABS

from .conftest import visit
from .screenshots import try_example

FAULTS = """
window.faults = null;
axe.run(document, {resultTypes: ['violations']}).then(found => { window.faults = JSON.stringify(found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => [one.help, ...one.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary)])) })
"""


CONTROLS = """
[...document.querySelectorAll('[id^=tab-]:not([id$=button]) :is(button, input, textarea, [tabindex="0"])')]
  .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.tabIndex >= 0)
  .filter(one => one.type !== 'radio' || one.checked)
  .map((one, number) => { one.dataset.control = number; return one.outerHTML.slice(0, 120) })
"""


@pytest.fixture(scope="module")
def axe():
    package = find_spec("axe_core_python")
    if package is None:
        pytest.skip("axe-core-python is not installed")
    return (Path(package.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.fixture(scope="module", params=[name.lower() for name in TABS])
def example(browsers, server, request):
    """A visitor who looks at what a tab shows of its example."""
    tab = request.param
    with visit(browsers, server, tab) as browser:
        try_example(browser, tab)
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(example, axe, scheme):
    example.value(f"document.body.classList.toggle('dark', {'true' if scheme == 'dark' else 'false'})")
    example.wait("document.getAnimations().every(one => one.playState != 'running')")  # colours fade
    example.value(axe)
    example.value(FAULTS)
    assert example.wait("window.faults") == "[]"


def test_every_control_is_reached_by_keyboard(example):
    controls = example.value(CONTROLS)
    assert len(controls) > 5
    example.value("document.activeElement.blur()")
    reached = set()
    for _ in range(3 * len(controls) + 20):
        example.key("Tab")
        reached.add(example.value("document.activeElement.dataset.control"))
    assert [one for number, one in enumerate(controls) if str(number) not in reached] == []


def test_it_fits_a_phone(example):
    example.resize(390, 844)
    example.wait("document.documentElement.clientWidth == 390")
    assert example.value("document.documentElement.scrollWidth") == 390


def test_nobody_else_is_asked(example, server):
    assert len(example.asked) > 10
    assert [url for url in example.asked if not url.startswith((server, "data:", "blob:"))] == []
