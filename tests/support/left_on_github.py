"""What a run leaves on GitHub, without what differs from run to run: ids, shas, times, tokens."""

from collections import Counter

from tests.support import trace
from tests.support.story import Story


def asked(story: Story) -> Counter[tuple[str, str | None, int, int]]:
    """How often each model request was sent."""
    return Counter((one.role, one.phase, one.attempt, one.turn) for one in story.requests())


def left_on_github(story: Story) -> dict[str, object]:
    """Commits, checks, the pull request and every object that the App wrote; all of them are looked at here."""
    subjects = {sha: story.message(sha).partition("\n")[0] for sha in story.commits()}
    pull = story.pull()
    return {
        "commits": [
            (subjects[sha], story.hub.git(story.full_name, "rev-parse", f"{sha}^{{tree}}")) for sha in subjects
        ],
        "checks": {
            (subjects[sha], name): one["conclusion"] for sha in subjects for name, one in story.checks(sha).items()
        },
        "pull": (pull["draft"], pull["state"], pull["title"]),
        "objects": Counter(_named(story, subjects, one) for one in _written(story)),
    }


def _written(story: Story) -> set[trace.Written]:
    objects = {one for entry in story.hub.journal(story.full_name) if (one := trace.written(entry)) is not None}
    story.seen |= objects
    return objects


def _named(story: Story, subjects: dict[str, str], one: trace.Written) -> tuple[str, ...]:
    """An object's kind and key, with the run's id and shas replaced by what they are."""
    names = [subjects.get(part, part.replace(story.run_id, "RUN")) for part in one]
    return tuple("NODE" if one[0] == "thread" and at else name for at, name in enumerate(names))
