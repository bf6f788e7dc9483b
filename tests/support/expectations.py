"""What a story expects of the App. What is expected counts as read."""

import re
from collections.abc import Sequence
from typing import Any

from tests.support import trace
from tests.support.repository_view import BOT, PERSON, Reader

_PHASE_OF_KEY = re.compile(r"audit:[\w.-]+:([\w.-]+):\d+")


class Expectations(Reader):
    """Each fails with `AssertionError`, and says what was there instead."""

    def expect_state(self, state: str) -> None:
        """The newest run is in this state, by its status comment."""
        assert self.state() == state

    def expect_comment(self, *containing: str, on: int | None = None) -> str:
        """One comment of the App on the issue (or on `on`) says all this; its text."""
        number = on or self.number

        def matching() -> list[str]:
            bodies = [str(comment["body"]) for comment in self.comments_of_app(number)]
            return [body for body in bodies if all(text in body for text in containing)]

        self.wait_until(lambda: bool(matching()) or self.world.idle(), f"a comment on #{number} says {containing}")
        bodies = matching()
        assert len(bodies) == 1, f"{len(bodies)} comments on #{number} say {containing}"
        body = bodies[0]
        self.seen.add(trace.comment_key(number, body))
        return body

    def expect_no_comment(self) -> None:
        """The App has written no comment on the issue."""
        assert self.comments_of_app(self.number) == []

    def expect_success(self, phases: Sequence[str] = ("P1",)) -> str:
        """The run ends well: each phase has its snapshot, and the pull request is ready. Returns its head."""
        assert self.wait_for_end() == "DONE_SUCCESS"
        return self.expect_offered(phases)

    def expect_offered(self, phases: Sequence[str]) -> str:
        """Each phase of the run has its snapshot, and its pull request is ready to be merged. Returns its head."""
        head = self.head()
        self.expect_ref(f"refs/heads/{self.branch}", head)
        for phase_id in phases:
            self.expect_ref(f"refs/autopack/{self.run_id}/{phase_id}")
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

    def expect_no_ref(self, name: str) -> None:
        """There is no such ref any more."""
        assert not self.hub.git(self.full_name, "for-each-ref", name).strip(), f"there is {name}"
        self.seen.add(trace.ref_key(name))

    def expect_review(self, *containing: str) -> dict[str, Any]:
        """One review of the App on the pull request says all this."""
        number = self.pull_number()
        reviews = [one for one in self._get(f"pulls/{number}/reviews") if one["user"]["login"] == BOT]
        found = [one for one in reviews if all(text in one["body"] for text in containing)]
        assert len(found) == 1, f"{len(found)} of {len(reviews)} reviews say {containing}"
        assert found[0]["state"] == "COMMENTED"
        self.seen.add(trace.review_key(number, found[0]["body"]))
        return dict(found[0])

    def expect_audit(self, *containing: str) -> None:
        """A phase is audited: a review says all this where the audit found something, else the pull request does."""
        number = self.pull_number()
        reviews = [one for one in self._get(f"pulls/{number}/reviews") if one["user"]["login"] == BOT]
        found = [one for one in reviews if all(text in one["body"] for text in containing)]
        assert len(found) < 2, f"{len(found)} reviews say {containing}"
        self.seen.update(trace.review_key(number, one["body"]) for one in found)
        if not found and self._get(f"pulls/{number}")["state"] != "open":
            assert "🔍" in self.status(), "no audit is shown"  # the text of a closed one stays as it was
            return
        said = [_PHASE_OF_KEY.sub(r"`\1`", text) if text.startswith("audit:") else text for text in containing]
        body = str(self._get(f"pulls/{number}")["body"]).replace("\\", "")
        lines = [line for line in body.split("\n- ") if "\n  - audited" in line]
        assert found or any(all(text in line for text in said) for line in lines), f"no audit says {containing}: {body}"

    def expect_fixed(self, comment: dict[str, Any], *containing: str) -> None:
        """The App's comment on a line says at its end what became of it."""
        listed = self._get(f"pulls/{self.pull_number()}/comments")
        [now] = [one for one in listed if one["id"] == comment["id"]]
        assert all(text in now["body"] for text in containing), now["body"]
        self.seen.add(trace.review_comment_key(self.pull_number(), now["body"]))

    def expect_review_comment(self, path: str, line: int, *containing: str) -> dict[str, Any]:
        """One review comment of the App is on this line of the diff and says all this."""
        number = self.pull_number()
        listed = [one for one in self._get(f"pulls/{number}/comments") if one["user"]["login"] == BOT]
        listed = [one for one in listed if not one.get("in_reply_to_id")]
        found = [
            one
            for one in listed
            if (one["path"], one["original_line"]) == (path, line) and all(text in one["body"] for text in containing)
        ]
        assert len(found) == 1, f"{[(one['path'], one['line'], one['body']) for one in listed]}"
        self.seen.add(trace.review_comment_key(number, found[0]["body"]))
        return dict(found[0])

    def expect_thread(self, path: str, body: str) -> dict[str, Any]:
        """A person's comment on a line of the pull request."""
        listed = self._get(f"pulls/{self.pull_number()}/comments?per_page=100")
        return next(one for one in listed if one["path"] == path and one["body"] == body)

    def expect_reply(self, comment: dict[str, Any], *containing: str) -> None:
        """The App has answered a review comment once, saying all this."""
        number = self.pull_number()
        replies = [one for one in self._get(f"pulls/{number}/comments") if one.get("in_reply_to_id") == comment["id"]]
        assert len(replies) == 1, replies
        assert all(text in replies[0]["body"] for text in containing), replies[0]["body"]
        self.seen.add(trace.review_comment_key(number, replies[0]["body"]))

    def expect_resolved_threads(self, count: int) -> None:
        """So many review threads of the pull request are resolved."""
        query = """query($owner: String!, $name: String!, $number: Int!) {
          repository(owner: $owner, name: $name) { pullRequest(number: $number) {
            reviewThreads(first: 100) { nodes { id isResolved } } } } }"""
        owner, _, name = self.full_name.partition("/")
        variables = {"owner": owner, "name": name, "number": self.pull_number()}
        answer = self.world.user(PERSON).post("/graphql", json={"query": query, "variables": variables})
        threads = answer.json()["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"]
        resolved = [one["id"] for one in threads if one["isResolved"]]
        assert len(resolved) == count, threads
        self.seen.update(trace.thread_key(node_id) for node_id in resolved)

    def expect_check(self, name: str, conclusion: str | None, sha: str | None = None) -> dict[str, Any]:
        """The App's check run on the branch's head (or on `sha`) has this conclusion; None: it is not completed."""
        sha = sha or self.head()
        check = self.checks(sha).get(name)
        assert check is not None, f"{sha[:7]} has no check run {name}"
        assert check["conclusion"] == conclusion, f"{name} on {sha[:7]}: {check['conclusion']} {check['output']}"
        self.seen.add(trace.check_key(name, sha))
        return check

    def expect_no_check(self, name: str, sha: str) -> None:
        assert name not in self.checks(sha)

    def expect_ref(self, name: str, sha: str | None = None) -> None:
        """The ref is there (at `sha`)."""
        there = self.hub.git(self.full_name, "for-each-ref", "--format=%(objectname)", name).strip()
        assert there, f"there is no {name}"
        assert sha in (None, there), f"{name} is at {there}, not {sha}"
        self.seen.add(trace.ref_key(name))

    def expect_nothing_pushed(self) -> None:
        """There is no branch, tag or pull request of the App."""
        refs = self.hub.git(self.full_name, "for-each-ref", "--format=%(refname)").split()
        assert [ref for ref in refs if ref != "refs/heads/main"] == []
        assert self._get("pulls?state=all") == []

    def expect_in_log(self, text: str) -> None:
        """The service's log holds this, and lines with it are no reason to fail."""
        assert text in self.log(), f"the log does not hold {text!r}"
        self._log_may_hold.append(text)
