"""The Git Data API, comparisons, merges and protected branches: what GitHub refuses."""

from tests.hub.world import REPOSITORY, WORKFLOW, World

API = f"/repos/{REPOSITORY}"
REFS = f"{API}/git/refs"
MISSING = "0123456789" * 4


def main_of(world: World) -> str:
    """The default branch's commit."""
    return world.hub.git(REPOSITORY, "rev-parse", "main")


def commit_of(world: World, parent: str, path: str = "new.txt", content: str = "new\n") -> str:
    """The App makes a commit on top of another, and no ref; its sha."""
    bot = world.bot()
    base = bot.get(f"{API}/git/commits/{parent}").json()["tree"]["sha"]
    entry = {"path": path, "mode": "100644", "type": "blob", "content": content}
    tree = bot.post(f"{API}/git/trees", json={"base_tree": base, "tree": [entry]}).json()["sha"]
    commit = bot.post(f"{API}/git/commits", json={"message": "Phase", "tree": tree, "parents": [parent]})
    assert commit.status_code == 201, commit.text
    return str(commit.json()["sha"])


def test_creating_refs(world: World) -> None:
    main, bot = main_of(world), world.bot()
    made = bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": main})
    assert made.status_code == 201
    again = bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": main})
    assert (again.status_code, again.json()["message"]) == (422, "Reference already exists")
    gone = bot.post(REFS, json={"ref": "refs/heads/autonomous/two", "sha": MISSING})
    assert (gone.status_code, gone.json()["message"]) == (422, "Object does not exist")
    assert bot.post(REFS, json={"ref": "autonomous/two", "sha": main}).status_code == 422
    assert bot.get(f"{API}/git/ref/heads/autonomous").status_code == 404
    assert bot.get(f"{API}/git/matching-refs/heads/none").json() == []


def test_refs_beside_branches_and_tags_start_nothing(world: World) -> None:
    world.commit("main", {".github/workflows/ci.yml": WORKFLOW})
    world.hub.runner.wait_idle()
    main, bot = main_of(world), world.bot()
    told = len(world.hub.webhooks.deliveries("push"))
    runs = bot.get(f"{API}/actions/runs").json()["total_count"]
    assert bot.post(REFS, json={"ref": "refs/autopack/r1/P1", "sha": main}).status_code == 201
    assert bot.get(f"{API}/git/ref/autopack/r1/P1").json()["object"]["sha"] == main
    assert bot.post(REFS, json={"ref": "refs/autopack", "sha": main}).status_code == 422
    assert len(world.hub.webhooks.deliveries("push")) == told
    assert bot.get(f"{API}/actions/runs").json()["total_count"] == runs


def test_rule_keeps_the_app_to_some_refs(world: World) -> None:
    world.hub.state.app_refs = ("refs/heads/autonomous/", "refs/autopack/")
    main, bot = main_of(world), world.bot()
    for name, status in (("heads/autonomous/r1", 201), ("autopack/r1/P1", 201), ("tags/v1", 422), ("heads/x", 422)):
        made = bot.post(REFS, json={"ref": f"refs/{name}", "sha": main})
        assert made.status_code == status, name
    refused = bot.patch(f"{REFS}/heads/main", json={"sha": commit_of(world, main)})
    assert refused.json()["message"].startswith("Repository rule violations found")
    assert world.user("octo").post(REFS, json={"ref": "refs/tags/v1", "sha": main}).status_code == 201


def test_updating_a_ref_is_compare_and_swap(world: World) -> None:
    main, bot = main_of(world), world.bot()
    ours, theirs = commit_of(world, main), commit_of(world, main, "other.txt")
    bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": main})
    url = f"{REFS}/heads/autonomous/one"
    assert bot.patch(url, json={"sha": theirs}).status_code == 200
    refused = bot.patch(url, json={"sha": ours, "force": False})
    assert (refused.status_code, refused.json()["message"]) == (422, "Update is not a fast forward")
    assert bot.patch(url, json={"sha": ours, "force": True}).status_code == 200
    assert bot.patch(url, json={"sha": MISSING}).json()["message"] == "Object does not exist"
    assert bot.patch(f"{REFS}/heads/none", json={"sha": main}).json()["message"] == "Reference does not exist"
    assert bot.delete(url).status_code == 204
    assert bot.delete(url).json()["message"] == "Reference does not exist"


def test_trees(world: World) -> None:
    bot, url = world.bot(), f"{API}/git/trees"
    base = bot.get(f"{url}/main").json()["sha"]
    blob = bot.post(f"{API}/git/blobs", json={"content": "x"}).json()["sha"]

    def status(entry: dict[str, str | None]) -> int:
        return bot.post(url, json={"base_tree": base, "tree": [{"mode": "100644", "type": "blob"} | entry]}).status_code

    assert status({"path": "run.sh", "mode": "100755", "sha": blob}) == 201
    assert status({"path": "link", "mode": "120000", "content": "a.txt"}) == 201
    assert status({"path": "x", "sha": MISSING}) == 422
    assert status({"path": "x", "mode": "100600", "sha": blob}) == 422
    assert status({"path": ".git/config", "sha": blob}) == 422
    assert status({"path": "a/../../x", "sha": blob}) == 422
    assert status({"path": "/etc/x", "sha": blob}) == 422
    assert status({"path": "none.txt", "sha": None}) == 422
    assert status({"path": "x"}) == 422
    deleted = bot.post(url, json={"base_tree": base, "tree": [{"path": "a.txt", "mode": "100644", "sha": None}]}).json()
    assert [entry["path"] for entry in deleted["tree"]] == ["docs"]
    assert bot.post(url, json={"base_tree": MISSING, "tree": []}).status_code == 422


def test_only_commits_without_named_authors_are_signed(world: World) -> None:
    main, bot = main_of(world), world.bot()
    tree = bot.get(f"{API}/git/commits/{main}").json()["tree"]["sha"]
    body = {"message": "Phase", "tree": tree, "parents": [main]}
    ours = bot.post(f"{API}/git/commits", json=body).json()
    assert (ours["verification"]["verified"], ours["verification"]["reason"]) == (True, "valid")
    assert ours["committer"]["name"] == "autopack[bot]"
    assert ours["author"]["email"].endswith("+autopack[bot]@users.noreply.github.com")
    shown = bot.get(f"{API}/commits/{ours['sha']}").json()
    assert shown["author"]["login"] == "autopack[bot]"
    named = bot.post(f"{API}/git/commits", json=body | {"author": {"name": "x", "email": "x@example.com"}}).json()
    assert (named["verification"]["verified"], named["verification"]["reason"]) == (False, "unsigned")
    assert bot.post(f"{API}/git/commits", json=body | {"parents": [MISSING]}).status_code == 422
    assert bot.post(f"{API}/git/commits", json=body | {"tree": main}).status_code == 422


def test_merges(world: World) -> None:
    bot = world.bot()
    world.commit("feature", {"a.txt": "ours\n"})
    world.commit("main", {"a.txt": "theirs\n"})
    conflict = bot.post(f"{API}/merges", json={"base": "feature", "head": "main"})
    assert (conflict.status_code, conflict.json()["message"]) == (409, "Merge conflict")
    assert bot.post(f"{API}/merges", json={"base": "none", "head": "main"}).status_code == 404
    world.commit("clean", {"c.txt": "c\n"})
    world.commit("main", {"b.txt": "b\n"})
    merged = bot.post(f"{API}/merges", json={"base": "clean", "head": "main"})
    assert merged.status_code == 201
    assert world.hub.git(REPOSITORY, "rev-parse", "clean") == merged.json()["sha"]
    assert [entry.kind for entry in world.hub.journal()] == ["merge", "ref.updated"]


def test_compare(world: World) -> None:
    world.commit("feature", {"a.txt": "one\ntwo\n"})
    world.commit("main", {"b.txt": "b\n"})
    compared = world.bot().get(f"{API}/compare/main...feature").json()
    assert (compared["status"], compared["ahead_by"], compared["behind_by"]) == ("diverged", 1, 1)
    assert [(file["filename"], file["patch"]) for file in compared["files"]] == [("a.txt", "@@ -1 +1,2 @@\n one\n+two")]
    assert world.bot().get(f"{API}/compare/main...none").status_code == 404
    assert world.bot().get(f"{API}/compare/main...main").json()["status"] == "identical"


def test_compare_shows_300_files_at_most(world: World) -> None:
    world.commit("feature", {f"many/{index}.txt": "x\n" for index in range(310)})
    assert len(world.bot().get(f"{API}/compare/main...feature").json()["files"]) == 300


def test_renames_and_binary_files(world: World) -> None:
    text = "".join(f"line {index}\n" for index in range(30))
    world.commit("main", {"old.txt": text, "gone.txt": "gone\n"})
    world.commit("feature", {"old.txt": None, "new name.txt": text + "more\n", "x.bin": "\0\1\2", "gone.txt": None})
    files = {file["filename"]: file for file in world.bot().get(f"{API}/compare/main...feature").json()["files"]}
    assert (files["new name.txt"]["status"], files["new name.txt"]["previous_filename"]) == ("renamed", "old.txt")
    assert (files["gone.txt"]["status"], files["gone.txt"]["deletions"]) == ("removed", 1)
    assert "patch" not in files["x.bin"]


def test_contents(world: World) -> None:
    bot = world.bot()
    assert bot.get(f"{API}/contents/docs/b.md").json()["content"] == "dGV4dAo=\n"
    assert [entry["path"] for entry in bot.get(f"{API}/contents/docs").json()] == ["docs/b.md"]
    assert bot.get(f"{API}/contents/none.md").status_code == 404
    assert bot.get(f"{API}/contents/a.txt?ref=none").status_code == 404


def test_an_app_can_not_write_a_protected_branch(world: World) -> None:
    world.hub.protect(REPOSITORY)
    main, bot = main_of(world), world.bot()
    commit = commit_of(world, main)
    refused = bot.patch(f"{REFS}/heads/main", json={"sha": commit})
    assert refused.status_code == 422
    world.commit("feature", {"b.txt": "b\n"})
    assert bot.post(f"{API}/merges", json={"base": "main", "head": "feature"}).status_code == 422
    assert bot.delete(f"{REFS}/heads/main").status_code == 422
    assert main_of(world) == main
    assert world.user("writer").patch(f"{REFS}/heads/main", json={"sha": commit}).status_code == 422
    assert world.user("maintainer").patch(f"{REFS}/heads/main", json={"sha": commit}).status_code == 200


def test_workflow_changes_need_the_workflows_permission(world: World) -> None:
    world.commit("main", {".github/workflows/ci.yml": WORKFLOW})
    main, bot = main_of(world), world.bot()
    changed = commit_of(world, main, ".github/workflows/ci.yml", WORKFLOW + "# weaker\n")
    refused = bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": changed})
    assert refused.status_code == 403
    assert "refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml`" in refused.text
    assert bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": main}).status_code == 201
    moved = bot.patch(f"{REFS}/heads/autonomous/one", json={"sha": changed})
    assert moved.status_code == 403


def test_older_base_with_workflow_change_is_refused(world: World) -> None:
    old = main_of(world)
    world.commit("main", {".github/workflows/ci.yml": WORKFLOW})
    bot = world.bot()
    assert bot.post(REFS, json={"ref": "refs/heads/autonomous/old", "sha": old}).status_code == 403


def test_an_app_with_workflows_permission_may(world: World) -> None:
    world.hub.import_repository("other/demo")
    world.hub.commit_files("other/demo", "main", {"a.txt": "a\n"}, "First", as_user="other")
    world.installation = world.hub.install_app("other/demo", {"contents": "write", "workflows": "write"})
    bot, api = world.bot(), "/repos/other/demo"
    main = world.hub.git("other/demo", "rev-parse", "main")
    entry = {"path": ".github/workflows/ci.yml", "mode": "100644", "type": "blob", "content": WORKFLOW}
    tree = bot.post(f"{api}/git/trees", json={"base_tree": main, "tree": [entry]}).json()["sha"]
    commit = bot.post(f"{api}/git/commits", json={"message": "CI", "tree": tree, "parents": [main]}).json()["sha"]
    assert bot.post(f"{api}/git/refs", json={"ref": "refs/heads/x", "sha": commit}).status_code == 201


def test_base_with_a_changed_workflow_is_not_merged(world: World) -> None:
    """https://github.com/Mergifyio/mergify/issues/5055"""
    main, bot = main_of(world), world.bot()
    bot.post(REFS, json={"ref": "refs/heads/autonomous/one", "sha": commit_of(world, main)})
    world.commit("main", {".github/workflows/new.yml": WORKFLOW})
    body = {"base": "autonomous/one", "head": "main"}
    refused = bot.post(f"{API}/merges", json=body)
    assert refused.status_code == 403
    assert "refusing to allow a GitHub App" in refused.json()["message"]
    assert world.user("octo").post(f"{API}/merges", json=body).status_code == 201
