"""What a handler asks the workflow engine to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StartRun:
    """Start the workflow of a run that is stored; started already, nothing happens."""

    run_id: str


@dataclass(frozen=True)
class WakeRun:
    """Tell a run that there is something to look at."""

    run_id: str


Action = StartRun | WakeRun
