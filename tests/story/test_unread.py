"""A story covers everything: a write of the App that it neither reads nor expects fails it."""

import pytest

from tests.support.answers import approves_but, edits, finding, phase, plan, write
from tests.support.story import Story


def test_unexpected_write_fails_the_story(story: Story) -> None:
    story.plays(
        plan(phase()),
        {"P1": [edits(write("greeting.txt", "hello\n")), approves_but(finding("greeting.txt", 1, severity="minor"))]},
    )
    story.label()
    story.wait_for_end()
    with pytest.raises(AssertionError, match="neither read nor expected") as unread:
        story.check()
    for kind in ("comment", "review", "check run", "ref"):
        assert f"('{kind}'" in str(unread.value)
    story.expect_success()
    with pytest.raises(AssertionError, match=r"neither read nor expected: .*\('review'") as unread:
        story.check()
    for kind in ("comment", "check run", "ref"):
        assert f"('{kind}'" not in str(unread.value)
    story.expect_audit("P1")
    story.expect_review_comment("greeting.txt", 1)
