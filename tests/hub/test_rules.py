"""Rulesets, repositories without a commit, ids beyond 32 bits, what is not seen yet: GitHub's refusals and words."""

import pytest

from tests.hub.test_gitdata import commit_of, main_of
from tests.hub.world import REPOSITORY, World

API = f"/repos/{REPOSITORY}"
REFS = f"{API}/git/refs"
WORK = "heads/autonomous/one"


@pytest.mark.parametrize(
    ("kind", "pattern", "words"),
    [
        ("creation", "", "Cannot create ref due to creations being restricted."),
        ("pull_request", "", "Changes must be made through a pull request."),
        ("required_status_checks", "a,b", "2 of 2 required status checks are expected."),
        ("commit_message_pattern", "^JIRA-", "Commit message must match the pattern: ^JIRA-"),
        ("file_path_restriction", "new.*", "File path new.txt is restricted by the pattern: new.*"),
    ],
)
def test_rule_refuses_a_branch(world: World, kind: str, pattern: str, words: str) -> None:
    sha, bot = commit_of(world, main_of(world)), world.bot()
    world.hub.add_rule(REPOSITORY, kind, pattern, "autonomous/**")
    refused = bot.post(REFS, json={"ref": f"refs/{WORK}", "sha": sha})
    assert refused.status_code == 422
    assert refused.json()["message"] == f"Repository rule violations found\n\n{words}\n\n"
    assert bot.post(REFS, json={"ref": "refs/heads/other", "sha": sha}).status_code == 201
    assert bot.post(REFS, json={"ref": "refs/autopack/r1/P1", "sha": sha}).status_code == 201
    assert world.user("octo").post(REFS, json={"ref": f"refs/{WORK}", "sha": sha}).status_code == 201


def test_rule_on_updates_and_signatures(world: World) -> None:
    main, bot = main_of(world), world.bot()
    world.hub.add_rule(REPOSITORY, "required_signatures", "", "autonomous/**")
    assert bot.post(REFS, json={"ref": f"refs/{WORK}", "sha": main}).status_code == 201
    signed = commit_of(world, main)
    assert bot.patch(f"{REFS}/{WORK}", json={"sha": signed}).status_code == 200
    tree = bot.get(f"{API}/git/commits/{signed}").json()["tree"]["sha"]
    author = {"name": "Someone", "email": "someone@example.com"}
    body = {"message": "By hand", "tree": tree, "parents": [signed], "author": author}
    unsigned = bot.post(f"{API}/git/commits", json=body).json()["sha"]
    refused = bot.patch(f"{REFS}/{WORK}", json={"sha": unsigned})
    assert "Commits must have verified signatures." in refused.json()["message"]
    world.hub.add_rule(REPOSITORY, "update", "", "autonomous/**")
    refused = bot.patch(f"{REFS}/{WORK}", json={"sha": commit_of(world, signed, "b.txt")})
    assert "Cannot update this protected ref." in refused.json()["message"]


def test_rule_refuses_a_merge_with_409(world: World) -> None:
    main, bot = main_of(world), world.bot()
    bot.post(REFS, json={"ref": f"refs/{WORK}", "sha": commit_of(world, main)})
    world.commit("main", {"b.txt": "b\n"})
    world.hub.add_rule(REPOSITORY, "commit_message_pattern", "^JIRA-", "autonomous/**")
    refused = bot.post(f"{API}/merges", json={"base": "autonomous/one", "head": "main"})
    assert refused.status_code == 409
    assert refused.json()["message"].startswith("Repository rule violations found")


def test_repository_without_a_commit(world: World) -> None:
    world.hub.import_repository("octo/empty")
    world.hub.install_app("octo/empty")
    bot = world.bot()
    for path in ("git/ref/heads/main", "git/matching-refs/heads/", "commits", "commits/main"):
        answer = bot.get(f"/repos/octo/empty/{path}")
        assert (answer.status_code, answer.json()["message"]) == (409, "Git Repository is empty."), path
    made = bot.post("/repos/octo/empty/git/blobs", json={"content": "x"})
    assert made.status_code == 409
    assert bot.get("/repos/octo/empty/contents/a.txt").status_code == 404
    assert bot.get("/repos/octo/empty").status_code == 200


def test_ids_beyond_32_bits(world: World) -> None:
    issue = world.user("octo").post(f"{API}/issues", json={"title": "A thing"}).json()
    comment = world.bot().post(f"{API}/issues/{issue['number']}/comments", json={"body": "x"}).json()
    assert min(issue["id"], comment["id"], world.installation) > 2**31


def test_lag_hides_what_was_just_made(world: World) -> None:
    main, bot = main_of(world), world.bot()
    world.hub.state.lag = 2
    bot.post(REFS, json={"ref": f"refs/{WORK}", "sha": main})
    read = [bot.get(f"{API}/git/ref/{WORK}").status_code for _ in range(3)]
    assert read == [404, 404, 200]


def test_missing_permission_is_named(world: World) -> None:
    world.hub.as_owner("octo").set_permissions(REPOSITORY, {"contents": "read", "metadata": "read"})
    refused = world.bot().post(REFS, json={"ref": f"refs/{WORK}", "sha": main_of(world)})
    assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert refused.headers["x-accepted-github-permissions"] == "contents=write"
    sent = world.hub.webhooks.deliveries("installation", "new_permissions_accepted")
    assert len(sent) == 1
