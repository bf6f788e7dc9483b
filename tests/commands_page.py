"""The tables of commands in docs/commands.md and in the README, made from the registry.

python -m tests.commands_page --write
"""

import argparse
from pathlib import Path

from app.domain.commands import BOXES, OPTIONS, REGISTRY, Argument, CommandName, usage

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "commands.md"


def readme_table() -> str:
    """A line for each command."""
    lines = ["| Comment | Effect |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{usage(name)}` | {spec.meaning} |" for name, spec in REGISTRY.items())]) + "\n"


def page_table() -> str:
    """For each command: what it does, and how it is given besides by a comment."""
    lines = ["| Comment | Effect | REST | Command line | Box |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_row(name) for name in REGISTRY)]) + "\n"


def _row(name: CommandName) -> str:
    spec = REGISTRY[name]
    body = {Argument.PHASE: " with `phase_id`", Argument.MAYBE_PHASE: " with or without `phase_id`"}
    body |= {Argument.TEXT: " with `text`", Argument.NONE: ""}
    rest = f"`POST /runs/{{run_id}}/{name}`{body[spec.argument]}" if spec.of_run else ""
    line = f"`autopack {name} RUN {spec.argument.strip('<>').upper()}".rstrip() + "`" if spec.of_run else ""
    takes = f" Options: {', '.join(f'`{one}`' for one in OPTIONS)}." if spec.options else ""
    return f"| `{usage(name)}` | {spec.meaning}.{takes} | {rest} | {line} | {'yes' if name in BOXES else ''} |"


def with_table(text: str, table: str, name: str = "commands") -> str:
    """The page with the table between the marks of this name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}{table}{end}{rest.split(end)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    for page, table in ((README, readme_table()), (PAGE, page_table())):
        text = page.read_text(encoding="utf-8")
        if write:
            page.write_text(with_table(text, table), encoding="utf-8")
        elif with_table(text, table) != text:
            raise SystemExit(f"{page.name} is not what the registry says; run: python -m tests.commands_page --write")


if __name__ == "__main__":
    main()
