"""Changes that hide something or cheat their checks, from a file that anyone can extend: each meets its rule."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain.integrity import RULES, ChangedText, Flag, Level
from app.domain.patch import ChangeKind, FileChange
from app.workspace import reading_process
from app.workspace.integrity_scan import scan_apart, scan_changes

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("patches.yaml").read_text(encoding="utf-8"))
OWN = "sk-local-7Qw8Er9Ty0Ui1Op2As3Df4Gh"
LINE = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpI"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{LINE}\n{LINE[::-1]}\n-----END RSA PRIVATE KEY-----\n"


def _own(form: str) -> str:
    raw, half = OWN.encode(), len(OWN) // 2
    forms = {
        "": OWN,
        "reversed": OWN[::-1],
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64+1": base64.b64encode(b"a" + raw + b"b").decode(),
        "base64+2": base64.b64encode(b"ab" + raw + b"c").decode(),
        "first": OWN[:half],
        "second": OWN[half:],
        "line": LINE,
    }
    return forms[form]


def _whole(text: str) -> str:
    def put(match: re.Match[str]) -> str:
        name, _, form = match[1].partition(":")
        if name == "own":
            return _own(form)
        if name == "generics":
            return "a<b<" * int(form)
        return "x" * int(form) if name == "pad" else name

    return re.sub(r"\{\{([^}]+)\}\}", put, text)


def _change(
    path: str, before: str | None, after: str | None, content: str | None = None
) -> tuple[FileChange, str | None]:
    data = base64.b64decode(content) if content is not None else None if after is None else _whole(after).encode()
    kind = ChangeKind.DELETED if data is None else ChangeKind.ADDED if before is None else ChangeKind.MODIFIED
    return FileChange(path=path, kind=kind, content=data), before


def _flags(case: dict[str, Any]) -> tuple[Flag, ...]:
    changes = [_change(case["path"], case.get("before"), case.get("after"), case.get("base64"))]
    changes += [_change(path, None, text) for path, text in case.get("with", {}).items()]
    known = {change.path: before for change, before in changes if before is not None}
    if case.get("rule") == "unread":
        return asyncio.run(_apart([change for change, _ in changes], known))
    return scan_changes([change for change, _ in changes], known, (), (OWN, KEY))


async def _apart(changes: list[FileChange], known: dict[str, str]) -> tuple[Flag, ...]:
    try:
        return await scan_apart(changes, known, (), (OWN, KEY))
    finally:
        await reading_process.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_change_meets_its_rule(case: dict[str, Any]) -> None:
    flags = _flags(case)
    if case.get("level") == "none":
        assert [flag for flag in flags if flag.level is not Level.NOTE] == []
    else:
        assert case["rule"] in {flag.rule for flag in flags}, flags


def test_every_rule_has_an_attack() -> None:
    assert {case["rule"] for case in CASES if "rule" in case} == set(RULES)
    assert len(CASES) >= 80


def test_flag_shows_no_secret() -> None:
    case = next(one for one in CASES if one["name"] == "GitHub App token")
    assert all("16C7e42F292c" not in flag.words for flag in _flags(case))


def test_ignored_rule_finds_nothing() -> None:
    changed = [FileChange(path=".gitlab-ci.yml", kind=ChangeKind.ADDED, content=b"x: 1\n")]
    assert scan_changes(changed, {}, ("ci_file",), ()) == ()
    assert ChangedText(path="a").after is None
