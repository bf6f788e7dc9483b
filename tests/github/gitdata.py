"""GitHub's Git Data API for one repository, kept in dictionaries: enough to see what is written, and how often."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import respx

ROOT = "/repos/acme/widgets/git"


class GitData:
    """Refs, trees and commits by sha. `lose_next` makes the answer to the next request of that path get lost."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.commits: dict[str, dict[str, Any]] = {}
        self.base = self.commit("base", tree="t0", parents=[])
        self.refs: dict[str, str] = {"refs/heads/main": self.base}
        self.trees: list[dict[str, Any]] = []
        self.blobs: list[str] = []
        self.writes: list[str] = []
        self.lose_next: str | None = None
        for path, handler in (
            (rf"{ROOT}/commits/(?P<sha>\w+)$", self._read_commit),
            (rf"{ROOT}/ref/(?P<name>.+)$", self._read_ref),
        ):
            router.get(path__regex=path).mock(side_effect=handler)
        router.post(f"{ROOT}/trees").mock(side_effect=self._losing(self._tree))
        router.post(f"{ROOT}/blobs").mock(side_effect=self._losing(self._blob))
        router.post(f"{ROOT}/commits").mock(side_effect=self._losing(self._commit))
        router.post(f"{ROOT}/refs").mock(side_effect=self._losing(self._create_ref))
        router.patch(path__regex=rf"{ROOT}/refs/(?P<name>.+)$").mock(side_effect=self._losing(self._update_ref))

    def commit(self, message: str, tree: str, parents: list[str]) -> str:
        """Make a commit behind Autopack's back."""
        sha = hashlib.sha1(f"{message}{tree}{parents}{len(self.commits)}".encode()).hexdigest()
        parent_rows = [{"sha": parent} for parent in parents]
        self.commits[sha] = {"sha": sha, "tree": {"sha": tree}, "parents": parent_rows, "message": message}
        return sha

    def _losing(self, handler: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
        def answer(request: httpx.Request, **found: str) -> httpx.Response:
            response = handler(request, **found)
            self.writes.append(f"{request.method} {request.url.path.removeprefix(ROOT)}")
            if self.lose_next is not None and self.lose_next in request.url.path:
                self.lose_next = None
                raise httpx.ReadError("connection reset", request=request)
            return response

        return answer

    def _read_commit(self, request: httpx.Request, sha: str) -> httpx.Response:
        return httpx.Response(200, json=self.commits[sha]) if sha in self.commits else httpx.Response(404, json={})

    def _read_ref(self, request: httpx.Request, name: str) -> httpx.Response:
        sha = self.refs.get(f"refs/{name}")
        return httpx.Response(200, json={"object": {"sha": sha}}) if sha else httpx.Response(404, json={})

    def _tree(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.trees.append(body)
        return httpx.Response(201, json={"sha": hashlib.sha1(request.content).hexdigest()})

    def _blob(self, request: httpx.Request) -> httpx.Response:
        self.blobs.append(json.loads(request.content)["content"])
        return httpx.Response(201, json={"sha": hashlib.sha1(request.content).hexdigest()})

    def _commit(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert set(body) == {"message", "tree", "parents"}, "an author would keep GitHub from signing"
        sha = self.commit(body["message"], body["tree"], body["parents"])
        return httpx.Response(201, json=self.commits[sha])

    def _create_ref(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if body["ref"] in self.refs:
            return httpx.Response(422, json={"message": "Reference already exists"})
        self.refs[body["ref"]] = body["sha"]
        return httpx.Response(201, json={"object": {"sha": body["sha"]}})

    def _update_ref(self, request: httpx.Request, name: str) -> httpx.Response:
        body = json.loads(request.content)
        assert body["force"] is False
        at = self.refs.get(f"refs/{name}")
        if at is None:
            return httpx.Response(422, json={"message": "Reference does not exist"})
        if body["sha"] != at and not self._descends(body["sha"], at):
            return httpx.Response(422, json={"message": "Update is not a fast forward"})
        self.refs[f"refs/{name}"] = body["sha"]
        return httpx.Response(200, json={"object": {"sha": body["sha"]}})

    def _descends(self, sha: str, ancestor: str) -> bool:
        return any(
            re.fullmatch(ancestor, row["sha"]) or self._descends(row["sha"], ancestor)
            for row in self.commits[sha]["parents"]
        )
