"""Search in a worktree with `git grep`: bounded in time and size, for every expression."""

import re
from collections import Counter
from dataclasses import dataclass

from app.domain.shown_text import clean, cut_line
from app.workspace.git import GitOutput
from app.workspace.workspace_errors import EditError, GitError
from app.workspace.write_tree import CACHES, RunGit

MAX_MATCHES = 200
SEARCH_DEADLINE = 20.0
_MAX_OUTPUT = 512 * 1024
_MAX_LINE = 300
_MAX_PER_FILE = 50
_BRACKET = re.compile(r"[\[\]]")
_BRACES = re.compile(r"\{([^{}]*)\}")


_LEFT_OUT = tuple(f":(exclude,glob)**/{name}{'**' if name.endswith('/') else ''}" for name in CACHES)


@dataclass(frozen=True, slots=True)
class Match:
    """One matching line, 1-based; long lines are cut."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Matches in the order of their paths."""

    matches: tuple[Match, ...]
    left_out: int
    """Matching lines that are not given."""


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
    patterns = [pattern.lstrip("/") if "/" in pattern else f"**/{pattern}" for pattern in expanded]
    escaped = [_BRACKET.sub(r"\\\g<0>", pattern) for pattern in patterns if "[" in pattern]
    # A path with brackets or braces in it, as dynamic routes have, is taken literally, too.
    literal = [f":(literal){glob.lstrip('/')}"] if set(glob) & set("[{") else []
    return (*(f":(glob){pattern}" for pattern in [*patterns, *escaped]), *literal)


async def search(run: RunGit, regex: str, glob: str | None) -> SearchResult:
    """Return lines of text files, tracked or new, that match a Perl-compatible regular expression.

    Raises EditError when the expression is not valid or does not finish within SEARCH_DEADLINE seconds.
    """
    if not regex or "\n" in regex or "\0" in regex:
        raise EditError("The regular expression must be one line that is not empty")
    output = await _grep(run, ("-n", "--column", f"--max-count={_MAX_PER_FILE}"), regex, glob)
    lines = [line for line in output.stdout.split(b"\n") if line]
    matches = tuple(match for line in lines[:MAX_MATCHES] if (match := _parse(line)))
    per_file = Counter(match.path for match in matches)
    if not (output.truncated or len(lines) > MAX_MATCHES or max(per_file.values(), default=0) >= _MAX_PER_FILE):
        return SearchResult(matches, 0)
    counts = await _grep(run, ("--count",), regex, glob)
    total = sum(int(line.rpartition(b"\0")[2]) for line in counts.stdout.split(b"\n") if line[-1:].isdigit())
    return SearchResult(matches, max(0, total - len(matches)))


async def _grep(run: RunGit, options: tuple[str, ...], regex: str, glob: str | None) -> GitOutput:
    arguments = ("grep", "--untracked", "-I", "-z", "-P", *options, "-e", regex, "--", *pathspecs(glob), *_LEFT_OUT)
    try:
        return await run(*arguments, accept=(0, 1), deadline=SEARCH_DEADLINE, max_output=_MAX_OUTPUT)
    except GitError as error:
        if error.exit_code is None:
            raise EditError("The search took too long; use a simpler expression or a narrower glob") from error
        raise EditError(f"The search failed: {error.stderr.strip()[:300]}") from error


def _parse(line: bytes) -> Match | None:
    path, _, rest = line.partition(b"\0")
    number, _, rest = rest.partition(b"\0")
    column, separator, text = rest.partition(b"\0")
    if not separator or not number.isdigit() or not column.isdigit():
        return None
    before = len(text[: int(column) - 1].decode(errors="replace"))
    shown = cut_line(clean(text.decode(errors="replace")), _MAX_LINE, before)
    return Match(path.decode(errors="replace"), int(number), shown)
