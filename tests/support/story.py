"""A story: one repository on the hub, what people do there, and what the App is expected to write."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from app.replay.recording import Recording
from tests.support import trace
from tests.support.answers import Answer, Plan, plan, recording
from tests.support.expectations import Expectations
from tests.support.repository_view import PERSON
from tests.support.world import World

OUTSIDER = "outsider"
LABEL = "autopack"
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
_SECRETS = re.compile(r"ghs_[\w-]{10,}|-----BEGIN|recorded-(?:anthropic|openai|azure|local)")


class Story(Expectations):
    """Set `files` and `settings` before the first thing happens; then the repository comes to be with them."""

    def __init__(self, world: World) -> None:
        super().__init__(world, world.new_repository_name())
        self.files: dict[str, str | None] = {"README.md": "# Garden\n", ".github/workflows/ci.yml": CI}
        self.settings: dict[str, Any] = {
            "ci": {"grace_seconds": 0.5, "deadline_minutes": 5},
            "commands": {"allowed": False},
            "provider_pauses_minutes": [],
        }
        """`.github/autopack.yml`; empty for none."""
        self.title, self.body = "Greet people", "Everyone should be greeted."
        self.main = ""
        """Where the default branch is, as far as people have moved it."""
        self._history = ""
        self.known_failures = set(world.failed_workflows())

    # What the models answer

    def plays(self, planned: Plan | None = None, phases: Mapping[str, Sequence[Answer]] | None = None) -> None:
        """Answer with this plan (of one phase unless given) and these attempts and audits of its phases."""
        self.plays_recording(recording(planned or plan(), phases or {}))

    def plays_recording(self, recorded: Recording) -> None:
        self.world.models.play(self.full_name, recorded)

    # What people do

    def begin(self) -> None:
        """Make repository and issue, and install the App. Happens by itself when someone does something."""
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

    def lock_issue(self, by: str = PERSON) -> None:
        self.begin()
        self._as(by, "PUT", f"issues/{self.number}/lock")

    def edit_issue(self, body: str, by: str = PERSON) -> None:
        self._as(by, "PATCH", f"issues/{self.number}", {"body": body})

    def close_issue(self, by: str = PERSON) -> None:
        self._as(by, "PATCH", f"issues/{self.number}", {"state": "closed"})

    def rename(self, full_name: str) -> None:
        """The owner renames the repository, or transfers it to another owner."""
        self.hub.as_owner(PERSON).rename(self.full_name, full_name)
        self.full_name = full_name

    def close_pull(self, by: str = PERSON) -> None:
        self._as(by, "PATCH", f"pulls/{self.pull_number()}", {"state": "closed"})

    def reopen_pull(self, by: str = PERSON) -> None:
        """Open the pull request again."""
        self._as(by, "PATCH", f"pulls/{self.pull_number()}", {"state": "open"})

    def merge_pull(self, by: str = PERSON) -> None:
        self.main = str(self._as(by, "PUT", f"pulls/{self.pull_number()}/merge", {})["sha"])

    def push(self, branch: str, files: dict[str, str | None], by: str = PERSON, message: str = "By hand") -> str:
        """Someone pushes a commit; its sha."""
        self.begin()
        sha = self.hub.commit_files(self.full_name, branch, files, message, as_user=by)
        if branch == "main":
            self.main = sha
        return sha

    def rewrite_branch(self, by: str = PERSON) -> str:
        """Someone moves the run's branch, by force, to a commit that does not hold its work; that commit."""
        sha = self.hub.commit_files(self.full_name, "elsewhere", {"mine.txt": "mine\n"}, "By hand", as_user=by)
        self._as(by, "PATCH", f"git/refs/heads/{self.branch}", {"sha": sha, "force": True})
        return sha

    def comment_as_app(self, text: str) -> None:
        """The App itself says something; counts as expected."""
        self.begin()
        path = f"/repos/{self.full_name}/issues/{self.number}/comments"
        self.world.app_client(self.full_name).post(path, json={"body": text}).raise_for_status()
        self.seen.add(trace.comment_key(self.number, text))

    def review(self, event: str, body: str, *comments: tuple[str, int, str], by: str = PERSON) -> int:
        """Review the pull request (`REQUEST_CHANGES`, `APPROVE` or `COMMENT`), with comments on lines; its id."""
        lines = [{"path": path, "line": line, "body": text} for path, line, text in comments]
        sent = {"event": event, "body": body, "comments": lines}
        return int(self._as(by, "POST", f"pulls/{self.pull_number()}/reviews", sent)["id"])

    def tick(self, box: str, by: str = PERSON) -> None:
        """Tick a box of the newest status comment, as the browser does: the whole comment is edited."""
        key = f"<!-- autopack:status:{self.run_id} -->"
        [comment] = [one for one in self.comments_of_app(self.number) if key in one["body"]]
        assert f"- [ ] {box}" in comment["body"], comment["body"]
        body = comment["body"].replace(f"- [ ] {box}", f"- [x] {box}")
        self._as(by, "PATCH", f"issues/comments/{comment['id']}", {"body": body})

    def edit_comment(self, containing: str, change: Callable[[str], str], by: str = PERSON) -> None:
        """Edit the App's comment on the issue that says this, as people with write access may."""
        [comment] = [one for one in self.comments_of_app(self.number) if containing in one["body"]]
        body = change(str(comment["body"]))
        assert body != comment["body"]
        self._as(by, "PATCH", f"issues/comments/{comment['id']}", {"body": body})

    def delete_comment(self, containing: str, by: str = PERSON) -> None:
        """Delete the App's comment on the issue that says this."""
        [comment] = [one for one in self.comments_of_app(self.number) if containing in one["body"]]
        self._as(by, "DELETE", f"issues/comments/{comment['id']}")

    def line_comment(self, path: str, line: int, text: str, by: str = PERSON) -> None:
        """Comment on a line of the pull request, outside of a review."""
        self.review("COMMENT", "", (path, line, text), by=by)

    def answer_line(self, comment: dict[str, Any], text: str, by: str = PERSON) -> dict[str, Any]:
        """Answer in the thread of a comment on a line."""
        root = comment.get("in_reply_to_id") or comment["id"]
        return dict(self._as(by, "POST", f"pulls/{self.pull_number()}/comments/{root}/replies", {"body": text}))

    def dismiss(self, review_id: int, by: str = PERSON) -> None:
        """Take a review back."""
        self._as(by, "PUT", f"pulls/{self.pull_number()}/reviews/{review_id}/dismissals", {"message": "Settled."})

    def rerun_check(self, name: str, by: str = PERSON) -> None:
        """Press "Re-run" on a check of the App on the branch's head."""
        self._as(by, "POST", f"check-runs/{self.checks(self.head())[name]['id']}/rerequest")

    def delete_branch(self, by: str = PERSON) -> None:
        self._as(by, "DELETE", f"git/refs/heads/{self.branch}")

    def mark_pull_ready(self, by: str = PERSON) -> None:
        mutation = (
            "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
        )
        variables = {"id": self.pull()["node_id"]}
        answer = self.world.user(by).post("/graphql", json={"query": mutation, "variables": variables})
        assert "errors" not in answer.json(), answer.text

    def fails_github(self, method: str, path: str, kind: Any, *, times: int | None = 1, after: int = 0) -> None:
        """The App's next calls of this kind for this repository go wrong; `path` is what follows its address."""
        self.hub.faults.add(method, f"^/repos/{self.full_name}/{path}$", kind, times=times, after=after)

    def fails_git(self, path: str, kind: Any, *, times: int = 1) -> None:
        """The App's next fetches from this repository go wrong; `path` is `info/refs` or `git-upload-pack`."""
        self.hub.faults.add(
            "GET" if path == "info/refs" else "POST", f"^/{self.full_name}.git/{path}$", kind, times=times
        )

    def revoke_tokens(self) -> None:
        """GitHub takes none of the App's tokens any more; new ones can be had."""
        self.hub.revoke_tokens()

    def revoke_git_tokens(self) -> None:
        """GitHub takes none of the tokens with which the App fetches any more."""
        assert self.hub.revoke_tokens({"contents": "read"}) > 0

    def _as(self, login: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Do something as a person."""
        answer = self.world.user(login).request(method, f"/repos/{self.full_name}/{path}", json=body)
        assert answer.is_success, f"{login}: {method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    # The end

    def check(self) -> None:
        """What holds at the end of every story."""
        if not self.number:
            return
        self.world.wait_idle()
        journal = self.hub.journal(self.full_name)
        doubled = trace.doubled(journal)
        assert not doubled, f"made twice: {doubled}"
        clean = {trace.check_key("autopack/integrity", entry.sha or "") for entry in journal if trace.is_clean(entry)}
        left = trace.unexpected(journal, self.seen | clean)
        assert not left, f"the App wrote what the story neither read nor expected: {left}"
        assert self.head(self.default_branch) == self.main, "the default branch was moved"
        self._check_log()
        failed = [one for one in self.world.failed_workflows() if one not in self.known_failures]
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
        if self.number and not self.world.idle():
            self.close_issue()
            self.world.wait_idle(20)

    def release(self) -> None:
        """Take back everything that holds the hub or the models up."""
        self.hub.faults.clear()
        self.hub.webhooks.resume()
        self.hub.runner.release()
        self.world.models.release()

    def keep_history(self) -> None:
        """Read the history now, since the hub is about to stop."""
        self._history = self.history()

    def history(self) -> str:
        """What the App wrote, and the end of the service's log."""
        if self._history:
            return self._history
        lines = [line for line in self.log().splitlines() if '"POST /webhooks/github HTTP/1.1" 202' not in line]
        log = "\n".join(lines)[-8000:]
        return f"{trace.told(self.hub.journal(self.full_name))}\n\n--- the service's log\n{log}"
