"""The commands of the command line that look at runs of a service and steer them, over its REST API."""

import os
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

TIMEOUT_SECONDS = 60.0
FOLLOW_SECONDS = 2.0
Run = Annotated[str, typer.Argument(help="The run's id, as its status comment shows it.")]
Phase = Annotated[str | None, typer.Argument(help="A phase, such as P2.")]


def install(cli: typer.Typer) -> None:
    """Give the command line its commands about runs."""
    for command in (runs, show, logs, pause, resume, cancel, retry, skip, fix, promote):
        cli.command()(command)


def runs(
    state: Annotated[str | None, typer.Option(help="Only runs in this state, such as CI_RUNNING.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=500)] = 20,
) -> None:
    """List the runs of the service, newest first."""
    from rich.console import Console
    from rich.table import Table

    page = _call("GET", "/metrics/runs", params={"limit": limit} | ({"status": state} if state else {}))
    table = Table("Run", "Project", "State", "Phases", "Tokens", "Cost", "Created", box=None)
    for one in page["runs"]:
        cost = "" if one["cost_usd"] is None else f"${float(one['cost_usd']):.2f}"
        figures = (str(one["phase_count"]), f"{one['tokens_used']:,}", cost, str(one["created_at"])[:16])
        table.add_row(one["run_id"], one["project_id"], one["state"], *figures)
    Console(soft_wrap=True).print(table)


def show(run: Run) -> None:
    """Show a run: its state, why, and its phases."""
    _show(_call("GET", f"/runs/{run}"))


def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print every step of a run, with time and cause."""
    shown = 0
    while True:
        steps = _call("GET", f"/runs/{run}/log")["steps"]
        for one in steps[shown:]:
            print(f"{str(one['at'])[:19]}  {one['machine']:5}  {one['subject']}  {one['new']}  {one['cause']}")
        shown = len(steps)
        ended = any(one["machine"] == "run" and one["new"].startswith("DONE_") for one in steps)
        if not follow or ended:
            return
        time.sleep(FOLLOW_SECONDS)


def pause(run: Run) -> None:
    """Send no further model request for the run."""
    _steer(run, "pause")


def resume(run: Run) -> None:
    """Go on with a paused run."""
    _steer(run, "resume")


def cancel(run: Run) -> None:
    """End the run; its branch stays."""
    _steer(run, "cancel")


def retry(
    run: Run,
    phase: Phase = None,
    tokens: Annotated[str | None, typer.Option(help="The new run's cap, such as 2M.")] = None,
    model: Annotated[str | None, typer.Option(help="`vendor:name`")] = None,
) -> None:
    """Do what is not complete in a run that has ended, on the same branch."""
    from app.domain.commands import BadOption, parse_options

    chosen = {name: value for name, value in (("--tokens", tokens), ("--model", model)) if value is not None}
    try:
        options = parse_options(chosen).model_dump(exclude_none=True)
    except BadOption as error:
        raise typer.BadParameter(str(error)) from error
    _steer(run, "retry", {"phase_id": phase, "options": options})


def skip(run: Run, phase: Annotated[str, typer.Argument(help="The phase, such as P2.")]) -> None:
    """Leave a phase of the run out."""
    _steer(run, "skip", {"phase_id": phase})


def fix(run: Run, text: Annotated[str, typer.Argument(help="What to change.")]) -> None:
    """Have a change made, as a phase of its own."""
    _steer(run, "fix", {"text": text})


def promote(run: Run) -> None:
    """Look again whether the run may be promoted, and say what prevents it."""
    _steer(run, "promote")


def _steer(run: str, command: str, body: Mapping[str, Any] | None = None) -> None:
    who = os.environ.get("USER") or "the command line"
    given = {name: value for name, value in (body or {}).items() if value is not None}
    print(_call("POST", f"/runs/{run}/{command}", json={"by": who[:100], **given})["message"])


def _call(method: str, path: str, **options: Any) -> Any:
    """Ask the service. Ends the process with a sentence where it does not answer, or refuses."""
    import httpx

    from app.settings import Settings

    settings = Settings()
    address = os.environ.get("AUTOPACK_URL") or f"http://{settings.host}:{settings.port}"
    token = settings.autopack_api_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        answer = httpx.request(
            method, f"{address.rstrip('/')}{path}", headers=headers, timeout=TIMEOUT_SECONDS, **options
        )
    except (httpx.HTTPError, httpx.InvalidURL) as trouble:
        raise SystemExit(f"No service answers at {address} ({trouble}): start it, or set AUTOPACK_URL") from trouble
    if answer.is_success:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.text[:500]
    raise SystemExit(f"Refused ({answer.status_code}): {detail}")


def _show(card: Mapping[str, Any]) -> None:
    print(f"{card['run_id']}  {card['state']}" + (f"  {card['reason']}" if card["reason"] else ""))
    where = f"branch {card['branch']}" + (f", pull request #{card['pull_number']}" if card["pull_number"] else "")
    print(f"{where}, {card['tokens_used']:,} of {card['token_cap']:,} tokens")
    for tier in card["tiers"]:
        for phase in tier["phases"]:
            note = f"  {phase['note']}" if phase["note"] else ""
            print(f"  {phase['phase_id']:12} {phase['state']:10} {phase['name']}{note}")
    for blocker in card["promotion_blockers"]:
        print(f"  not promotable: {blocker}")
