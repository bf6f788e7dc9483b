"""`docs/api.md` is true: its commands get the answers that it tells of, and the README lists the API's endpoints."""

import re
from pathlib import Path

import httpx
import pytest

from tests.api.printed import commands_of, send_curl
from tests.support.service import Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = commands_of(PAGE)


@pytest.fixture(scope="session")
def answers(service: Service) -> list[httpx.Response]:
    """What the walk-through gets, sent in its order."""
    return [send_curl(command, service.url, ROOT) for _, command in WALK]


def test_walkthrough_commands_get_their_printed_status(answers: list[httpx.Response]) -> None:
    assert len(WALK) == PAGE.count("\ncurl ") >= 10
    assert [answer.status_code for answer in answers] == [status for status, _ in WALK]


def test_the_walk_through_ends_a_run(answers: list[httpx.Response]) -> None:
    said = [answer.json() for answer in answers]
    assert [one["phase_state"] for one in said if "phase_state" in one] == ["COMPLETE", "GATE", "GATE", "COMPLETE"]
    [run] = [one for (_, command), one in zip(WALK, said, strict=True) if command.endswith("/runs/walk-001")]
    assert (run["state"], run["tokens_used"], run["promotion_eligible_to_main"]) == ("DONE_SUCCESS", 15_000, True)
    [index] = [one for one in said if "issues_by_key" in one]
    assert "test_missing__greeting__unicode" in index["issues_by_key"]


def test_run_can_be_polled_as_documented(service: Service, answers: list[httpx.Response]) -> None:
    first = httpx.get(f"{service.url}/runs/walk-001")
    again = httpx.get(f"{service.url}/runs/walk-001", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_readme_lists_every_endpoint(service: Service) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    listed = set(re.findall(r"`((?:GET|POST) /[^`]*)`", README.partition("## REST API")[2].partition("\n## ")[0]))
    there = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert there - {"POST /webhooks/github"} == listed - {"GET /docs", "GET /redoc", "GET /openapi.json"}
