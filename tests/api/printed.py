"""Requests as guides print them: `curl` commands and Python snippets. Only the address of the service is replaced."""

import argparse
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

PRINTED_ADDRESS = "http://localhost:8000"
SECONDS = 60.0
_FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def send_curl(command: str, address: str, folder: Path) -> httpx.Response:
    """Send what `curl` would send: the same method, address, headers and body. `folder` holds `@file`."""
    words = shlex.split(command.replace("\\\n", " "))
    words = words[: words.index("|")] if "|" in words else words
    assert words[0] == "curl"
    asked = _arguments().parse_args(words[1:])
    body = None if asked.data is None else _body(asked.data, folder)
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in asked.header)}
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = asked.request or ("GET" if body is None else "POST")
    address = asked.url.replace(PRINTED_ADDRESS, address, 1)
    return httpx.request(method, address, content=body, headers=headers, timeout=SECONDS)


def run_python(
    snippet: str, address: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> list[requests.Response]:
    """Run a snippet with these names defined; what it defines is added to them. Returns the answers it got."""
    answers: list[requests.Response] = []
    real = requests.post

    def post(url: str, **options: Any) -> requests.Response:
        answers.append(real(url, timeout=SECONDS, **options))
        return answers[-1]

    assert PRINTED_ADDRESS in snippet
    with monkeypatch.context() as patched:
        patched.setattr(requests, "post", post)
        exec(snippet.replace(PRINTED_ADDRESS, address), names)
    return answers


def commands_of(page: str) -> list[tuple[int, str]]:
    """The `curl` commands in a page's shell blocks, each with the status that the comment above it tells."""
    return [
        (int(told[1]), told[2].strip())
        for block in _FENCE.findall(page)
        for told in re.finditer(r"^# (\d{3}):[^\n]*\n(curl .*?)(?=^# \d{3}:|\Z)", block, re.DOTALL | re.MULTILINE)
    ]


def problem(answer: httpx.Response, status: int) -> str:
    """The `detail` of an answer that has to be a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: Mapping[str, Any] = answer.json()
    assert said["status"] == status
    assert said["title"]
    detail = said["detail"]
    assert isinstance(detail, str)
    return detail


def _arguments() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    known.add_argument("url")
    known.add_argument("-X", "--request")
    known.add_argument("-H", "--header", action="append", default=[])
    known.add_argument("-d", "--data")
    known.add_argument("-s", "--silent", action="store_true")
    known.add_argument("-i", "--include", action="store_true")
    return known


def _body(data: str, folder: Path) -> bytes:
    """As `-d` has it: a file's line ends are left out, other text is sent as it is."""
    if not data.startswith("@"):
        return data.encode()
    return (folder / data[1:]).read_bytes().replace(b"\r", b"").replace(b"\n", b"")
