"""How many of a model's imprecise edits land, and whether one lands elsewhere than meant.

    python -m benchmarks.edits [--seeds 2] [--source FOLDER ...]

Each edit copies some lines of a file, changes one, and distorts both in one of twelve ways that models are seen to.
Without `--source` the files are generated: functions in Python, TypeScript, Go and Rust. The baseline is the exact
replacement of other agents' tools. The last columns are milliseconds of the slowest refusal.
"""

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from app.workspace.edits import Edit, apply_edits
from app.workspace.text_files import decode
from app.workspace.workspace_errors import EditError

SUFFIXES = {".py", ".ts", ".go", ".rs"}
PER_KIND_AND_FILE = 4
NOUNS = [
    "order",
    "invoice",
    "basket",
    "parcel",
    "ledger",
    "ticket",
    "tenant",
    "policy",
    "branch",
    "commit",
    "worker",
    "packet",
    "tariff",
    "voucher",
]
VERBS = [
    "load",
    "store",
    "merge",
    "split",
    "count",
    "check",
    "parse",
    "print",
    "close",
    "open",
    "rank",
    "group",
    "trim",
    "sort",
]

SHAPES = {
    ".py": (
        "def {v}_{n}(items: list[{N}], limit: int = {k}) -> int:\n"
        '    """{V} every {n} up to the limit."""\n'
        "    total = 0\n"
        "    for item in items:\n"
        "        if item.{v}_{a} > limit:\n"
        "            raise ValueError(\"{n} over '{a}' limit\")\n"
        "        total += item.{a}_size * {k}\n"
        "    return total\n\n\n"
    ),
    ".ts": (
        "export function {v}{N}(items: {N}[], limit = {k}): number {{\n"
        "  let total = 0;\n"
        "  for (const item of items) {{\n"
        "    if (item.{v}{A} > limit) {{\n"
        "      throw new Error(\"{n} over '{a}' limit\");\n"
        "    }}\n"
        "    total += item.{a}Size * {k};\n"
        "  }}\n"
        "  return total;\n"
        "}}\n\n"
    ),
    ".go": (
        "func {V}{N}(items []{N}, limit int) (int, error) {{\n"
        "\ttotal := 0\n"
        "\tfor _, item := range items {{\n"
        "\t\tif item.{V}{A} > limit {{\n"
        "\t\t\treturn 0, errors.New(\"{n} over '{a}' limit\")\n"
        "\t\t}}\n"
        "\t\ttotal += item.{A}Size * {k}\n"
        "\t}}\n"
        "\treturn total, nil\n"
        "}}\n\n"
    ),
    ".rs": (
        "pub fn {v}_{n}(items: &[{N}], limit: u64) -> Result<u64, Error> {{\n"
        "    let mut total = 0;\n"
        "    for item in items {{\n"
        "        if item.{v}_{a} > limit {{\n"
        "            return Err(Error::new(\"{n} over '{a}' limit\"));\n"
        "        }}\n"
        "        total += item.{a}_size * {k};\n"
        "    }}\n"
        "    Ok(total)\n"
        "}}\n\n"
    ),
}

Distort = Callable[[list[str], random.Random], list[str]]


def generated(suffix: str, chance: random.Random) -> str:
    """A file of forty functions."""
    made = [
        SHAPES[suffix].format(v=v, V=v.title(), n=n, N=n.title(), a=a, A=a.title(), k=chance.randint(2, 99))
        for v, n, a in ((chance.choice(VERBS), chance.choice(NOUNS), chance.choice(NOUNS)) for _ in range(40))
    ]
    return "".join(made)


def indentation(lines: list[str], _: random.Random) -> list[str]:
    return [line[min(4, len(line) - len(line.lstrip(" \t"))) :] if line[:1] in {" ", "\t"} else line for line in lines]


def tabs_and_spaces(lines: list[str], _: random.Random) -> list[str]:
    def swap(line: str) -> str:
        lead = line[: len(line) - len(line.lstrip(" \t"))]
        return (lead.replace("\t", "    ") if "\t" in lead else re.sub(" {2,4}", "\t", lead)) + line.lstrip(" \t")

    return list(map(swap, lines))


def trailing_spaces(lines: list[str], chance: random.Random) -> list[str]:
    return [line + " " * chance.randint(0, 2) for line in lines]


def elided(lines: list[str], _: random.Random) -> list[str]:
    return lines


def quotes(lines: list[str], _: random.Random) -> list[str]:
    return [line.translate(str.maketrans("\"'", "'\"")) for line in lines]


def line_numbers(lines: list[str], _: random.Random) -> list[str]:
    return [f"{number}: {line}" for number, line in enumerate(lines, 17)]


def look_alikes(lines: list[str], _: random.Random) -> list[str]:
    return [
        line[: len(line) - len(line.lstrip())] + re.sub("'", "\u2019", line.lstrip(" \t").replace(" ", "\u00a0", 1))
        for line in lines
    ]


KINDS: dict[str, Distort | None] = {
    "1 indentation": indentation,
    "2 tabs vs spaces": tabs_and_spaces,
    "3 trailing spaces": trailing_spaces,
    "4 CRLF": lambda lines, _: lines,
    "5 quote style": quotes,
    "6 elided": elided,
    "7 line numbers": line_numbers,
    "8 moved context": None,
    "9 duplicated": None,
    "10 look-alikes": look_alikes,
    "11 final newline": lambda lines, _: lines,
    "12 stale": None,
}


def changed(line: str) -> str:
    """The line as the edit wants it."""
    return re.sub(r"\b(total|limit|return|item)\b", r"\1_x", line, count=1) if re.search(r"\w", line) else line + "x"


def edits(text: str, kind: str, chance: random.Random) -> Iterator[tuple[str, Edit, str]]:
    """The file, an edit of this kind, and the file as it is meant to be afterwards."""
    lines = text.split("\n")
    for _ in range(PER_KIND_AND_FILE):
        size = chance.randint(9, 14) if kind == "6 elided" else chance.randint(3, 7)
        first = chance.randrange(len(lines) - size - 2)
        window = lines[first : first + size]
        at = next((i for i in chance.sample(range(size), size) if changed(window[i]) != window[i]), None)
        if at is None:
            continue
        new = [changed(line) if i == at else line for i, line in enumerate(window)]
        wanted = "\n".join([*lines[:first], *new, *lines[first + size :]])
        before, old = text, list(window)
        if kind == "4 CRLF":
            before, wanted = text.replace("\n", "\r\n"), wanted.replace("\n", "\r\n")
        elif kind == "6 elided":
            at = size - 1 if at > size // 2 else 0
            new = [changed(line) if i == at else line for i, line in enumerate(window)]
            wanted = "\n".join([*lines[:first], *new, *lines[first + size :]])
            old, new = [*old[:3], "    ...", *old[-3:]], [*new[:3], "    ...", *new[-3:]]
        elif kind == "8 moved context":
            others = [i for i in range(size - 1) if at not in {i, i + 1}]
            if not others:
                continue
            i = chance.choice(others)
            old[i], old[i + 1], new[i], new[i + 1] = old[i + 1], old[i], new[i + 1], new[i]
        elif kind == "9 duplicated":
            before, wanted = text + "\n" + "\n".join(window) + "\n", ""
            new = [changed(line) if i == at else line for i, line in enumerate(window)]
        elif kind == "11 final newline":
            before, wanted = "\n".join(lines[: first + size]), "\n".join([*lines[:first], *new])
            yield before, Edit("\n".join(old) + "\n", "\n".join(new) + "\n"), wanted
            continue
        elif kind == "12 stale":
            old[at], wanted = old[at].replace("o", "0").replace("e", "3") + " # earlier", ""
        distort = KINDS[kind]
        if distort is not None:
            old, new = distort(old, chance), distort(new, chance)
        yield before, Edit("\n".join(old), "\n".join(new)), wanted


def grade(before: str, edit: Edit, wanted: str) -> tuple[str, float]:
    """What became of the edit, and how many milliseconds that took."""
    began = time.perf_counter()
    try:
        got = apply_edits("file", decode("file", before.encode()), [edit])
    except EditError:
        return "refused", (time.perf_counter() - began) * 1000
    took = (time.perf_counter() - began) * 1000
    if got == wanted:
        return "right", took
    blank = re.compile(r"\s+")
    return "but for blanks" if blank.sub("", got) == blank.sub("", wanted) else "WRONG", took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--source", type=Path, action="append", default=[])
    options = parser.parse_args()
    table: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    slowest: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for seed in range(options.seeds):
        chance = random.Random(seed)
        given = [path for folder in options.source for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
        texts = [path.read_text(errors="replace") for path in chance.sample(given, min(16, len(given)))]
        for text in texts or [generated(suffix, chance) for suffix in SHAPES]:
            if text.count("\n") < 40:
                continue
            for kind in KINDS:
                for before, edit, wanted in edits(text, kind, chance):
                    outcome, took = grade(before, edit, wanted)
                    table[kind][outcome] += 1
                    table[kind]["exact"] += before.count(edit.old) == 1
                    if outcome == "refused":
                        slowest[kind] = max(slowest[kind], took)
    columns = ("right", "but for blanks", "WRONG", "refused", "exact")
    print(f"{'kind':<18}" + "".join(f"{column:>16}" for column in columns) + f"{'slowest refusal':>18}")
    for kind, counts in table.items():
        print(f"{kind:<18}" + "".join(f"{counts[column]:>16}" for column in columns) + f"{slowest[kind]:>15.1f} ms")
    total = sum((Counter(counts) for counts in table.values()), Counter[str]())
    every = sum(total[column] for column in columns[:-1])
    landed = total["right"] + total["but for blanks"]
    print(
        f"{every} edits: {landed} land ({landed / every:.0%}), {total['WRONG']} elsewhere; "
        f"exactly copied: {total['exact']} ({total['exact'] / every:.0%})"
    )


if __name__ == "__main__":
    main()
