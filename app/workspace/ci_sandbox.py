"""The jobs of a trial's workflows in the sandbox of commands: they run what models wrote, on a user's own machine.

They see their own folder, the machine's programs and Python, and the network only in steps that install something.
"""

import os
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from app.workspace.bwrap_options import isolation_options, sealed, stub_options, stubs, system_options
from app.workspace.bwrap_program import bwrap_path
from app.workspace.sandbox_user import as_user, command_user
from app.workspace.seccomp import filter_file, memory_file
from app.workspace.trees import hand_over

_TMP_MIB: Final = 2048
_NETWORK_FILES: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/pki")
_INSTALLS: Final = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|pdm|conda|npm|pnpm|yarn|bundle|gem|cargo|go|mvn|gradle|gradlew|composer|dotnet|apt-get|apt"
    r"|curl|wget|git (?:clone|fetch|pull|submodule)|docker|mix|nox|tox|hatch|make (?:setup|install|deps))\b"
)
"""Programs of a step that fetch something. The step is the workflow's own text, which no model may change."""


@contextmanager
def confined(
    command: Sequence[str], folder: Path, working: Path, script: str
) -> Generator[tuple[list[str], list[int]]]:
    """Yield the arguments that run a job's command in the sandbox, and the descriptors that it inherits.

    `folder`: all of the job's files, which alone can be written and last; `working`: where it starts; `script`: the
    step's text, by which it gets the network or not. Raises SandboxError, OSError.
    """
    user = command_user(folder)
    if user is not None:
        hand_over(folder, user)
    network = bool(_INSTALLS.search(script[:100_000]))
    options = [*isolation_options(_TMP_MIB, user, network=network), *system_options()]
    for path in (*(_NETWORK_FILES if network else ()), "/opt"):
        options += ["--ro-bind-try", path, path]
    for place in dict.fromkeys((sys.base_prefix, sys.prefix)):
        options += [*_way_to(Path(place)), "--ro-bind", place, place]
    options += [*_way_to(folder), "--bind", str(folder), str(folder), "--chdir", str(working)]
    with ExitStack() as stack:
        calls = stack.enter_context(filter_file())
        files = {
            path: stack.enter_context(memory_file(text.encode()))
            for path, text in stubs(user).items()
            if not network or path not in _NETWORK_FILES
        }
        options += [*stub_options(files), *sealed(calls.fileno())]
        inherited = [file.fileno() for file in (calls, *files.values())]
        yield [str(bwrap_path()), *options, "--", *as_user(user, tuple(command))], inherited


def _way_to(place: Path) -> list[str]:
    """Folders above a place, which other users than the one who makes them may pass."""
    above = [folder for folder in reversed(place.parents) if folder.parts[1:] and not folder.is_relative_to("/usr")]
    return [option for folder in above for option in ("--perms", "0755", "--dir", os.fspath(folder))]
