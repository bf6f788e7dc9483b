"""The command line: `autopack serve`, `autopack try`, `autopack demo`."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(
    help="Autopack: a self-hosted GitHub App that turns a labelled issue into a promotable pull request.",
    no_args_is_help=True,
    add_completion=False,
)

DEMO = Path(__file__).parent.parent / "examples" / "demo"


@cli.command()
def serve() -> None:
    """Serve webhooks and the REST API; everything is set by environment variables (see the documentation)."""
    gc.disable()  # what is imported stays: the service turns it on again when it is ready
    import uvicorn

    from app.settings import Settings

    settings = Settings()
    uvicorn.run("app.main:app", host=settings.host, port=settings.port, log_level="info", timeout_graceful_shutdown=5)


@cli.command("try")
def try_out(
    repo: Annotated[Path, typer.Option(help="A local git repository; its files are not touched.", exists=True)],
    issue: Annotated[Path, typer.Option(help="A Markdown file: `# title`, then the text.", exists=True)],
    model: Annotated[str | None, typer.Option(help="`vendor:name`; by default the ruleset chooses.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for the trial's state; made anew.")] = Path(".autopack-try"),
) -> None:
    """Run Autopack on a local repository, against an embedded GitHub, with real models."""
    from app.trial import Trial

    sys.exit(Trial(repository=repo, issue=issue, work=work, model=model).run())


@cli.command()
def demo(
    work: Annotated[Path, typer.Option(help="Folder for the demo's state; made anew.")] = Path(".autopack-demo"),
    model: Annotated[str | None, typer.Option(help="`vendor:name`; needs a key in the environment.")] = None,
) -> None:
    """Run the bundled sample from issue to promotable pull request; recorded answers without a model key."""
    from app.trial import Trial, copy_sample

    sample = copy_sample(DEMO / "repository", work)
    trial = Trial(repository=sample, issue=DEMO / "issue.md", work=work, model=model, recording=DEMO / "recording.yaml")
    sys.exit(trial.run())


def main() -> None:
    """Entry point of the console script."""
    cli()


if __name__ == "__main__":
    main()
