import gradio as gr
import pytest

from diffsight.app.wires import Wires, place, saying_what_fails
from diffsight.errors import InvalidInput

from .visitor import Visitor

LOST = "the server does not understand what the page sent; reload the page"


@pytest.fixture(scope="module")
def wires():
    with gr.Blocks(analytics_enabled=False):
        return Wires(gr.State(0), [gr.Number()], lambda after: [after])


def test_what_is_wrong_is_shown_as_text_and_nothing_changes(wires):
    def refuse():
        raise InvalidInput("<b>.png is no photo")

    with pytest.warns(UserWarning, match="&lt;b&gt;.png is no photo"):
        assert wires.attempt(refuse) == [gr.skip()] * 2
    assert wires.attempt(lambda: 3) == [3, 3]


def test_a_fault_is_shown_and_goes_into_the_log_as_one_line(wires, caplog):
    with pytest.warns(UserWarning, match=r"could not be done \(KeyError\)"):
        assert wires.attempt(lambda: {}["a\nb"]) == [gr.skip()] * 2
    (record,) = caplog.records
    assert record.getMessage().startswith(r"KeyError('a\nb') at ")
    assert "test_wires.py" in record.getMessage()
    assert len(record.getMessage().splitlines()) == 1


def slow_steps(action):
    """The work of a slow action, and what takes it over."""
    with gr.Blocks(analytics_enabled=False) as page:
        Wires(gr.State(0), [gr.Number()], lambda after: [after]).connect_slow(gr.Button().click, action, queue="slow")
    work, take = (step.fn for step in page.fns.values())
    return work, take


def test_slow_work_is_done_again_upon_what_others_made_meanwhile():
    states = []

    def add_eight(state):
        states.append(state)
        return state + 8

    work, take = slow_steps(add_eight)
    done = work(1000)
    assert take(done.before, done) == [1008, 1008, None]
    assert states == [1000]
    assert take(2000, done) == [2008, 2008, None]
    assert states == [1000, 2000]


def test_slow_work_that_fails_changes_nothing():
    def refuse(state):
        raise InvalidInput("no photo")

    work, take = slow_steps(refuse)
    with pytest.warns(UserWarning, match="no photo"):
        done = work(1)
    assert take(1, done) == [gr.skip()] * 3


def test_work_that_is_dropped_is_no_fault(caplog):
    def work():
        with saying_what_fails():
            yield 1

    job = work()
    assert next(job) == 1
    job.close()
    assert caplog.records == []


def test_a_place():
    assert place({"x": 0, "y": "0.5"}) == (0.0, 0.5)


def test_what_no_part_of_the_page_says_is_refused(server):
    """The server says so in the page, and writes nothing: ``server`` looks."""
    visitor = Visitor(server)
    number = {"x": 0.5, "y": 0.5}
    wrong = [None, "abc", [], {}, {"x": "a", "y": 1}, {"x": [1], "y": {}}, {"x": 10**400, "y": 0.5}]
    for said in wrong:
        for element, event in (("match-photos", "mark"), ("segment-stage", "look"), ("transfer-board", "place")):
            visitor.send(element, event, about=said)
            assert visitor.heard == [LOST], (element, said)
    for point in ("a", None, float("inf"), float("nan")):
        for element in ("transfer-board", "transfer-check"):
            for event in ("shift", "take_off"):
                visitor.send(element, event, about={"point": point, **number})
                assert visitor.heard == [LOST], (element, point)
    visitor.send("transfer-check", "turn", about={"by": "a"})
    assert visitor.heard == [LOST]
    for path in ([["a", 1]], [[1], [1, 2]], {"x": 1}, [[None, {}]], [1, 2, 3]):
        visitor.send("track-sheet", "mark", about={"path": path})
        assert visitor.heard == [LOST], path
