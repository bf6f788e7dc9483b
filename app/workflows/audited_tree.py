"""Exactly what was audited is promoted: trees are compared before the offer, and with what lands after the merge."""

import functools

from app.agents.diff_parts import digest_of_diff
from app.db import run_rows
from app.domain.budget import MAX_MERGES
from app.domain.strategy import Strategy
from app.github import comments, text
from app.runs import run_requests
from app.workflows import db_steps
from app.workflows.repositories import mirror_at
from app.workflows.run_context import RunContext
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run
from app.workflows.steps import effect
from app.workspace import tree_history


async def require_audited_tree(context: RunContext, strategy: Strategy, head_sha: str) -> None:
    """Close promotion where the branch's tree is not one that an audit approved, with nothing but the base merged in.

    Where no phase was audited at all, other reasons say so.
    """
    if strategy.promotion.require_audit and (unseen := await _unseen(context, head_sha)):
        await db_steps.object_to_promotion(context.run_id, unseen)


@effect
async def _unseen(context: RunContext, head_sha: str) -> str:
    """What of the branch no audit saw; empty where its tree is an audited one."""
    audited = await call_db(run_requests.list_audited, context.run_id)
    if not audited:
        return ""
    mirror = await mirror_at(context.run_id, head_sha)
    fetch = functools.partial(mirror_at, context.run_id)
    commit = await tree_history.find_unaudited(mirror, fetch, head_sha, dict(audited), MAX_MERGES)
    if commit:
        return f"the tree of {commit[:7]} is none that an audit approved: `/autopack fix` has it audited"
    for sha, shown in audited:
        if shown is None:
            continue
        await fetch(sha, *shown.against)
        against, *merged = shown.against
        if merged:
            against, _ = await mirror.merge_with_markers(against, *merged)
        if digest_of_diff(await mirror.diff(against, sha)) != shown.digest:
            return f"what the Auditor was shown of {sha[:7]} is not what it changes: `/autopack fix` has it audited"
    return ""


@Telling
async def compare_landed(run_id: str, landed_sha: str) -> list[object]:
    """Say on the pull request where what landed is not what was audited and judged, merged with the base."""
    run = await call_db(run_rows.get, run_id)
    if run.head_sha is None or run.pull_number is None:
        return []
    mirror, fetch = await mirror_at(run_id, run.head_sha), functools.partial(mirror_at, run_id)
    paths = await tree_history.differing_paths(mirror, fetch, run.head_sha, landed_sha)
    if not paths:
        return []
    repo = await repo_of_run(run_id)
    said = text.landed_otherwise(run.head_sha, landed_sha, paths)
    return [await comments.post_once(repo, run.pull_number, f"landed:{run_id}", said)]
