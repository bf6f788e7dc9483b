"""Findings become one review: on lines where the diff allows it, in its body where not, and never twice."""

import json
from typing import Any

import httpx
import pytest
import respx

from app.domain.diff import parse
from app.domain.findings import Finding, Recommendation, Severity, Side, Source
from app.github import reviews, text
from app.github.client import Repo
from app.github.placement import MAX_INLINE, on_the_base, place_findings
from app.github.telling import told
from app.github.text.review_text import finding_marker

DIFF = """\
diff --git a/app.py b/app.py
index 1..2 100644
--- a/app.py
+++ b/app.py
@@ -1,4 +1,5 @@
 one
-two
+TWO
+three
 four
 five
@@ -20,3 +21,3 @@
 a
-b
+B
 c
diff --git a/old name.py b/new name.py
similarity index 90%
rename from old name.py
rename to new name.py
--- a/old name.py
+++ b/new name.py
@@ -1 +1 @@
-x
+y
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1,2 +0,0 @@
-first
-second
diff --git a/logo.png b/logo.png
index 1..2 100644
Binary files a/logo.png and b/logo.png differ
"""
FILES = parse(DIFF)


def finding(key: str = "k", **other: Any) -> Finding:
    given = {"severity": Severity.MAJOR, "source": Source.AUDITOR, "category": "correctness", "problem": "wrong"}
    return Finding.model_validate({"issue_key": key, **given, **other})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"path": "app.py", "line": 2}, ("app.py", "RIGHT", None, 2)),
        ({"path": "app.py", "line": 3, "start_line": 2}, ("app.py", "RIGHT", 2, 3)),
        ({"path": "app.py", "line": 2, "start_line": 3}, ("app.py", "RIGHT", 2, 3)),
        ({"path": "app.py", "line": 3, "start_line": 3}, ("app.py", "RIGHT", None, 3)),
        ({"path": "app.py", "line": 22, "start_line": 2}, ("app.py", "RIGHT", None, 22)),
        ({"path": "app.py", "line": 2, "side": Side.LEFT}, ("app.py", "LEFT", None, 2)),
        ({"path": "old name.py", "line": 1}, ("new name.py", "RIGHT", None, 1)),
        ({"path": "gone.py", "line": 2, "side": Side.LEFT}, ("gone.py", "LEFT", None, 2)),
        ({"path": "gone.py", "line": 2}, None),
        ({"path": "app.py", "line": 12}, None),
        ({"path": "app.py", "line": 1, "side": Side.LEFT}, None),
        ({"path": "logo.png", "line": 1}, None),
        ({"path": "other.py", "line": 1}, None),
        ({"path": "app.py"}, None),
        ({}, None),
    ],
)
def test_where_a_finding_is_shown(given: dict[str, Any], expected: tuple[str, str, int | None, int] | None) -> None:
    placement = place_findings([finding(**given)], FILES)
    if expected is None:
        assert not placement.inline
        assert len(placement.body) == 1
    else:
        (one,) = placement.inline
        assert (one.path, one.side, one.start_line, one.line) == expected
        assert not placement.body


def test_suggestion_covers_exactly_its_lines() -> None:
    whole = finding(path="app.py", start_line=2, line=3, replacement="TWO = 2\n")
    across = finding("k2", path="app.py", start_line=2, line=22, replacement="x")
    removed = finding("k3", path="app.py", line=2, side=Side.LEFT, replacement="x")
    forged = finding("k4", path="app.py", line=2, replacement="<!-- autopack:status:r1 -->")
    shown = place_findings([whole, across, removed, forged], FILES).inline
    assert [one.suggest for one in shown] == [True, False, False, False]
    assert "```suggestion\nTWO = 2\n```" in shown[0].body
    assert all("suggestion" not in one.body for one in shown[1:])


def test_fence_in_suggestion_is_contained() -> None:
    body = text.review_comment(finding(replacement="```\ncode\n```"), suggest=True)
    assert "````suggestion\n```\ncode\n```\n````" in body


def test_many_findings_go_to_the_body() -> None:
    many = [finding(f"k{n}", path="app.py", line=2) for n in range(MAX_INLINE + 3)]
    placement = place_findings([*many, *many], FILES)
    assert (len(placement.inline), len(placement.body)) == (MAX_INLINE, 3)
    assert placement.inline[0].finding == many[0]


class Pull:
    """Reviews and review comments of one pull request."""

    def __init__(self, github: respx.MockRouter) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.refuse_lines = False
        self.lose_answer = False
        self.tries = 0
        root = "/repos/acme/widgets/pulls/7"
        github.get(f"{root}/reviews").mock(side_effect=self.list_reviews)
        github.get(f"{root}/comments").mock(side_effect=self.list_comments)
        github.post(f"{root}/reviews").mock(side_effect=self.create)
        github.get(f"{root}/files").respond(json=[{"filename": "app.py"}, {"filename": "b.py", "patch": "no diff"}])
        github.patch(path__regex=r"/repos/acme/widgets/pulls/comments/(?P<number>\d+)").mock(side_effect=self.edit)

    def list_reviews(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self.reviews)

    def list_comments(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self.comments)

    def create(self, request: httpx.Request) -> httpx.Response:
        self.tries += 1
        body = json.loads(request.content)
        assert body["event"] == "COMMENT"
        if self.refuse_lines and body["comments"]:
            return httpx.Response(422, json={"message": "Unprocessable", "errors": ["line must be part of the diff"]})
        review: dict[str, Any] = {
            "id": 100 + len(self.reviews),
            "body": body["body"],
            "user": {"login": "autopack[bot]"},
        }
        self.reviews.append(review)
        for comment in body["comments"]:
            self.add(comment["body"], review["id"])
        if self.lose_answer:
            self.lose_answer = False
            raise httpx.ReadTimeout("lost", request=request)
        return httpx.Response(200, json=review)

    def edit(self, request: httpx.Request, number: str) -> httpx.Response:
        [comment] = [one for one in self.comments if one["id"] == int(number)]
        comment["body"] = json.loads(request.content)["body"]
        return httpx.Response(200, json=comment)

    def add(self, body: str, review: int | None, root: int | None = None, login: str = "autopack[bot]") -> None:
        self.comments.append(
            {
                "id": 500 + len(self.comments),
                "body": body,
                "user": {"login": login},
                "pull_request_review_id": review,
                "in_reply_to_id": root,
            }
        )


@pytest.fixture
def pull(github: respx.MockRouter) -> Pull:
    return Pull(github)


SHA = "a" * 40
PLACEMENT = place_findings([finding("k1", path="app.py", line=2), finding("k2")], FILES)


@pytest.mark.parametrize(
    ("quote", "line", "side", "placed"),
    [
        ("three", 3, Side.RIGHT, 3),
        ("three", 1, Side.RIGHT, 3),
        ("  three  ", 900, Side.RIGHT, 3),
        ("thre", 2, Side.RIGHT, 3),
        ("two", 9, Side.LEFT, 2),
        ("b", 3, Side.LEFT, 21),
        ("nowhere", 3, Side.RIGHT, None),
        ("", 3, Side.RIGHT, 3),
        ("\n", 3, Side.RIGHT, 3),
    ],
)
def test_quoted_text_outweighs_the_number(quote: str, line: int, side: Side, placed: int | None) -> None:
    one = finding("k", path="app.py", line=line, side=side, quote=quote)
    found = place_findings([one], FILES)
    assert [comment.line for comment in found.inline] == ([] if placed is None else [placed])
    assert len(found.body) == (placed is None)


def test_quoted_lines_move_together() -> None:
    one = finding("k", path="app.py", start_line=11, line=12, quote="three")
    (comment,) = place_findings([one], FILES).inline
    assert (comment.start_line, comment.line) == (2, 3)


async def test_repeated_audit_is_one_review(repo: Repo, pull: Pull) -> None:
    pull.lose_answer = True
    first = told(await reviews.post_review(repo, 7, SHA, "audit:r1:P1:1", "verdict", PLACEMENT))
    again = told(await reviews.post_review(repo, 7, SHA, "audit:r1:P1:1", "verdict", PLACEMENT))
    assert first == again
    assert len(pull.reviews) == 1
    assert first is not None
    assert first.posted == (PLACEMENT.inline[0].finding.fingerprint,)
    assert first.in_body == (PLACEMENT.body[0].fingerprint,)


@pytest.mark.parametrize("resolved", [False, True])
async def test_later_audit_repeats_only_what_was_settled(
    repo: Repo, pull: Pull, github: respx.MockRouter, resolved: bool
) -> None:
    await reviews.post_review(repo, 7, SHA, "audit:r1:P1:1", "verdict", PLACEMENT)
    url = f"https://github.test/x/pull/7#discussion_r{pull.comments[0]['id']}"
    threads = {
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "nodes": [{"id": "T1", "isResolved": resolved, "comments": {"nodes": [{"url": url}]}}],
    }
    data = {"repository": {"pullRequest": {"reviewThreads": threads}}}
    github.post("/graphql").mock(return_value=httpx.Response(200, json={"data": data}))
    second = told(await reviews.post_review(repo, 7, SHA, "audit:r1:P1:2", "verdict", PLACEMENT))
    assert second is not None
    assert (second.posted, len(second.in_body)) == ((), int(resolved))
    assert len(pull.comments) == 1


async def test_refused_lines_lose_nothing(repo: Repo, pull: Pull) -> None:
    pull.refuse_lines = True
    review = told(await reviews.post_review(repo, 7, SHA, "audit:r1:P1:1", "verdict", PLACEMENT))
    assert pull.tries == 2
    assert review is not None
    assert review.posted == ()
    assert len(review.in_body) == 2
    assert all(finding_marker(fingerprint) in pull.reviews[0]["body"] for fingerprint in review.in_body)


async def test_fixed_thread_is_answered_and_resolved(repo: Repo, pull: Pull, github: respx.MockRouter) -> None:
    await reviews.post_review(repo, 7, SHA, "audit:r1:P1:1", "verdict", PLACEMENT)
    pull.add(finding_marker("f" * 16), None, login="outsider")
    resolved: list[str] = []

    def graphql(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "resolveReviewThread" in body["query"]:
            resolved.append(body["variables"]["id"])
            return httpx.Response(200, json={"data": {"resolveReviewThread": {"thread": {"isResolved": True}}}})
        nodes = [
            {
                "id": f"T{c['id']}",
                "isResolved": f"T{c['id']}" in resolved,
                "comments": {"nodes": [{"url": f"https://github.com/acme/widgets/pull/2#discussion_r{c['id']}"}]},
            }
            for c in pull.comments
            if c["in_reply_to_id"] is None
        ]
        page = {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}
        return httpx.Response(200, json={"data": {"repository": {"pullRequest": {"reviewThreads": page}}}})

    github.post("/graphql").mock(side_effect=graphql)
    fixed = [PLACEMENT.inline[0].finding.fingerprint, "f" * 16]
    assert await reviews.resolve_threads(repo, 7, fixed, "Fixed in abc1234.") == 1
    assert await reviews.resolve_threads(repo, 7, fixed, "Fixed in abc1234.") == 0
    resolved.clear()
    assert await reviews.resolve_threads(repo, 7, fixed, "Fixed in abc1234.") == 1
    noted = [c["body"].count("Fixed in abc1234.") for c in pull.comments if c["user"]["login"] == "autopack[bot]"]
    assert noted == [1]


def test_review_names_models_and_quotes_summary() -> None:
    body = text.review_body(
        Recommendation.REVISE, "Fix <b>it</b> @all", phase_id="P1", builders=["a:one"], auditors=["b:two"]
    )
    assert "`a:one`" in body
    assert "`b:two`" in body
    assert "\n> Fix <\u200bb>it" in body
    assert "@all" not in body


def test_removed_line_of_a_later_phase_is_renumbered() -> None:
    """Line 20 as phase 2 found it is line 10 of the base; what phase 1 added is on no left side."""
    before = "".join(f"+new {n}\n" for n in range(1, 11)) + " line 1\n line 2\n line 3\n"
    removed = " line 17\n line 18\n line 19\n-line 20\n line 21\n line 22\n line 23\n"
    head = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n"
    earlier = parse(f"{head}@@ -1,3 +1,13 @@\n{before}@@ -17,7 +27,6 @@ line 16\n{removed}")
    numbered = ((20, Side.LEFT), (4, Side.LEFT), (35, Side.LEFT), (20, Side.RIGHT))
    found = [finding(f"k{line}", path="a.py", line=line, side=side) for line, side in numbered]
    assert [one.line for one in on_the_base(found, earlier)] == [10, None, 26, 20]
