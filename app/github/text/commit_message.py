"""Commit messages: subject, what was done, and trailers that say which run made it and who asked."""

import re
from urllib.parse import urlsplit

from app.domain.plan import PlannedPhase
from app.github.text.escape import plain, shorten

SUBJECT_LIMIT = 72
BODY_LIMIT = 4_000
_ACTS = re.compile(r"^(?=[A-Za-z][A-Za-z0-9-]*\s*:|---|#)", re.MULTILINE)
"""Starts of lines that git or GitHub may take for a trailer, the end of the message or a comment."""
_SUBJECT = re.compile(r"\ASubject:[ \t]*(\S[^\r\n]*)\s*")
"""The Builder's own subject, for a repository that has a rule for it."""
_LOGIN = re.compile(r"[^A-Za-z0-9_.\[\]-]")


def commit_message(
    *,
    run_id: str,
    phase: PlannedPhase,
    attempt: int,
    strict: bool,
    requester_login: str,
    requester_id: int | None,
    summary: str,
    server_url: str = "https://github.com",
) -> str:
    """The message of a phase's commit: a subject of at most 72 characters, where `[strict]` asks for the strict CI.

    The Builder's summary cannot add trailers, mention people, close issues or skip CI. Where it begins with
    `Subject: …`, that is the subject.
    """
    start = "[strict] " if strict else ""
    own = _SUBJECT.match(summary)
    name = shorten(plain(" ".join((own[1] if own else phase.name).split())), 300)
    paragraphs = [shorten(f"{start}{name}" if own else f"{start}{phase.phase_id}: {name}", SUBJECT_LIMIT)]
    body = _ACTS.sub("  ", plain(summary[own.end() :] if own else summary, BODY_LIMIT)).strip("\n")
    if body.strip():
        paragraphs.append(body)
    paragraphs.append(
        f"Phase {phase.phase_id} ({phase.task_category.value}, {phase.complexity.value}) of run {run_id}."
    )
    trailers = [f"Autopack-Run: {run_id}", f"Autopack-Phase: {phase.phase_id}", f"Autopack-Attempt: {attempt}"]
    if requester_id is not None:
        login = _LOGIN.sub("", requester_login)
        trailers.append(
            f"Co-authored-by: {login} <{requester_id}+{login}@users.noreply.{urlsplit(server_url).hostname}>"
        )
    return "\n\n".join([*paragraphs, "\n".join(trailers)]) + "\n"


def take_back_message(run_id: str, phase_id: str) -> str:
    """The message of the commit that takes back what was pushed for a phase that is left out."""
    return f"Take {phase_id} back\n\nThe phase is left out.\n\nAutopack-Run: {run_id}\nAutopack-Phase: {phase_id}\n"


def merge_message(run_id: str, base: str) -> str:
    """The message of the merge of the base into the run's branch, by which the merge is known again."""
    return f"Merge {shorten(plain(' '.join(base.split())), 100)} into the run's branch\n\nAutopack-Run: {run_id}\n"
