"""The table of integrity rules in docs/security.md, made from the rules.

python -m tests.rules_page --write
"""

import argparse
from pathlib import Path

from app.domain.integrity import RULES
from tests import commands_page

PAGE = Path(__file__).parents[1] / "docs" / "security.md"


def with_table(text: str) -> str:
    """The page with a line for each rule between its marks."""
    lines = ["| rule | what follows | a file that … |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {rule.level} | {rule.meaning} |" for name, rule in RULES.items()]
    return commands_page.with_table(text, "\n".join(lines) + "\n", "rules")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    write, text = parser.parse_args().write, PAGE.read_text(encoding="utf-8")
    if write:
        PAGE.write_text(with_table(text), encoding="utf-8")
    elif with_table(text) != text:
        raise SystemExit("docs/security.md is not what the rules say; run: python -m tests.rules_page --write")


if __name__ == "__main__":
    main()
