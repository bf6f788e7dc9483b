"""What a person sees of a story's repository on the hub, and what the models were asked."""

import re
from collections.abc import Callable
from typing import Any

import httpx

from app.hub.git_repos import GitCommandError
from app.replay import RecordedRequest
from tests.support import trace
from tests.support.trace import Written
from tests.support.world import WAIT_SECONDS, World

PERSON = "maintainer"
BOT = "autopack[bot]"
_BRANCH = re.compile(r"/tree/(autonomous/[\w.-]+)\)")
_STATE = re.compile(r"`([A-Z_]+)`</sub>")
_STATUS_KEY = re.compile(r"<!-- autopack:status:(\S+) -->\s*$")


class Reader:
    """Reads a repository. `status`, `state`, `pull` and `commits` count as having read what they tell of."""

    def __init__(self, world: World, full_name: str) -> None:
        self.world = world
        self.hub = world.hub
        self.full_name = full_name
        self.number = 0
        """Of the issue."""
        self.seen: set[Written] = set()
        """What has been read or expected of what the App wrote; at the end, nothing else may be there."""
        self.default_branch = "main"
        self._log_from = len(world.log())
        self._log_may_hold: list[str] = []
        self._run_id = ""

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        self.world.wait_until(condition, what, seconds)

    def wait_idle(self) -> None:
        """Return when everything that has happened so far has been acted on."""
        self.world.wait_idle()

    def wait_handled(self) -> None:
        """Return when every event so far has been acted on; a run may go on."""
        self.world.wait_handled()

    def wait_for_end(self, runs: int = 1) -> str:
        """Return the state in which the newest of so many runs ended, once all is said about it."""

        def ended() -> bool:
            states = self._states()
            return len(states) >= runs and all(state.startswith("DONE_") for state in states)

        self.wait_until(ended, f"{runs} run(s) have ended")
        self.world.wait_idle()
        return self.state()

    def wait_for_state(self, state: str, seconds: float = 2 * WAIT_SECONDS) -> None:
        """Return when the run is over, and in this state by the REST API."""
        self.world.wait_idle(seconds)
        run = httpx.get(f"{self.world.service.url}/runs/{self.run_id}", timeout=WAIT_SECONDS).json()
        assert run["state"] == state, run["failure_reason"]

    def wait_for_ci(self) -> None:
        """Return when the run waits for CI, its newest commit audited."""
        self.wait_for_status("Autopack: Waiting for CI")

    def wait_for_status(self, containing: str) -> None:
        """Return when the status comment says this."""
        self.wait_until(lambda: containing in self._last_status(), f"the status comment says {containing!r}")
        self._see_status()

    def wait_for_request(self, role: str, number: int = 1) -> None:
        """Return when a model has been asked in this role so many times."""
        self.wait_until(lambda: len(self.requests(role)) >= number, f"{number} request(s) to the {role}")

    def state(self) -> str:
        """The state that the newest run's status comment shows."""
        self._see_status()
        return self._states()[-1]

    def status(self) -> str:
        """The newest run's status comment."""
        self._see_status()
        return self._last_status()

    @property
    def run_ids(self) -> list[str]:
        """The runs on the issue, oldest first, by their status comments."""
        found = [_STATUS_KEY.search(comment["body"]) for comment in self.comments_of_app(self.number)]
        return [match[1] for match in found if match]

    @property
    def run_id(self) -> str:
        """The newest run, unless `turn_to` named another one."""
        return self._run_id or self.run_ids[-1]

    def turn_to(self, run_id: str) -> None:
        """Look at this run from now on: its branch, pull request, checks."""
        self._run_id = run_id

    @property
    def branch(self) -> str:
        """The run's branch, which may be that of the run with which it goes on."""
        shown = _BRANCH.search(self._last_status()) if not self._run_id else None
        return shown[1] if shown else f"autonomous/{self.run_id}"

    def comments_of_app(self, number: int) -> list[dict[str, Any]]:
        """The App's comments on an issue or pull request, not counted as read."""
        listed = self._get(f"issues/{number}/comments?per_page=100")
        return [one for one in listed if one["user"]["login"] == BOT]

    def pull_number(self) -> int:
        """The number of the run's pull request; 0 when there is none."""
        pulls = [one for one in self._get("pulls?state=all") if one["head"]["ref"] == self.branch]
        return int(pulls[0]["number"]) if pulls else 0

    def pull(self) -> dict[str, Any]:
        """The run's pull request; reading it counts as expecting it."""
        number = self.pull_number()
        assert number, "there is no pull request"
        self.seen.add(trace.pull_key(number))
        return dict(self._get(f"pulls/{number}"))

    def head(self, branch: str | None = None) -> str:
        """Where a branch (the run's own unless given) is; empty when there is none."""
        try:
            return self.hub.git(self.full_name, "rev-parse", "--verify", f"refs/heads/{branch or self.branch}").strip()
        except GitCommandError:
            return ""

    def branches_of_runs(self) -> list[str]:
        """The names of all branches that runs have made."""
        listed = self.hub.git(self.full_name, "for-each-ref", "--format=%(refname:strip=2)", "refs/heads/autonomous/")
        return listed.split()

    def commits(self) -> list[str]:
        """The shas of the run's branch that the default branch lacks, oldest first; reads the branch."""
        self.seen.add(trace.ref_key(f"refs/heads/{self.branch}"))
        return self.hub.git(
            self.full_name, "rev-list", "--reverse", f"{self.default_branch}..refs/heads/{self.branch}"
        ).split()

    def message(self, sha: str) -> str:
        return self.hub.git(self.full_name, "log", "-1", "--format=%B", sha).strip()

    def parents(self, sha: str) -> list[str]:
        return self.hub.git(self.full_name, "log", "-1", "--format=%P", sha).split()

    def file(self, path: str, ref: str | None = None) -> str:
        """A file's text, stripped, at a commit or at the run's branch."""
        return self.hub.git(self.full_name, "show", f"{ref or 'refs/heads/' + self.branch}:{path}")

    def reactions(self, comment_id: int | None = None) -> list[str]:
        """The App's reactions to the issue, or to a comment."""
        path = f"issues/comments/{comment_id}" if comment_id else f"issues/{self.number}"
        listed = self._get(f"{path}/reactions")
        return [one["content"] for one in listed if one["user"]["login"] == BOT]

    def labels(self) -> set[str]:
        """The names of the issue's labels."""
        return {one["name"] for one in self._get(f"issues/{self.number}")["labels"]}

    def line_comments(self) -> list[dict[str, Any]]:
        """The App's comments on lines of the pull request, answers included."""
        listed = self._get(f"pulls/{self.pull_number()}/comments?per_page=100")
        return [one for one in listed if one["user"]["login"] == BOT]

    def read_all(self) -> None:
        """All that the App has written so far counts as read."""
        self.seen.update(key for entry in self.hub.journal(self.full_name) if (key := trace.written(entry)) is not None)

    def line_reactions(self, comment_id: int) -> list[str]:
        """The App's reactions to a comment on a line of the pull request."""
        listed = self._get(f"pulls/comments/{comment_id}/reactions")
        return [one["content"] for one in listed if one["user"]["login"] == BOT]

    def checks(self, sha: str) -> dict[str, dict[str, Any]]:
        """The newest check run of each name on a commit, not counted as read."""
        listed = self._get(f"commits/{sha}/check-runs?filter=all&per_page=100")["check_runs"]
        return {one["name"]: one for one in sorted(listed, key=lambda one: int(one["id"]))}

    def suite_states(self, sha: str) -> set[str]:
        """The states of the check suites of the App and of Actions."""
        return {str(suite["status"]) for suite in self._get(f"commits/{sha}/check-suites")["check_suites"]}

    def workflow_runs(self) -> list[dict[str, Any]]:
        """All workflow runs of the repository, newest first."""
        return list(self._get("actions/runs?per_page=100")["workflow_runs"])

    def requests(self, role: str | None = None, phase: str | None = None) -> list[RecordedRequest]:
        """What the models were requested this repository, in order."""
        of_repository = [one for one in self.world.models.requests() if one.repository == self.full_name]
        return [one for one in of_repository if role in (None, one.role) and phase in (None, one.phase)]

    def log(self) -> str:
        """What the service has logged since the story began."""
        return self.world.log()[self._log_from :]

    def _states(self) -> list[str]:
        """The states shown by the status comments, oldest first, from the journal: cheap enough to poll."""
        latest: dict[str, str] = {}
        for entry in self.hub.journal(self.full_name):
            key = trace.marker_of(entry.text)
            if entry.kind.startswith("comment.") and key.startswith("status:"):
                match = _STATE.search(entry.text)
                latest[key] = match[1] if match else "?"
        return list(latest.values())

    def _last_status(self) -> str:
        bodies = [str(one["body"]) for one in self.comments_of_app(self.number) if _STATUS_KEY.search(one["body"])]
        return bodies[-1] if bodies else ""

    def _see_status(self) -> None:
        self.seen.update(trace.comment_key(self.number, f"<!-- autopack:status:{run} -->") for run in self.run_ids)

    def _get(self, path: str) -> Any:
        answer = self.world.user(PERSON).get(f"/repos/{self.full_name}/{path}")
        answer.raise_for_status()
        return answer.json()
