"""The command line of Autopack: the service, trials, and what can be looked at without either."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app import collection, steer_cli
from app.token_cli import tokens

cli = typer.Typer(
    help="Autopack: a self-hosted GitHub App that turns a labeled issue into a promotable pull request.",
    no_args_is_help=True,
    add_completion=False,
)

steer_cli.install(cli)
cli.add_typer(tokens, name="token")
BACKLOG = 2048
"""Connections that wait to be accepted, at most."""
DEMO = Path(__file__).parent.parent / "examples" / "demo"


@cli.command()
def serve(
    web: Annotated[
        bool, typer.Option("--web", help="Only take in webhooks and serve the API; workers do the rest.")
    ] = False,
) -> None:
    """Serve webhooks and the REST API; everything is set by environment variables (see the documentation)."""
    collection.pause()  # until the service is ready
    import uvicorn

    from app.main import ProcessRole, app
    from app.settings import Settings
    from app.web import webhooks
    from app.web.http_protocol import HttpProtocol

    settings = Settings()
    _log_to_stderr()
    app.state.role = ProcessRole.WEB if web else ProcessRole.ALL
    logging.getLogger("uvicorn.access").addFilter(webhooks.is_worth_a_line)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        log_level="info",
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
    )


@cli.command()
def worker() -> None:
    """Act on deliveries and runs, with other processes on one PostgreSQL; SIGTERM ends it."""
    collection.pause()
    import asyncio

    from app.db.engine import DatabaseUnusable
    from app.main import work

    _log_to_stderr()
    try:
        asyncio.run(work())
    except DatabaseUnusable as trouble:
        sys.exit(str(trouble))


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("app").setLevel(logging.INFO)


@cli.command("try")
def try_out(
    repo: Annotated[Path, typer.Option(help="A local git repository; its files are not touched.", exists=True)],
    issue: Annotated[Path, typer.Option(help="A Markdown file: `# title`, then the text.", exists=True)],
    model: Annotated[str | None, typer.Option(help="`vendor:name`; by default the ruleset chooses.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for the trial's state; an old one is replaced.")] = Path(
        ".autopack-try"
    ),
    without_sandbox: Annotated[
        bool,
        typer.Option("--without-sandbox", help="Run CI also where no sandbox can be made: models' code, your files."),
    ] = False,
) -> None:
    """Run Autopack on a local repository, against an embedded GitHub, with real models."""
    from app.trial import Trial

    sys.exit(Trial(repository=repo, issue=issue, work=work, model=model, unconfined=without_sandbox).run())


@cli.command()
def demo(
    work: Annotated[Path, typer.Option(help="Folder for the demo's state; an old one is replaced.")] = Path(
        ".autopack-demo"
    ),
    model: Annotated[str | None, typer.Option(help="`vendor:name`; needs a key in the environment.")] = None,
) -> None:
    """Run the bundled sample from issue to promotable pull request; recorded answers without a model key."""
    from app.trial import Trial, copy_sample

    sample = copy_sample(DEMO / "repository", work)
    trial = Trial(repository=sample, issue=DEMO / "issue.md", work=work, model=model, recording=DEMO / "recording.yaml")
    sys.exit(trial.run())


@cli.command()
def strategy(
    plan: Annotated[Path, typer.Option(help="YAML or JSON with tiers and phases.", exists=True, dir_okay=False)],
    ruleset: Annotated[
        Path | None, typer.Option(help="By default the one that ships.", exists=True, dir_okay=False)
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="An autopack.yml.", exists=True, dir_okay=False)] = None,
    safety: Annotated[Literal["normal", "critical"] | None, typer.Option(help="Safety profile.")] = None,
    scope: Annotated[Literal["multi_tier", "single_tier", "incremental"] | None, typer.Option(help="Scope.")] = None,
    tokens: Annotated[str | None, typer.Option(help="The run's cap, such as 500k or 2M.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the strategy that a plan would be governed by, and run nothing."""
    from rich.console import Console

    from app import dry_run

    try:
        done = dry_run.dry_run(plan, ruleset, settings, dry_run.options_of(safety, scope, tokens))
    except dry_run.BadInput as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if json:
        typer.echo(dry_run.as_json(done))
    else:
        dry_run.show(done, Console())


@cli.command()
def schema(
    settings: Annotated[bool, typer.Option("--settings", help="Of .github/autopack.yml, not of a ruleset.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare the published files with the models.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the published files again.")] = False,
) -> None:
    """Print the JSON schema of rulesets, or of a repository's settings."""
    from app.config import loader

    if write:
        loader.publish_schemas()
    elif check:
        outdated = loader.outdated_schemas()
        if outdated:
            typer.echo(
                f"{', '.join(map(str, outdated))}: not what the models say; run: autopack schema --write", err=True
            )
            raise typer.Exit(1)
    else:
        typer.echo(loader.schema_text("settings.schema.json" if settings else "schema.json"), nl=False)


artifacts = typer.Typer(help="The files that tell of runs (AUTONOMOUS_RUNS_DIR).", no_args_is_help=True)
cli.add_typer(artifacts, name="artifacts")


@artifacts.callback()
def _artifacts() -> None:  # with it, `rebuild` stays a command of its own
    """The files that tell of runs (AUTONOMOUS_RUNS_DIR)."""


@artifacts.command()
def rebuild(
    run: Annotated[str | None, typer.Option(help="Only the files of this run.")] = None,
) -> None:
    """Write all files again from the database; the service may be at work meanwhile."""
    from sqlalchemy.exc import NoResultFound, SQLAlchemyError

    from app.artifacts import writer
    from app.db.engine import DatabaseUnusable
    from app.settings import Settings

    settings = Settings()
    os.umask(0o077)
    try:
        count = writer.rebuild(settings, run)
    except NoResultFound:
        sys.exit(f"There is no run {run}")
    except (DatabaseUnusable, SQLAlchemyError, OSError) as trouble:
        sys.exit(f"The files could not be written: {trouble}")
    print(f"Written again: the files of {count} run{'' if count == 1 else 's'}, in {settings.autonomous_runs_dir}")


def main() -> None:
    """Entry point of the console script."""
    cli()


if __name__ == "__main__":
    main()
