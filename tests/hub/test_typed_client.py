"""githubkit's typed clients parse every answer: the embedded GitHub speaks the real one's language."""

from typing import Any

import pytest
from githubkit.exception import RequestFailed

from tests.hub.world import REPOSITORY, WORKFLOW, World

VERSION = "2026-03-10"
OWNER, REPO = REPOSITORY.split("/")


def test_app_endpoints(world: World) -> None:
    apps = world.app_kit().rest(VERSION).apps
    app = apps.get_authenticated().parsed_data
    assert app is not None
    assert app.id == world.hub.app_id
    assert app.slug == "autopack"
    assert [one.id for one in apps.list_installations().parsed_data] == [world.installation]
    assert apps.get_repo_installation(OWNER, REPO).parsed_data.id == world.installation
    token = apps.create_installation_access_token(world.installation, repositories=[REPO]).parsed_data
    assert token.token.startswith("ghs_")
    listed = world.kit().rest(VERSION).apps.list_repos_accessible_to_installation().parsed_data
    assert [one.full_name for one in listed.repositories] == [REPOSITORY]


def test_deliveries(world: World) -> None:
    world.user("octo").post(f"/repos/{REPOSITORY}/issues", json={"title": "Please"})
    world.hub.webhooks.wait_drained()
    apps = world.app_kit().rest(VERSION).apps
    item = next(one for one in apps.list_webhook_deliveries().parsed_data if one.event == "issues")
    assert item.action == "opened"
    assert item.status_code == 0
    assert apps.get_webhook_delivery(item.id).parsed_data.guid == item.guid
    assert apps.redeliver_webhook_delivery(item.id).status_code == 202
    world.hub.webhooks.wait_drained()
    again = apps.list_webhook_deliveries().parsed_data[0]
    assert again.guid == item.guid
    assert again.redelivery
    assert again.id != item.id


def test_repository(world: World) -> None:
    repos = world.kit().rest(VERSION).repos
    assert repos.get(OWNER, REPO).parsed_data.default_branch == "main"
    level = repos.get_collaborator_permission_level(OWNER, REPO, "maintainer").parsed_data
    assert (level.permission, level.role_name) == ("write", "maintain")
    content = repos.get_content(OWNER, REPO, "docs/b.md", ref="main").parsed_data
    assert not isinstance(content, list)
    assert content.type == "file"
    assert repos.get_branch(OWNER, REPO, "main").parsed_data.name == "main"
    with pytest.raises(RequestFailed) as refused:
        repos.get_branch_protection(OWNER, REPO, "main")
    assert refused.value.response.status_code == 404
    assert repos.get_branch_rules(OWNER, REPO, "main").parsed_data == []
    world.hub.require_checks(REPOSITORY, "main", ["test"])
    world.hub.require_checks(REPOSITORY, "main", ["lint"], ruleset=True)
    protection = repos.get_branch_protection(OWNER, REPO, "main").parsed_data
    assert protection.required_status_checks
    assert protection.required_status_checks.contexts == ["test"]
    rules = repos.get_branch_rules(OWNER, REPO, "main").parsed_data
    assert [rule.type for rule in rules] == ["required_status_checks"]
    assert rules[0].model_dump()["parameters"]["required_status_checks"][0]["context"] == "lint"


def test_commits_and_merge(world: World) -> None:
    repos = world.kit().rest(VERSION).repos
    world.commit("feature", {"new.txt": "new\n", "docs/b.md": None})
    assert len(repos.list_commits(OWNER, REPO, sha="feature", per_page=1).parsed_data) == 1
    files = repos.get_commit(OWNER, REPO, "feature").parsed_data.files
    assert {one.filename: one.status for one in files or []} == {"new.txt": "added", "docs/b.md": "removed"}
    compared = repos.compare_commits(OWNER, REPO, "main...feature").parsed_data
    assert (compared.status, compared.ahead_by, compared.behind_by) == ("ahead", 1, 0)
    world.commit("main", {"other.txt": "other\n"})
    merged = repos.merge(OWNER, REPO, base="feature", head="main", commit_message="Bring main in").parsed_data
    assert len(merged.parents) == 2
    assert merged.commit.message == "Bring main in"
    assert repos.merge(OWNER, REPO, base="feature", head="main").status_code == 204


def test_labels_and_issues(world: World) -> None:
    issues = world.kit().rest(VERSION).issues
    assert issues.create_label(OWNER, REPO, name="autopack", color="0e8a16").status_code == 201
    assert issues.get_label(OWNER, REPO, "autopack").parsed_data.name == "autopack"
    assert [one.name for one in issues.list_labels_for_repo(OWNER, REPO).parsed_data] == ["autopack"]
    number = issues.create(OWNER, REPO, title="Add a thing", body="Please").parsed_data.number
    assert [one.name for one in issues.add_labels(OWNER, REPO, number, labels=["autopack"]).parsed_data] == ["autopack"]
    assert issues.get(OWNER, REPO, number).parsed_data.title == "Add a thing"
    assert issues.remove_label(OWNER, REPO, number, "autopack").parsed_data == []
    assert issues.update(OWNER, REPO, number, state="closed").parsed_data.state == "closed"


def test_comments_and_reactions(world: World) -> None:
    rest = world.kit().rest(VERSION)
    number = rest.issues.create(OWNER, REPO, title="Add a thing").parsed_data.number
    comment = rest.issues.create_comment(OWNER, REPO, number, body="Working").parsed_data
    assert comment.user
    assert comment.user.login == "autopack[bot]"
    assert comment.user.type == "Bot"
    assert rest.issues.update_comment(OWNER, REPO, comment.id, body="Done").parsed_data.body == "Done"
    assert [one.body for one in rest.issues.list_comments(OWNER, REPO, number).parsed_data] == ["Done"]
    assert rest.reactions.create_for_issue(OWNER, REPO, number, content="eyes").status_code == 201
    assert rest.reactions.create_for_issue(OWNER, REPO, number, content="eyes").status_code == 200
    assert [one.content for one in rest.reactions.list_for_issue(OWNER, REPO, number).parsed_data] == ["eyes"]
    made = rest.reactions.create_for_issue_comment(OWNER, REPO, comment.id, content="+1")
    assert made.parsed_data.content == "+1"
    assert len(rest.reactions.list_for_issue_comment(OWNER, REPO, comment.id).parsed_data) == 1
    assert rest.issues.delete_comment(OWNER, REPO, comment.id).status_code == 204
    with pytest.raises(RequestFailed):
        rest.issues.get_comment(OWNER, REPO, comment.id)


def test_git_data(world: World) -> None:
    git = world.kit().rest(VERSION).git
    main = git.get_ref(OWNER, REPO, "heads/main").parsed_data.object_.sha
    parent = git.get_commit(OWNER, REPO, main).parsed_data
    blob = git.create_blob(OWNER, REPO, content="aGkK", encoding="base64").parsed_data
    entry: Any = {"path": "dir/new.txt", "mode": "100644", "type": "blob", "sha": blob.sha}
    tree = git.create_tree(OWNER, REPO, data={"base_tree": parent.tree.sha, "tree": [entry]}).parsed_data
    commit = git.create_commit(OWNER, REPO, message="One phase", tree=tree.sha, parents=[main]).parsed_data
    assert commit.verification.verified
    assert commit.author.name == "autopack[bot]"
    ref = git.create_ref(OWNER, REPO, ref="refs/heads/autonomous/run-1", sha=commit.sha).parsed_data
    assert ref.object_.sha == commit.sha
    found = git.list_matching_refs(OWNER, REPO, "heads/autonomous/").parsed_data
    assert [one.ref for one in found] == ["refs/heads/autonomous/run-1"]
    paths = [one.path for one in git.get_tree(OWNER, REPO, commit.sha, recursive="1").parsed_data.tree]
    assert paths == ["a.txt", "dir", "dir/new.txt", "docs", "docs/b.md"]
    moved = git.update_ref(OWNER, REPO, "heads/autonomous/run-1", sha=main, force=True).parsed_data
    assert moved.object_.sha == main
    assert git.delete_ref(OWNER, REPO, "heads/autonomous/run-1").status_code == 204


def test_pulls_and_reviews(world: World) -> None:
    rest = world.kit().rest(VERSION)
    number = world.pull(draft=True)
    pull = rest.pulls.get(OWNER, REPO, number).parsed_data
    assert pull.draft
    assert pull.mergeable
    assert pull.mergeable_state == "draft"
    assert (pull.commits, pull.changed_files, pull.additions, pull.deletions) == (1, 1, 2, 0)
    assert len(rest.pulls.list(OWNER, REPO, head="octo:feature").parsed_data) == 1
    assert rest.pulls.update(OWNER, REPO, number, title="Better").parsed_data.title == "Better"
    assert [one.filename for one in rest.pulls.list_files(OWNER, REPO, number).parsed_data] == ["a.txt"]
    assert [one.sha for one in rest.pulls.list_commits(OWNER, REPO, number).parsed_data] == [pull.head.sha]
    comments = [{"path": "a.txt", "line": 3, "start_line": 2, "side": "RIGHT", "body": "Why?"}]
    data: Any = {"commit_id": pull.head.sha, "body": "Audit", "event": "COMMENT", "comments": comments}
    review = rest.pulls.create_review(OWNER, REPO, number, data=data).parsed_data
    assert review.state == "COMMENTED"
    assert [one.id for one in rest.pulls.list_reviews(OWNER, REPO, number).parsed_data] == [review.id]
    assert rest.pulls.get_review(OWNER, REPO, number, review.id).parsed_data.body == "Audit"
    placed = rest.pulls.list_comments_for_review(OWNER, REPO, number, review.id).parsed_data
    assert [(one.path, one.line, one.start_line) for one in placed] == [("a.txt", 3, 2)]
    reply = rest.pulls.create_reply_for_review_comment(OWNER, REPO, number, placed[0].id, body="Because")
    assert reply.parsed_data.in_reply_to_id == placed[0].id
    assert len(rest.pulls.list_review_comments(OWNER, REPO, number).parsed_data) == 2


def test_merge(world: World) -> None:
    number = world.pull()
    merged = world.kit().rest(VERSION).pulls.merge(OWNER, REPO, number, merge_method="squash").parsed_data
    assert merged.merged
    assert world.hub.git(REPOSITORY, "show", "main:a.txt") == "one\ntwo\nthree"
    pull = world.kit().rest(VERSION).pulls.get(OWNER, REPO, number).parsed_data
    assert pull.merged
    assert pull.state == "closed"


def test_checks_and_statuses(world: World) -> None:
    rest, sha = world.kit().rest(VERSION), world.hub.git(REPOSITORY, "rev-parse", "main")
    output: Any = {"title": "Building", "summary": "Phase 1"}
    run = rest.checks.create(
        OWNER, REPO, data={"name": "autopack", "head_sha": sha, "status": "in_progress", "output": output}
    ).parsed_data
    assert run.app
    assert run.app.id == world.hub.app_id
    done = rest.checks.update(OWNER, REPO, run.id, data={"status": "completed", "conclusion": "success"}).parsed_data
    assert (done.status, done.conclusion, done.output.title) == ("completed", "success", "Building")
    assert rest.checks.get(OWNER, REPO, run.id).parsed_data.id == run.id
    assert rest.checks.list_for_ref(OWNER, REPO, sha).parsed_data.total_count == 1
    suites = rest.checks.list_suites_for_ref(OWNER, REPO, sha).parsed_data.check_suites
    assert [(one.status, one.conclusion) for one in suites] == [("completed", "success")]
    answer = world.user("writer").post(
        f"/repos/{REPOSITORY}/statuses/{sha}", json={"state": "failure", "context": "ci/other"}
    )
    assert answer.status_code == 201
    assert rest.repos.get_combined_status_for_ref(OWNER, REPO, sha).parsed_data.state == "failure"
    statuses = rest.repos.list_commit_statuses_for_ref(OWNER, REPO, sha).parsed_data
    assert [one.context for one in statuses] == ["ci/other"]


def test_actions(world: World) -> None:
    rest = world.kit().rest(VERSION)
    sha = world.commit("feature", {".github/workflows/ci.yml": WORKFLOW, "check.sh": "echo broken; exit 3\n"})
    world.hub.runner.wait_idle()
    runs = rest.actions.list_workflow_runs_for_repo(OWNER, REPO, head_sha=sha).parsed_data.workflow_runs
    assert [(run.name, run.status, run.conclusion) for run in runs] == [("CI", "completed", "failure")]
    job = rest.actions.list_jobs_for_workflow_run(OWNER, REPO, runs[0].id).parsed_data.jobs[0]
    assert (job.name, job.conclusion) == ("test", "failure")
    log = rest.actions.download_job_logs_for_workflow_run(OWNER, REPO, job.id).text
    assert "Z broken\n" in log
    assert "##[error]Process completed with exit code 3." in log
    assert rest.actions.re_run_workflow_failed_jobs(OWNER, REPO, runs[0].id).status_code == 201
    world.hub.runner.wait_idle()
    again = rest.actions.get_workflow_run(OWNER, REPO, runs[0].id).parsed_data
    assert (again.id, again.run_attempt) == (runs[0].id, 2)


def test_graphql(world: World) -> None:
    number = world.pull(draft=True)
    kit = world.kit()
    query = """query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) {
      pullRequest(number: $number) { id isDraft
        reviewThreads(first: 50) { nodes { id } pageInfo { hasNextPage } } } } }"""
    found = kit.graphql(query, {"owner": OWNER, "name": REPO, "number": number})["repository"]["pullRequest"]
    assert found["isDraft"]
    assert found["reviewThreads"]["nodes"] == []
    ready = """mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) {
      pullRequest { isDraft } } }"""
    answer = kit.graphql(ready, {"id": found["id"]})
    assert answer["markPullRequestReadyForReview"]["pullRequest"]["isDraft"] is False
