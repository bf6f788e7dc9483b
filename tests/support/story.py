"""A story: one repository on the hub, what people do there, and what the App is expected to write."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from app.hub.git import GitError
from app.replay import RecordedRequest
from app.replay.recording import Recording
from tests.support import trace
from tests.support.answers import Answer, Plan, plan, recording
from tests.support.trace import Written
from tests.support.world import WAIT_SECONDS, World

PERSON = "maintainer"
OUTSIDER = "outsider"
LABEL = "autopack"
BOT = "autopack[bot]"
CI = """\
name: CI
on: {push: {branches: ["autonomous/**"]}}
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: test ! -f broken
"""
_STATE = re.compile(r"`([A-Z_]+)`</sub>")
_STATUS_KEY = re.compile(r"<!-- autopack:status:(\S+) -->\s*$")
_SECRETS = re.compile(r"ghs_[\w-]{10,}|-----BEGIN|recorded-(?:anthropic|openai)")


class Story:
    """Set `files` and `settings` before the first thing happens; then the repository comes to be with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hub = world.hub
        self.full_name = world.new_repository_name()
        self.files: dict[str, str | None] = {"README.md": "# Garden\n", ".github/workflows/ci.yml": CI}
        self.settings: dict[str, Any] = {
            "ci": {"grace_seconds": 0.5, "deadline_minutes": 5},
            "commands": {"allowed": False},
        }
        """`.github/autopack.yml`; empty for none."""
        self.title, self.body = "Greet people", "Everyone should be greeted."
        self.number = 0
        """Of the issue."""
        self.main = ""
        """Where the default branch is, as far as people have moved it."""
        self._seen: set[Written] = set()
        self._log_from = len(world.service.log())
        self._failed_before = set(world.failed_workflows())
        self._log_may_hold: list[str] = []

    # What the models answer

    def plays(self, planned: Plan | None = None, phases: Mapping[str, Sequence[Answer]] | None = None) -> None:
        """Answer with this plan (of one phase unless given) and these attempts and audits of its phases."""
        self.plays_recording(recording(planned or plan(), phases or {}))

    def plays_recording(self, recorded: Recording) -> None:
        self.world.models.play(self.full_name, recorded)

    def requests(self, role: str | None = None, phase: str | None = None) -> list[RecordedRequest]:
        """What the models were asked for this repository, in order."""
        of_repository = [one for one in self.world.models.requests() if one.repository == self.full_name]
        return [one for one in of_repository if role in (None, one.role) and phase in (None, one.phase)]

    # What people do

    def begin(self) -> None:
        """Make repository and issue, and install the App. Happens by itself when somebody does something."""
        if self.number:
            return
        files = dict(self.files)
        if self.settings:
            files.setdefault(".github/autopack.yml", yaml.safe_dump(self.settings))
        self.hub.import_repository(self.full_name, owner_role={PERSON: "admin", OUTSIDER: "read"})
        self.main = self.hub.commit_files(self.full_name, "main", files, "The garden", as_user=PERSON)
        self.hub.install_app(self.full_name)
        self.number = self.open_issue(self.title, self.body)

    def open_issue(self, title: str, body: str = "") -> int:
        return int(self._as(PERSON, "POST", "issues", {"title": title, "body": body})["number"])

    def label(self, by: str = PERSON, name: str = LABEL) -> None:
        self.begin()
        self._as(by, "POST", f"issues/{self.number}/labels", {"labels": [name]})

    def unlabel(self, by: str = PERSON) -> None:
        self._as(by, "DELETE", f"issues/{self.number}/labels/{LABEL}")

    def comment(self, text: str, by: str = PERSON, on: int | None = None) -> int:
        """Comment on the issue, or on issue or pull request `on`; the comment's id."""
        self.begin()
        return int(self._as(by, "POST", f"issues/{on or self.number}/comments", {"body": text})["id"])

    def close_issue(self, by: str = PERSON) -> None:
        self._as(by, "PATCH", f"issues/{self.number}", {"state": "closed"})

    def close_pull(self, by: str = PERSON) -> None:
        self._as(by, "PATCH", f"pulls/{self.pull_number()}", {"state": "closed"})

    def merge_pull(self, by: str = PERSON) -> None:
        self.main = str(self._as(by, "PUT", f"pulls/{self.pull_number()}/merge", {})["sha"])

    def push(self, branch: str, files: dict[str, str | None], by: str = PERSON, message: str = "By hand") -> str:
        """Somebody pushes a commit; its sha."""
        self.begin()
        sha = self.hub.commit_files(self.full_name, branch, files, message, as_user=by)
        if branch == "main":
            self.main = sha
        return sha

    def fails_github(self, method: str, path: str, kind: Any, *, times: int = 1, after: int = 0) -> None:
        """The App's next calls of this kind for this repository go wrong; `path` is what follows its address."""
        self.hub.faults.add(method, f"^/repos/{self.full_name}/{path}$", kind, times=times, after=after)

    # Waiting

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        self.world.wait_until(condition, what, seconds)

    def wait_idle(self) -> None:
        """Return when everything that has happened so far has been acted on."""
        self.world.wait_idle()

    def wait_for_end(self, runs: int = 1) -> str:
        """Return the state in which the newest of so many runs ended, once all is said about it."""

        def ended() -> bool:
            states = self._states()
            return len(states) >= runs and all(state.startswith("DONE_") for state in states)

        self.wait_until(ended, f"{runs} run(s) have ended")
        self.world.wait_idle()
        return self.state()

    def wait_for_status(self, containing: str) -> None:
        """Return when the status comment says this."""
        self.wait_until(lambda: containing in self._last_status(), f"the status comment says {containing!r}")
        self._see_status()

    def wait_for_request(self, role: str, number: int = 1) -> None:
        """Return when a model has been asked in this role so many times."""
        self.wait_until(lambda: len(self.requests(role)) >= number, f"{number} request(s) to the {role}")

    # What a person sees

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
        return self.run_ids[-1]

    @property
    def branch(self) -> str:
        return f"autonomous/{self.run_id}"

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
        self._seen.add(trace.pull_key(number))
        return dict(self._get(f"pulls/{number}"))

    def head(self, branch: str | None = None) -> str:
        """Where a branch (the run's own unless given) is; empty when there is none."""
        try:
            return self.hub.git(self.full_name, "rev-parse", "--verify", f"refs/heads/{branch or self.branch}").strip()
        except GitError:
            return ""

    def commits(self) -> list[str]:
        """The shas of the run's branch that the default branch lacks, oldest first; reads the branch."""
        self._seen.add(trace.ref_key(f"refs/heads/{self.branch}"))
        return self.hub.git(self.full_name, "rev-list", "--reverse", "main..refs/heads/" + self.branch).split()

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

    def checks(self, sha: str) -> dict[str, dict[str, Any]]:
        """The newest check run of each name on a commit, not counted as read."""
        listed = self._get(f"commits/{sha}/check-runs?filter=all&per_page=100")["check_runs"]
        return {one["name"]: one for one in sorted(listed, key=lambda one: int(one["id"]))}

    # Expectations: what is expected has been read

    def expect_state(self, state: str) -> None:
        """The newest run is in this state, by its status comment."""
        assert self.state() == state

    def expect_comment(self, *containing: str, on: int | None = None) -> str:
        """One comment of the App on the issue (or on `on`) says all this; its text."""
        number = on or self.number

        def matching() -> list[str]:
            bodies = [str(comment["body"]) for comment in self.comments_of_app(number)]
            return [body for body in bodies if all(text in body for text in containing)]

        self.wait_until(lambda: bool(matching()), f"a comment on #{number} that says {containing}")
        assert len(matching()) == 1, f"{len(matching())} comments say {containing}"
        body = matching()[0]
        self._seen.add(trace.comment_key(number, body))
        return body

    def expect_no_comment(self) -> None:
        """The App has written no comment on the issue."""
        assert self.comments_of_app(self.number) == []

    def expect_success(self, phases: Sequence[str] = ("P1",)) -> str:
        """The run ends well: its branch is tagged phase by phase, and the pull request is ready. Returns its head."""
        assert self.wait_for_end() == "DONE_SUCCESS"
        head = self.head()
        self.expect_ref(f"refs/heads/{self.branch}", head)
        for phase_id in phases:
            self.expect_ref(f"refs/tags/autopack/{self.run_id}/{phase_id}")
        self.expect_check("autopack", "success", head)
        self.expect_check("autopack/promotion", "success", head)
        assert self.pull()["draft"] is False
        self.expect_comment("Autopack: Done", "summary:" + self.run_id, on=self.pull_number())
        return head

    def expect_failure(self, state: str, *containing: str) -> str:
        """The run ends in this state, and the incident on the issue says all this; its text."""
        assert self.wait_for_end() == state
        return self.expect_comment(f"incident:{self.run_id}", state, *containing)

    def expect_draft(self, conclusion: str = "failure") -> None:
        """The run's pull request is still a draft, and both checks of its head end with `conclusion` and failure."""
        assert self.pull()["draft"] is True
        self.expect_check("autopack", conclusion)
        self.expect_check("autopack/promotion", "failure")
        self.expect_ref(f"refs/heads/{self.branch}", self.head())

    def expect_review(self, *containing: str) -> dict[str, Any]:
        """One review of the App on the pull request says all this."""
        number = self.pull_number()
        reviews = [one for one in self._get(f"pulls/{number}/reviews") if one["user"]["login"] == BOT]
        found = [one for one in reviews if all(text in one["body"] for text in containing)]
        assert len(found) == 1, f"{len(found)} of {len(reviews)} reviews say {containing}"
        assert found[0]["state"] == "COMMENTED"
        self._seen.add(trace.review_key(number, found[0]["body"]))
        return dict(found[0])

    def expect_review_comment(self, path: str, line: int, *containing: str) -> dict[str, Any]:
        """One review comment of the App is on this line of the diff and says all this."""
        number = self.pull_number()
        listed = [one for one in self._get(f"pulls/{number}/comments") if one["user"]["login"] == BOT]
        found = [
            one
            for one in listed
            if one["path"] == path and one["line"] == line and all(text in one["body"] for text in containing)
        ]
        assert len(found) == 1, f"{[(one['path'], one['line'], one['body']) for one in listed]}"
        self._seen.add(trace.review_comment_key(number, found[0]["body"]))
        return dict(found[0])

    def expect_resolved_threads(self, count: int) -> None:
        """So many review threads of the pull request are resolved, and no other."""
        query = """query($owner: String!, $name: String!, $number: Int!) {
          repository(owner: $owner, name: $name) { pullRequest(number: $number) {
            reviewThreads(first: 100) { nodes { id isResolved } } } } }"""
        owner, _, name = self.full_name.partition("/")
        variables = {"owner": owner, "name": name, "number": self.pull_number()}
        answer = self.world.user(PERSON).post("/graphql", json={"query": query, "variables": variables})
        threads = answer.json()["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"]
        resolved = [one["id"] for one in threads if one["isResolved"]]
        assert (len(resolved), len(threads)) == (count, count), threads
        self._seen.update(trace.thread_key(node_id) for node_id in resolved)

    def expect_check(self, name: str, conclusion: str | None, sha: str | None = None) -> dict[str, Any]:
        """The App's check run on the branch's head (or on `sha`) has this conclusion; None: it is not completed."""
        sha = sha or self.head()
        check = self.checks(sha).get(name)
        assert check is not None, f"{sha[:7]} has no check run {name}"
        assert check["conclusion"] == conclusion, f"{name} on {sha[:7]}: {check['conclusion']} {check['output']}"
        self._seen.add(trace.check_key(name, sha))
        return check

    def expect_no_check(self, name: str, sha: str) -> None:
        assert name not in self.checks(sha)

    def expect_ref(self, name: str, sha: str | None = None) -> None:
        """The ref is there (at `sha`)."""
        there = self.hub.git(self.full_name, "for-each-ref", "--format=%(objectname)", name).strip()
        assert there, f"there is no {name}"
        assert sha in (None, there), f"{name} is at {there}, not {sha}"
        self._seen.add(trace.ref_key(name))

    def expect_nothing_pushed(self) -> None:
        """There is no branch, tag or pull request of the App."""
        refs = self.hub.git(self.full_name, "for-each-ref", "--format=%(refname)").split()
        assert [ref for ref in refs if ref != "refs/heads/main"] == []
        assert self._get("pulls?state=all") == []

    def expect_in_log(self, text: str) -> None:
        """The service's log holds this, and lines with it are no reason to fail."""
        assert text in self.log(), f"the log does not hold {text!r}"
        self._log_may_hold.append(text)

    # The end

    def check(self) -> None:
        """What holds at the end of every story."""
        if not self.number:
            return
        self.world.wait_idle()
        journal = self.hub.journal(self.full_name)
        doubled = trace.doubled(journal)
        assert not doubled, f"made twice: {doubled}"
        left = trace.unexpected(journal, self._seen)
        assert not left, f"the App wrote what the story neither read nor expected: {left}"
        assert self.head("main") == self.main, "the default branch was moved"
        self._check_log()
        failed = [one for one in self.world.failed_workflows() if one not in self._failed_before]
        assert not failed, f"workflows that ended with an exception: {failed}"
        asked = " ".join(one.body.decode() for one in self.requests())
        said = self.log() + asked + " ".join(entry.text for entry in journal)
        assert not _SECRETS.search(said), "a secret was logged, said on GitHub or given to a model"
        assert self.hub.state.app.webhook_secret not in said

    def _check_log(self) -> None:
        troubles = ("Traceback", "ended by a defect", "ERROR", "came to nothing")
        lines = [line for line in self.log().splitlines() if any(trouble in line for trouble in troubles)]
        bad = [line for line in lines if not any(text in line for text in self._log_may_hold)]
        assert not bad, "the service's log tells of trouble:\n" + "\n".join(bad)

    def abandon(self) -> None:
        """End what a failed story has left under way, so that the next one begins in peace."""
        self.release()
        if self.number:
            self.close_issue()
            self.world.wait_idle()

    def release(self) -> None:
        """Take back everything that holds the hub or the models up."""
        self.hub.faults.clear()
        self.hub.webhooks.resume()
        self.hub.runner.release()
        self.world.models.release()

    def log(self) -> str:
        """What the service has logged since the story began."""
        return self.world.service.log()[self._log_from :]

    def history(self) -> str:
        """What the App wrote, and the end of the service's log."""
        lines = [line for line in self.log().splitlines() if '"POST /webhooks/github HTTP/1.1" 202' not in line]
        log = "\n".join(lines)[-8000:]
        return f"{trace.told(self.hub.journal(self.full_name))}\n\n--- the service's log\n{log}"

    # The rest

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
        self._seen.update(trace.comment_key(self.number, f"<!-- autopack:status:{run} -->") for run in self.run_ids)

    def _get(self, path: str) -> Any:
        answer = self.world.user(PERSON).get(f"/repos/{self.full_name}/{path}")
        answer.raise_for_status()
        return answer.json()

    def _as(self, login: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Do something as a person. An outsider's label needs a role of triage on GitHub: it is lent for the moment."""
        answer = self.world.user(login).request(method, f"/repos/{self.full_name}/{path}", json=body)
        assert answer.is_success, f"{login}: {method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
