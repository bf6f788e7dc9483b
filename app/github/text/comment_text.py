"""Short answers and the one-off comments: plan, refusal, help, incident."""

from collections.abc import Sequence

from app.domain.commands import REGISTRY, usage
from app.domain.finding_verdict import FindingVerdict
from app.domain.outcome import outcome_of
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.status_view import RunView
from app.domain.steer_request import SteerAnswer
from app.github.text.budget_text import budget_section
from app.github.text.escape import advice, code, fence, inline
from app.github.text.markdown import bullets, details, links, sections, table
from app.github.text.status_text import COMMANDS, HEADLINES, failing_job, headline, ledger, parts_line


def permission_refusal(login: str, needed: str = "write, maintain or admin") -> str:
    """The one polite answer to someone who may not steer runs here."""
    return (
        f"Thanks, {code(login, 80)}. Starting and steering Autopack needs the role {inline(needed)} on this "
        "repository, which you do not have. Someone who has it can give the same command."
    )


def help_text(unknown: str | None = None, nearest: str | None = None, *, problem: str = "") -> str:
    """The commands; before them, where one was not understood, which it was and what may have been meant.

    `problem` is what is wrong with a known command's options.
    """
    before = inline(problem, 400)
    if unknown is not None:
        before = f"I do not know the command {code(unknown, 80)}."
        if nearest is not None:
            before += f" Did you mean {code(f'/autopack {nearest}', 80)}?"
    rows = [[f"`{usage(command)}`", spec.meaning] for command, spec in REGISTRY.items()]
    return sections(before, table(["Command", "What it does"], rows, 8_000))


def plan_unreadable(problem: str) -> str:
    """The answer to an edited plan, or to `run`, where the plan's comment cannot be read."""
    return (
        f"The plan cannot be read as it is now: {advice(problem, 500)}. Nothing is built until it is corrected. "
        "Without that comment, `/autopack run` makes a plan of its own."
    )


def superseded_pull(number: int) -> str:
    """What is said on a pull request of an earlier run when another run of the issue has ended well."""
    return f"#{number} takes the place of this pull request: a later run for the issue ended well. The branch stays."


def landed_otherwise(head_sha: str, landed_sha: str, paths: Sequence[str]) -> str:
    """What is said on a merged pull request that landed with something else than what was audited and judged."""
    return sections(
        f"⚠️ What landed in {landed_sha[:7]} is not what was audited and judged in {head_sha[:7]}, merged with the "
        "base. It differs in:",
        bullets((code(path, 200) for path in paths), 8_000),
    )


def only_the_first(command: str) -> str:
    """The answer to a comment with several commands."""
    taken = code(f"/autopack {command}", 80)
    return f"One comment gives one command: I take {taken}. Write the others in comments of their own."


def short_answer(request: RequestedChange) -> str:
    """The answer in a thread: the commit that does what is requested, or the reason why nothing does."""
    if request.declined:
        return f"Not done: {inline(request.declined, 2_000)}"
    return f"Done in {request.answered_by[:7]}."


def called_wrong(verdict: FindingVerdict) -> str:
    """The end of a finding's comment that a person calls wrong."""
    return (
        f"✅ Not a problem, says {code(verdict.login, 80)}. It is not reported again in this repository, until someone "
        "answers `right after all`."
    )


def request_answered(request: RequestedChange) -> str:
    """The answer to a review that requests changes, or to `fix`, once it is settled or declined."""
    name = code(request.login, 80)
    where = f" in {request.url}" if request.url else ""
    if request.declined:
        said = f"What {name} requested{where} is not done: {inline(request.declined, 2_000)}"
    else:
        said = f"What {name} requested{where} is done in {request.answered_by[:7]}."
    if request.kind is RequestKind.REVIEW:
        said += f" Promotion stays closed until {name} approves, or the review is dismissed."
    return said


def steer_answer(answer: SteerAnswer) -> str:
    """The answer to a command about a run."""
    return advice(answer.message, 10_000)


def already_running(view: RunView) -> str:
    """The answer to a second start while a run is on."""
    mark, words = HEADLINES[view.headline]
    return sections(
        f"A run for this issue is on already ({mark} {words[0].lower()}{words[1:]}): {links(view)}.",
        f"Its status comment is kept up to date. Commands: {COMMANDS}",
    )


def no_run() -> str:
    """The answer to a command about a run where there is none."""
    return "There is no run for this issue. `/autopack run` starts one, `/autopack help` lists the commands."


def no_run_on_pull(command: str) -> str:
    """The answer to a command that only an open issue can take."""
    return f"{code(f'/autopack {command}', 80)} works on an open issue; this is a pull request, or closed."


def status_answer(view: RunView) -> str:
    """The state of the run, in short; the status comment says the rest."""
    return sections(headline(view), links(view), "The status comment is up to date and says the rest.")


def incident(view: RunView, excerpt: str, last_diff_stat: str) -> str:
    """The incident pack: what failed, the last diff, findings, CI excerpt, budgets, how to try again."""
    outcome = outcome_of(view)
    mark, words = HEADLINES[outcome.headline]
    return sections(
        f"### {mark} Autopack: {words} ({code(outcome.state.value)})",
        f"**Why:** {inline(outcome.why, 2_000)}" if outcome.why else "",
        failing_job(view),
        f"**How to try again:** {advice(outcome.next_action)}",
        links(view),
        parts_line(view),
        details("The end of the failing log", fence(excerpt, "text", 12_000)) if excerpt.strip() else "",
        details("The last diff", fence(last_diff_stat, "text", 6_000)) if last_diff_stat.strip() else "",
        details("Budgets", budget_section(view)),
        ledger(view, 14_000),
    )
