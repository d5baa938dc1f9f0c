import pytest

from diffsight.errors import InvalidInput

pytest.importorskip("gradio", reason="Gradio is not installed")

from diffsight.app.tabs.parts import offer


def test_a_file_that_cannot_be_made_is_not_offered(tmp_path):
    def refuse():
        raise InvalidInput("there is no photo yet")

    with pytest.warns(UserWarning, match="no photo yet"):
        assert offer(refuse, tmp_path, "parts.png").value is None
    assert list(tmp_path.iterdir()) == []
