"""Steps that only show something on GitHub end no workflow."""

import logging

import pytest

from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.workflows import steps
from app.workflows.steps import effect, optional_effect


@pytest.mark.parametrize("problem", [GitHubUnavailable("down"), GitHubRefused(403, "POST /x: locked")])
async def test_optional_effect_is_left_out(
    problem: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(steps, "PAUSES", ())
    monkeypatch.setattr(logging.getLogger("dbos"), "propagate", True)

    async def show_it() -> None:
        raise problem

    await optional_effect(show_it)()
    assert f"show_it is left out: {problem}" in caplog.text
    with pytest.raises(type(problem)):
        await effect(show_it)()
