"""Autopack's own check runs: one per name and head commit, updated in place."""

from typing import Any, cast

from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.telling import telling
from app.github.text.check_text import CheckText

RUN_CHECK = "autopack"
PROMOTION_CHECK = "autopack/promotion"
INTEGRITY_CHECK = "autopack/integrity"
OWN_CHECKS = frozenset({RUN_CHECK, PROMOTION_CHECK, INTEGRITY_CHECK})
LIMIT = 65_535
"""Characters of a check run's summary and of its text."""


class _Output(ApiModel):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class _CheckApp(ApiModel):
    id: int


class CheckRun(ApiModel):
    """A check run as GitHub has it."""

    id: int
    name: str
    head_sha: str
    external_id: str | None = None
    status: str
    conclusion: str | None = None
    details_url: str | None = None
    html_url: str | None = None
    output: _Output = _Output()
    app: _CheckApp | None = None


@telling("a check run")
async def upsert_check(
    repo: Repo,
    name: str,
    head_sha: str,
    external_id: str,
    text: CheckText,
    *,
    again: bool = False,
) -> int:
    """Make the App's check run `name` on `head_sha` say this; its id. Sends nothing when it does, unless `again`.

    It is found by name, head sha and `external_id` (the run's id). Texts over GitHub's limit are cut. What this process
    showed last is not read again.
    """
    body = _body(text)
    shown, said = (repo.full_name.casefold(), "check", name, head_sha, external_id), repr(body)
    known = repo.app.shown.id_of(shown)
    if known is not None and repo.app.shown.says(shown, said) and not again:
        return known

    async def make() -> CheckRun:
        whole = {"name": name, "head_sha": head_sha, "external_id": external_id, **body}
        response = await repo.rest.checks.async_create(repo.owner, repo.name, data=cast(Any, whole))
        return parse_response(response, CheckRun)

    if known is None:
        check = await repo.create(lambda: find_check(repo, name, head_sha, external_id), make)
        known, up_to_date = check.id, _same_text(check, body) and not again
    else:
        up_to_date = False
    check_id = known
    if not up_to_date:
        changed = cast(Any, {"name": name, **body})
        await repo.call(lambda: repo.rest.checks.async_update(repo.owner, repo.name, check_id, data=changed))
    repo.app.shown.note(shown, check_id, said)
    return check_id


async def find_check(repo: Repo, name: str, head_sha: str, external_id: str) -> CheckRun | None:
    """The App's newest check run of that name, head sha and external id."""
    listed = await repo.pages(
        lambda page: repo.rest.checks.async_list_for_ref(
            repo.owner,
            repo.name,
            head_sha,
            check_name=name,
            app_id=repo.app_id,
            filter_="all",
            per_page=100,
            page=page,
        ),
        CheckRun,
        key="check_runs",
    )
    own = [
        check
        for check in listed
        if check.external_id == external_id
        and check.name == name
        and check.head_sha == head_sha
        and check.app is not None
        and check.app.id == repo.app_id
    ]
    return max(own, key=lambda check: check.id, default=None)


def _body(text: CheckText) -> dict[str, Any]:
    output = {"title": text.title[:255], "summary": _cut(text.summary), "text": _cut(text.text)}
    body: dict[str, Any] = {"status": text.status, "output": {key: value for key, value in output.items() if value}}
    if text.conclusion is not None:
        body["conclusion"] = text.conclusion
    return body


def _same_text(check: CheckRun, body: dict[str, Any]) -> bool:
    output: dict[str, str] = body["output"]
    return (
        check.status == body["status"]
        and check.conclusion == body.get("conclusion")
        and all((getattr(check.output, key) or "") == output.get(key, "") for key in ("title", "summary", "text"))
    )


_CLOSING = "\n\n</details>"


def _cut(text: str) -> str:
    """GitHub counts bytes here, or characters, depending on whom one asks: stay under in both."""
    if len(text.encode()) <= LIMIT:
        return text
    note = f"{_CLOSING}\n\n… cut: too long for a check run."
    kept = text.encode()[: LIMIT - len(note.encode())].decode(errors="ignore")
    whole = kept.rpartition("\n")[0] or kept  # a row or a tag that is cut in two swallows what follows
    left_open = whole.count("<details>") - whole.count("</details>")
    return whole + note if left_open > 0 else whole + note.removeprefix(_CLOSING)
