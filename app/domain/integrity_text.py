"""Rules about a change's characters and single lines: what hides, what silences, what calls out."""

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from app.domain.integrity import ChangedText, Flag
from app.domain.integrity_tests import is_test

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Trojan Source, CVE-2021-42574."""
_INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
)
_JOINERS = frozenset("\u200c\u200d")
_SUSPECT = re.compile(f"[{''.join(sorted(_BIDI | _INVISIBLE | _JOINERS))}\U000e0000-\U000e01ef]")
_WORD = re.compile(r"\w{2,120}")
_SUPPRESSION = re.compile(
    r"#\s{0,4}(?:noqa|type:\s{0,4}ignore|pyright:\s{0,4}ignore|pragma:\s{0,4}no cover"
    r"|pylint:\s{0,4}disable|nosec|fmt: off)"
    r"|(?://|/\*)\s{0,4}(?:eslint-disable|@ts-(?:ignore|nocheck|expect-error)|nolint|NOLINT|istanbul ignore|c8 ignore"
    r"|tslint:disable|biome-ignore)|@SuppressWarnings|#!?\[allow\(|rubocop:disable",
)
_NETWORK = re.compile(
    r"\b(?:requests\.(?:get|post|put|patch|delete|request|Session)|httpx\.|aiohttp\.|urllib\d?\.|urlopen\(|fetch\(|axios[.(]"
    r"|XMLHttpRequest|WebSocket\(|https?\.(?:get|post|request)\(|net\.(?:Dial|connect|createConnection)\("
    r"|socket\.(?:socket|create_connection)\(|curl |wget |Invoke-WebRequest|reqwest::|TcpStream::connect|ftplib|smtplib"
    r"|telnetlib|paramiko)",
)
_GOES_ON = re.compile(
    r"\|\|\s{0,4}(?:true|:|exit 0)(?=\s|$|[\"';)])|continue-on-error:\s{0,4}true|allow_failure:\s{0,4}true|set \+e\b"
    r"|--passWithNoTests|--exit-zero|ignore_errors\s{0,4}[=:]\s{0,4}true",
    re.IGNORECASE,
)
_SCRIPTS = re.compile(
    r"(?:^|/)(?:package\.json|makefile|[^/]*\.mk|justfile|taskfile\.ya?ml|tox\.ini|noxfile\.py|[^/]*\.(?:sh|bash|ps1|bat)|pyproject\.toml|[^/]*\.ya?ml)$",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\.(?:py|pyi|js|jsx|ts|tsx|mjs|cjs|go|rs|java|kt|rb|php|cs|c|h|cc|cpp|hpp|swift|scala|sh|bash|ps1|pl|lua|ex|exs|dart|vue|svelte)$",
    re.IGNORECASE,
)
_LINT_FILES = re.compile(
    r"(?:^|/)(?:\.eslintrc[^/]*|\.eslintignore|eslint\.config\.[cm]?[jt]s|\.flake8|\.?ruff\.toml|\.?mypy\.ini|\.pylintrc|pylintrc|\.golangci\.[^/]*"
    r"|\.rubocop[^/]*|tslint\.json|biome\.jsonc?|\.stylelintrc[^/]*|clippy\.toml|pyrightconfig\.json|phpstan\.neon[^/]*|phpcs\.xml"
    r"|psalm\.xml|\.swiftlint\.yml|checkstyle\.xml|detekt\.yml|\.hadolint\.ya?ml|\.semgrepignore|\.bandit|\.yamllint[^/]*|\.markdownlint[^/]*)$",
    re.IGNORECASE,
)
_TOOLS = ("ruff", "mypy", "pylint", "flake8", "pyright", "basedpyright", "bandit", "coverage", "pytest")
_THRESHOLD_FILES = re.compile(
    r"(?:^|/)(?:pyproject\.toml|setup\.cfg|tox\.ini|\.coveragerc|pytest\.ini|package\.json|(?:jest|vitest|karma)\.conf[^/]*|\.nycrc[^/]*"
    r"|\.c8rc[^/]*|\.?codecov\.ya?ml|makefile|noxfile\.py|sonar-project\.properties|build\.gradle(?:\.kts)?|pom\.xml|\.simplecov|justfile)$",
    re.IGNORECASE,
)
_THRESHOLD = re.compile(
    r"\b(?P<key>fail[_-]under|cov-fail-under|min(?:imum)?[_-]?(?:coverage|score|line|branch)?|branches|functions|lines|statements"
    r"|threshold|target|max-?warnings)\b[\"']?\s{0,4}[=:>( ]\s{0,4}[\"']?(?P<value>\d{1,6}(?:\.\d{1,4})?)",
    re.IGNORECASE,
)


def scan_text(file: ChangedText) -> Iterable[Flag]:
    """Flags about one file's text; only what the change adds counts."""
    if file.binary:
        yield Flag(rule="image" if file.image else "binary", path=file.path)
    if _is_mixed(file.path):
        yield Flag(rule="look_alike", path=file.path)
    if file.after is None and not file.deleted:
        return
    added = list(added_lines(file))
    yield from _hidden(file.path, added)
    for number, line in added:
        if _GOES_ON.search(line) and _SCRIPTS.search(file.path):
            yield Flag(rule="failure_ignored", path=file.path, line=number, detail=_shown(line))
    if _CODE.search(file.path):
        yield from _of_code(file, added)
    yield from _settings(file)


def added_lines(file: ChangedText) -> Iterator[tuple[int, str]]:
    """The lines that the file has now and had not, with their numbers, however they were moved."""
    known = Counter((file.before or "").split("\n"))
    for number, line in enumerate((file.after or "").split("\n"), 1):
        if known[line] > 0:
            known[line] -= 1
        else:
            yield number, line


def _hidden(path: str, added: Iterable[tuple[int, str]]) -> Iterable[Flag]:
    for number, line in added:
        if line.isascii() or not _SUSPECT.search(line):
            continue
        found = next((char for index, char in enumerate(line) if _hides(line, index, first=number == 1)), None)
        if found is not None:
            yield Flag(rule="hidden_text", path=path, line=number, detail=f"U+{ord(found):04X}")
            return


def _hides(line: str, index: int, *, first: bool) -> bool:
    char = line[index]
    if char in _BIDI or 0xE0000 <= ord(char) <= 0xE01EF:
        return True
    if char in _INVISIBLE:
        return not (char == "\ufeff" and first and index == 0)
    if char in _JOINERS:  # between letters of ASCII no script and no emoji needs them
        around = line[max(0, index - 1) : index] + line[index + 1 : index + 2]
        return around.isascii()
    return False


def _of_code(file: ChangedText, added: list[tuple[int, str]]) -> Iterable[Flag]:
    for number, line in added:
        mixed = None if line.isascii() else next(filter(_is_mixed, _WORD.findall(line[:2_000])), None)
        if mixed is not None:
            yield Flag(rule="look_alike", path=file.path, line=number, detail=mixed)
            break
    for rule, pattern in (("suppression", _SUPPRESSION), ("network_call", _NETWORK)):
        if rule == "network_call" and is_test(file.path):
            continue
        found = next(((number, line) for number, line in added if pattern.search(line[:2_000])), None)
        if found is not None:
            yield Flag(rule=rule, path=file.path, line=found[0], detail=_shown(found[1]))


def _is_mixed(name: str) -> bool:
    """Whether a word mixes Latin letters with Cyrillic or Greek ones."""
    if name.isascii():
        return False
    for word in _WORD.findall(name):
        scripts = {unicodedata.name(char, "").partition(" ")[0] for char in word if char.isalpha()}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}:
            return True
    return False


def _settings(file: ChangedText) -> Iterable[Flag]:
    if _LINT_FILES.search(file.path) and file.before is not None:
        yield Flag(rule="lint_settings", path=file.path)
    if file.path.rpartition("/")[2] == "pyproject.toml" and file.before is not None:
        before, after = _tools(file.before), _tools(file.after)
        changed = [name for name in _TOOLS if before.get(name) is not None and before.get(name) != after.get(name)]
        yield from (Flag(rule="lint_settings", path=file.path, detail=f"tool.{name}") for name in changed)
    if _THRESHOLD_FILES.search(file.path) and file.before is not None:
        yield from _thresholds(file)


def _tools(text: str | None) -> dict[str, Any]:
    try:
        return dict(tomllib.loads(text or "").get("tool", {}))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _thresholds(file: ChangedText) -> Iterable[Flag]:
    before, after = _figures(file.before), _figures(file.after)
    for key, value in before.items():
        now = after.get(key)
        most = key.startswith("max")
        looser = now is None or (now > value if most else now < value)
        if looser:
            yield Flag(
                rule="threshold_loosened",
                path=file.path,
                detail=f"{key}: {value:g} → {'none' if now is None else f'{now:g}'}",
            )


def _figures(text: str | None) -> dict[str, float]:
    """Thresholds by key; of several, the tightest."""
    found: dict[str, float] = {}
    for match in _THRESHOLD.finditer(text or ""):
        key, value = match["key"].casefold(), float(match["value"])
        most = key.startswith("max")
        found[key] = (min if most else max)(found.get(key, value), value)
    return found


def _shown(line: str) -> str:
    return " ".join(line.split())[:120]
