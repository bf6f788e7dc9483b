"""Search in a worktree with `git grep`: bounded in time and size, for every expression."""

import re
from dataclasses import dataclass

from app.workspace.workspace_errors import EditError, GitError
from app.workspace.write_tree import RunGit

MAX_MATCHES = 200
SEARCH_DEADLINE = 20.0
_MAX_OUTPUT = 512 * 1024
_MAX_LINE = 300
_MAX_PER_FILE = 50
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Match:
    """One matching line, 1-based; long lines are cut."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Matches in the order of their paths; `truncated` when there are more than are given."""

    matches: tuple[Match, ...]
    truncated: bool


def pathspecs(glob: str | None) -> tuple[str, ...]:
    """Turn a glob into git pathspecs. `{a,b}` is expanded; without a slash it matches in any directory."""
    if not glob:
        return ()
    expanded = [glob]
    while match := next((found for pattern in expanded if (found := _BRACES.search(pattern))), None):
        pattern = match.string
        expanded.remove(pattern)
        expanded += [pattern[: match.start()] + option + pattern[match.end() :] for option in match[1].split(",")]
        if len(expanded) > 64:
            raise EditError("The glob has too many alternatives; use a simpler one such as **/*.py")
    return tuple(f":(glob){pattern.lstrip('/') if '/' in pattern else f'**/{pattern}'}" for pattern in expanded)


async def search(run: RunGit, regex: str, glob: str | None) -> SearchResult:
    """Return lines of text files, tracked or new, that match a Perl-compatible regular expression.

    Raises EditError when the expression is not valid or does not finish within SEARCH_DEADLINE seconds.
    """
    if not regex or "\n" in regex or "\0" in regex:
        raise EditError("The regular expression must be one line that is not empty")
    arguments = ("grep", "--untracked", "-I", "-n", "-z", "-P", f"--max-count={_MAX_PER_FILE}", "-e", regex, "--")
    try:
        output = await run(
            *arguments, *pathspecs(glob), accept=(0, 1), deadline=SEARCH_DEADLINE, max_output=_MAX_OUTPUT
        )
    except GitError as error:
        if error.exit_code is None:
            raise EditError("The search took too long; use a simpler expression or a narrower glob") from error
        raise EditError(f"The search failed: {error.stderr.strip()[:300]}") from error
    lines = [line for line in output.stdout.split(b"\n") if line]
    matches = tuple(match for line in lines[:MAX_MATCHES] if (match := _parse(line)))
    return SearchResult(matches, output.truncated or len(lines) > MAX_MATCHES)


def _parse(line: bytes) -> Match | None:
    path, _, rest = line.partition(b"\0")
    number, separator, text = rest.partition(b"\0")
    if not separator or not number.isdigit():
        return None
    return Match(path.decode(errors="replace"), int(number), text.decode(errors="replace")[:_MAX_LINE].rstrip("\r"))
