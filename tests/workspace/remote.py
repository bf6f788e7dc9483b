"""A git server for tests: real repositories, over file:// or over smart HTTP with a token."""

import base64
import os
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

OWNER = "octo"
NAME = "demo"
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "maintainer",
    "GIT_AUTHOR_EMAIL": "maintainer@example.com",
    "GIT_COMMITTER_NAME": "maintainer",
    "GIT_COMMITTER_EMAIL": "maintainer@example.com",
}


def run_git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, env=_ENVIRONMENT, check=True, capture_output=True, timeout=60)
    return done.stdout.decode().strip()


class Remote:
    """The repository octo/demo as its users see it: commits are made in `work` and pushed to the bare one."""

    def __init__(self, root: Path, *, partial: bool = True) -> None:
        self.root = root / "server"
        self.bare = self.root / OWNER / f"{NAME}.git"
        self.work = root / "work"
        self.bare.mkdir(parents=True)
        self.work.mkdir()
        run_git(self.bare, "init", "--quiet", "--bare", "--initial-branch=main")
        run_git(self.bare, "config", "uploadpack.allowFilter", str(partial).lower())
        run_git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        run_git(self.work, "init", "--quiet", "--initial-branch=main")
        run_git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def commit(self, files: Mapping[str, str | bytes | None], branch: str = "main", start: str | None = None) -> str:
        """Write, or with None delete, the files on `branch` (started at `start`), push, and return the commit."""
        if start is not None:
            run_git(self.work, "checkout", "--quiet", "-b", branch, start)
        elif run_git(self.work, "for-each-ref", f"refs/heads/{branch}"):
            run_git(self.work, "checkout", "--quiet", branch)
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.commit_work(branch)

    def commit_work(self, branch: str = "main") -> str:
        """Commit and push the files of the working folder."""
        run_git(self.work, "add", "--all", "--force")
        run_git(self.work, "commit", "--quiet", "--allow-empty", "--message", "work")
        run_git(self.work, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return run_git(self.work, "rev-parse", "HEAD")


class HttpRemote:
    """Smart HTTP over a Remote's repositories: asks for `token`, can be made to fail, watches for leaks.

    `seen_in_arguments` collects command lines of any process that held the token while a request was served.
    """

    def __init__(self, remote: Remote, token: str) -> None:
        self.remote = remote
        self.token = token
        self.failures = 0
        self.requests = 0
        self.seen_in_arguments: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def secrets(self) -> tuple[bytes, bytes]:
        return self.token.encode(), base64.b64encode(f"x-access-token:{self.token}".encode())

    def watch(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if any(secret in arguments for secret in self.secrets):
                self.seen_in_arguments.append(arguments)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                outer.watch()
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if outer.failures > 0:
                    outer.failures -= 1
                    self.send_error(503)
                elif self.headers.get("Authorization") != f"Basic {outer.secrets[1].decode()}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.end_headers()
                else:
                    self._serve(body)

            do_POST = do_GET  # noqa: N815 - the name that the base class calls

            def _serve(self, body: bytes) -> None:
                url = urlsplit(self.path)
                variables = {
                    **_ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(outer.remote.root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": url.path,
                    "QUERY_STRING": url.query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                }
                command = ["git", "http-backend"]
                answer = subprocess.run(command, input=body, env=variables, capture_output=True, check=True, timeout=60)
                head, _, content = answer.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        return Handler
