"""Counts stilted words in docs, comments, docstrings and texts: `python -m tests.plain_words [--list] [PATH …]`.

Exit code 1 when a part of the project has more than `LIMIT` of them in 1,000 words, or any word in British spelling.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 2.0
"""Stilted words per 1,000 words."""
STILTED = (
    r"anew|mend(?:s|ed|ing)?|begun|whoever|whomever|whatever|whichever|wherever|told|stands?|lies|lay|beside|upon|"
    r"nobody|somebody|heard|c[ao]mes? of|for want of|asked for|(?:is|are|was|were) to(?= [a-z])|of its own accord|"
    r"no more(?! than)|once more|thereof|whereupon|hitherto|shall|ought"
)
"""Words that a reader whose mother tongue is another reads twice."""
BRITISH = (
    r"artefacts?|behaviours?|colours?|licences?|labelled|labelling|neighbours?|judgements?|honours?|favours?|"
    r"centres?|catalogues?|analyse[ds]?|organis\w+|normalis\w+|serialis\w+|initialis\w+|recognis\w+|authoris\w+"
)
FOREIGN_FOLDERS = ("examples/", "app/db/migrations/", "docs/pages/")
"""Text that other tools write, or that stands for another project's."""


def main(arguments: list[str]) -> int:
    """Print the rate of each part of the project; 1 when one has too many."""
    show = "--list" in arguments
    wanted = [path for path in arguments if not path.startswith("--")]
    words: Counter[str] = Counter()
    stilted: Counter[str] = Counter()
    british = 0
    for path in list_files():
        if wanted and not any(path.startswith(prefix) for prefix in wanted):
            continue
        for line, text in read_texts(path):
            words[part_of(path)] += len(re.findall(r"[A-Za-z']+", text))
            for match in re.finditer(rf"\b(?:{STILTED})\b", text, re.IGNORECASE):
                stilted[part_of(path)] += 1
                if show:
                    print(f"{path}:{line}: {match[0]}: {excerpt(text, match)}")
            for match in re.finditer(rf"\b(?:{BRITISH})\b", text, re.IGNORECASE):
                british += 1
                print(f"{path}:{line}: British spelling: {match[0]}")
    too_many = False
    for part, count in sorted(words.items()):
        rate = 1000 * stilted[part] / count
        too_many = too_many or rate > LIMIT
        if show or rate > LIMIT:
            print(f"{part}: {stilted[part]} stilted words in {count:,} ({rate:.1f} per 1,000; at most {LIMIT:g})")
    return int(too_many or british > 0)


def list_files() -> list[str]:
    """The paths of the project's own Python and Markdown files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md", "*.md.j2", "*.html.j2"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [
        p for p in listed if not p.startswith(FOREIGN_FOLDERS) and (ROOT / p).is_file() and p != "tests/plain_words.py"
    ]


def part_of(path: str) -> str:
    """The room of app/, or the top-level folder or file, that a file belongs to."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "app" else parts[0]


def read_texts(path: str) -> Iterator[tuple[int, str]]:
    """Pairs of line number and text that people read: prose, comments, docstrings and string literals with a space."""
    source = (ROOT / path).read_text()
    if not path.endswith(".py"):
        yield from enumerate(source.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def excerpt(text: str, match: re.Match[str]) -> str:
    """The words around a match, on one line."""
    return " ".join(text[max(0, match.start() - 50) : match.end() + 40].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
