"""The one way a ref moves: policy, compare-and-swap, and everything GitHub does when it has moved."""

import subprocess

from app.hub import workflow_files
from app.hub.actions import trigger
from app.hub.auth import ROLES, Actor, role
from app.hub.commits_api import identity
from app.hub.git_repos import ZERO, Bare, bare, environment
from app.hub.github_problems import Refusal
from app.hub.journal import record
from app.hub.pull_queries import diff_base, find, follow, mergeability
from app.hub.rulesets import violations
from app.hub.serializers import simple_commit, user
from app.hub.state import HubState, Json, now
from app.hub.store import Row
from app.hub.suites import open_push_suites
from app.hub.webhook_sender import emit
from app.hub.workflow_files import Trigger

MAX_PUSH_COMMITS = 2048


def policy(hub: HubState, repo: Row, actor: Actor) -> dict[str, str]:
    """The variables by which the pre-receive hook decides for this actor."""
    rows = hub.store.rows("SELECT DISTINCT branch FROM protections WHERE repo_id = ?", repo["id"])
    protected = [] if _is_exempt(hub, repo, actor) else [f"refs/heads/{row['branch']}" for row in rows]
    return {
        "HUB_ACTOR": "user" if actor.kind == "user" else "app",
        "HUB_APP_REFS": "\n".join(hub.app_refs),
        "HUB_WORKFLOWS": "1" if actor.has("workflows", "write") else "0",
        "HUB_PROTECTED": "\n".join(protected),
        "HUB_DEFAULT": f"refs/heads/{repo['default_branch']}",
    }


def _is_exempt(hub: HubState, repo: Row, actor: Actor) -> bool:
    return actor.kind == "user" and ROLES[role(hub, repo, actor.user["id"])] >= ROLES["maintain"]


def check(
    hub: HubState, repo: Row, actor: Actor, ref: str, old: str, new: str, *, merging: bool = False, status: int = 422
) -> None:
    """Ask the same hook that judges pushes, then the rulesets.

    `status` (422) for a ref under a rule, 403 for a workflow change by an App.
    """
    variables = policy(hub, repo, actor) | ({"HUB_PROTECTED": ""} if merging else {})
    git = bare(hub, repo)
    done = subprocess.run(
        [str(hub.root / "hooks" / "pre-receive")],
        input=f"{old} {new} {ref}\n",
        cwd=git.path,
        env=environment(**variables, GIT_DIR=str(git.path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        message = done.stderr.strip()
        if "GH013" in message:  # the words of https://github.com/googleapis/release-please-action/issues/1194
            detail = "Cannot create ref due to creations being restricted."
            raise Refusal(422, f"Repository rule violations found\n\n{detail}\n\n")
        raise Refusal(422, "Cannot update this protected ref.") if "GH006" in message else Refusal(403, message)
    against = [] if _is_exempt(hub, repo, actor) else violations(hub, repo, ref, old, new)
    if against:
        said = "\n\n".join(against)
        raise Refusal(status, f"Repository rule violations found\n\n{said}\n\n")


def move(
    hub: HubState, repo: Row, actor: Actor, ref: str, old: str, new: str, *, merging: bool = False, forced: bool = False
) -> None:
    """Create (`old` zero), update or delete (`new` zero) a ref if policy allows and it still is at `old`."""
    check(hub, repo, actor, ref, old, new, merging=merging)
    arguments = ["-d", ref, old] if new == ZERO else [ref, new, old]
    bare(hub, repo).run("update-ref", *arguments)
    moved(hub, repo, actor, ref, old, new, forced=forced)


def moved(hub: HubState, repo: Row, actor: Actor, ref: str, old: str, new: str, *, forced: bool = False) -> None:
    """What follows when a ref has moved: journal, push event, check suites, pull requests, Actions."""
    kind = "ref.created" if old == ZERO else "ref.deleted" if new == ZERO else "ref.updated"
    record(hub, actor, repo, kind, ref, sha=new, name=ref)
    hub.store.update("repositories", repo["id"], pushed_at=now())
    # Other refs raise no event and start nothing: "a push to a repository branch", or a tag, says
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    if not ref.startswith(("refs/heads/", "refs/tags/")):
        return
    emit(hub, repo, actor, "push", _push(hub, repo, actor, ref, old, new, forced))
    if ref.startswith("refs/tags/"):
        commit = None if new == ZERO else bare(hub, repo).resolve(new, "commit")
        if commit is not None:
            name = ref.removeprefix("refs/tags/")
            trigger(hub, repo, actor, Trigger("push", name, tag=True), (name, commit), ref)
        return
    branch = ref.removeprefix("refs/heads/")
    if new == ZERO:
        follow(hub, repo, actor, branch, None)
        return
    open_push_suites(hub, repo, actor, new, branch, old)
    synchronized = follow(hub, repo, actor, branch, new)
    paths = _changed(bare(hub, repo), repo, old, new)
    trigger(hub, repo, actor, Trigger("push", branch, paths=paths), (branch, new), ref)
    for number in synchronized:
        pull_event(hub, repo, actor, number, "synchronize")


def pull_event(hub: HubState, repo: Row, actor: Actor, number: int, action: str, event: str = "pull_request") -> None:
    """Start the workflows of an event of a pull request, on its merge with the base; none while the two conflict:
    https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request
    """
    row = find(hub, repo, number)
    if row is None or mergeability(hub, repo, row)[1] == "dirty":
        return
    git = bare(hub, repo)
    paths = _names(git, diff_base(git, row), row["head_sha"])
    what = Trigger(event, row["base_ref"], action, paths=paths, draft=bool(row["draft"]))
    if not workflow_files.find(git, row["head_sha"], what):
        return
    ref, base = f"refs/pull/{number}/merge", git.ref(f"refs/heads/{row['base_ref']}")
    tree = git.merge_tree(base, row["head_sha"]) if base else None
    if base and tree:
        who = identity(hub, actor.user["id"])
        merged = git.commit_tree(tree, [base, row["head_sha"]], f"Merge {row['head_sha']} into {base}", who)
        git.run("update-ref", ref, merged)
    trigger(hub, repo, actor, what, (row["head_ref"], row["head_sha"]), ref)


def _changed(git: Bare, repo: Row, old: str, new: str) -> tuple[str, ...]:
    """What a push changed; of a new branch against the default branch."""
    start = old if old != ZERO else git.ref(f"refs/heads/{repo['default_branch']}")
    return _names(git, start, new) if start is not None and start != new else ()


def _names(git: Bare, old: str, new: str) -> tuple[str, ...]:
    return tuple(filter(None, git.run("diff", "--name-only", "--no-renames", "-z", old, new).split("\0")))


def _push(hub: HubState, repo: Row, actor: Actor, ref: str, old: str, new: str, forced: bool) -> Json:
    git = bare(hub, repo)
    shas = _new_commits(git, old, new) if ref.startswith("refs/heads/") else []
    login = user(hub, actor.user["id"])["login"]
    payload: Json = {"ref": ref, "before": old, "after": new, "created": old == ZERO, "deleted": new == ZERO}
    payload |= {"forced": forced, "base_ref": None, "pusher": {"name": login}, "compare": f"{old}...{new}"}
    payload["commits"] = [simple_commit(hub, repo, sha) for sha in shas]
    tip = new if new != ZERO and git.kind(new) == "commit" else None
    return payload | {"head_commit": simple_commit(hub, repo, tip) if tip else None}


def _new_commits(git: Bare, old: str, new: str) -> list[str]:
    if ZERO in (new, old):
        return []
    listing = git.run("rev-list", "--reverse", f"--max-count={MAX_PUSH_COMMITS}", f"{old}..{new}")
    return listing.splitlines()


def write_hook(hub: HubState, text: str) -> None:
    """Put the pre-receive hook where every bare repository of the hub looks for it."""
    path = hub.root / "hooks" / "pre-receive"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)
