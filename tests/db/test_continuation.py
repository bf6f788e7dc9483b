"""The run that does a plan's next part is created once, and only after one that ended well."""

import itertools

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from app.db import linked_runs, run_rows
from app.db.engine import Database
from app.db.tables import Run
from app.domain.api_errors import Conflict, NotFound
from app.domain.api_requests import StatusUpdate
from app.domain.states import PhaseState, RunState
from app.domain.status_view import LinkedRun
from app.queries import run_details, run_view
from app.runs import api_commands, continuation, transitions
from tests.db.sample_rows import NOW, PLAN, at_once, new_run, posted_run, strategy_of


def first_of_three(db: Database, run_id: str = "r1", intent: str = "build") -> None:
    run_rows.create(db, new_run(run_id, intent=intent), NOW)
    transitions.store_strategy(db, run_id, PLAN, strategy_of(), NOW, [PLAN, PLAN])
    transitions.move_run(db, run_id, RunState.RUN_CREATED, "stored", NOW)


def succeed(db: Database, run_id: str) -> None:
    transitions.end_run(db, run_id, RunState.DONE_SUCCESS, "all green", NOW)


def test_each_part_follows_the_one_before(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    assert continuation.create_next(db, "r1", NOW) == "r1-part-2"
    second = run_rows.get(db, "r1-part-2")
    assert (second.follows, second.part, second.parts, second.rest) == ("r1", 2, 3, (PLAN,))
    assert (second.base_branch, second.target_branch, second.plan) == ("autonomous/r1", "main", PLAN)
    assert (second.issue_number, second.requester, second.options) == (7, "maintainer", run_rows.get(db, "r1").options)
    transitions.store_strategy(db, "r1-part-2", PLAN, strategy_of(), NOW)
    transitions.move_run(db, "r1-part-2", RunState.RUN_CREATED, "stored", NOW)
    succeed(db, "r1-part-2")
    assert continuation.create_next(db, "r1-part-2", NOW) == "r1-part-3"
    third = run_rows.get(db, "r1-part-3")
    assert (third.part, third.parts, third.rest) == (3, 3, ())
    assert (third.base_branch, third.target_branch) == ("autonomous/r1-part-2", "main")
    view = run_view.read_run_view(db, "r1-part-2", "")
    assert (view.before, view.after) == (LinkedRun(run_id="r1"), LinkedRun(run_id="r1-part-3"))


def test_part_follows_on_the_branch_that_was_written(db: Database) -> None:
    """A run that goes on with another's branch has none of its own name."""
    first_of_three(db)
    run_rows.update(db, "r1", {"branch_of": "r0"})
    succeed(db, "r1")
    assert continuation.create_next(db, "r1", NOW) == "r1-part-2"
    assert run_rows.get(db, "r1-part-2").base_branch == "autonomous/r0"


def test_asked_for_by_many_it_is_created_once(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    assert at_once(6, lambda _: continuation.create_next(db, "r1", NOW)) == ["r1-part-2"] * 6


def notices(db: Database, run_id: str) -> list[str]:
    with db.reading() as session:
        return session.get_one(Run, run_id).notices


@pytest.mark.parametrize("state", [one for one in RunState if one.terminal and one is not RunState.DONE_SUCCESS])
def test_failed_run_has_no_successor(db: Database, state: RunState) -> None:
    first_of_three(db)
    transitions.end_run(db, "r1", state, "no", NOW)
    assert continuation.create_next(db, "r1", NOW) is None


def test_open_or_planned_run_has_no_successor(db: Database) -> None:
    first_of_three(db)
    assert continuation.create_next(db, "r1", NOW) is None
    first_of_three(db, "planned", "plan")
    succeed(db, "planned")
    assert continuation.create_next(db, "planned", NOW) is None


def test_other_open_run_goes_first(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    run_rows.create(db, new_run("r2"), NOW)
    assert continuation.create_next(db, "r1", NOW) is None
    assert continuation.create_next(db, "r1", NOW) is None, "a repeat says nothing more"
    assert notices(db, "r1") == ["Part 2 of 3 was not started: another run is on for this issue."]


def test_part_with_taken_id_is_refused(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    run_rows.create(db, new_run("r1-part-2", issue=8), NOW)
    assert continuation.create_next(db, "r1", NOW) is None
    assert "there is another run with its id, r1-part-2" in notices(db, "r1")[0]


def test_nothing_is_said_where_no_part_is_missing(db: Database) -> None:
    first_of_three(db)
    assert continuation.create_next(db, "r1", NOW) is None
    succeed(db, "r1")
    assert continuation.create_next(db, "r1", NOW) == "r1-part-2"
    assert notices(db, "r1") == []


def test_divided_part_makes_more_parts(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    continuation.create_next(db, "r1", NOW)
    transitions.store_strategy(db, "r1-part-2", PLAN, strategy_of(), NOW, [PLAN])
    second = run_rows.get(db, "r1-part-2")
    assert (second.part, second.parts, len(second.rest)) == (2, 4, 2)


def test_ids_of_parts_stay_usable(db: Database) -> None:
    longest = "x" * 100
    assert linked_runs.next_run_id("issue-7-ab12", 1) == "issue-7-ab12-part-2"
    assert linked_runs.next_run_id("issue-7-ab12-part-2", 2) == "issue-7-ab12-part-3"
    assert linked_runs.next_run_id(longest, 1) == "x" * 93 + "-part-2"


def test_first_id_may_look_like_a_part() -> None:
    assert linked_runs.next_run_id("zz-part-2", 1) == "zz-part-2-part-2"
    assert linked_runs.next_run_id("zz-part-2-part-2", 2) == "zz-part-2-part-3"


@given(st.from_regex(r"[a-z][a-z0-9-]{0,90}(-part-[0-9]{1,3})?", fullmatch=True), st.integers(2, 300))
def test_parts_have_their_announced_ids(first: str, parts: int) -> None:
    announced = [linked_runs.linked_run_id(first, 1, part) for part in range(2, parts + 1)]
    followed = list(itertools.accumulate(range(1, parts), linked_runs.next_run_id, initial=first))[1:]
    assert followed == announced
    assert len({first, *announced}) == parts
    assert max(map(len, announced)) <= 100


# Started over the REST API


def complete(db: Database, run_id: str, *phases: str) -> None:
    for phase_id in phases:
        for state in (PhaseState.EXECUTING, PhaseState.GATE, PhaseState.COMPLETE):
            api_commands.update_status(db, run_id, phase_id, StatusUpdate(state=state), NOW)


def test_next_part_starts_in_same_transaction(db: Database) -> None:
    posted_run(db, "r1", [["P1", "P2", "P3"]], most=1)
    for run_id, phase_id in (("r1", "P1"), ("r1-part-2", "P2"), ("r1-part-3", "P3")):
        assert run_rows.get(db, run_id).state is RunState.RUN_CREATED
        card = run_details.read_run_card(db, run_id)
        assert ([one.phase_id for tier in card.tiers for one in tier.phases], card.token_cap) == ([phase_id], 5_000)
        complete(db, run_id, phase_id)
        assert run_rows.get(db, run_id).state is RunState.DONE_SUCCESS
    assert continuation.create_next(db, "r1", NOW) == "r1-part-2", "its workflow finds it there"
    with db.reading() as session:
        assert [run.rest_strategies for run in session.scalars(sa.select(Run))] == [[], [], []]


def test_taken_part_id_keeps_earlier_end(db: Database) -> None:
    posted_run(db, "r1", [["P1", "P2"]], most=1)
    posted_run(db, "r1-part-2")
    complete(db, "r1", "P1")
    assert run_rows.get(db, "r1").state is RunState.DONE_SUCCESS
    assert run_rows.get(db, "r1-part-2").follows is None
    assert notices(db, "r1") == ["Part 2 of 2 was not started: there is another run with its id, r1-part-2."]
    assert continuation.create_next(db, "r1", NOW) is None


def test_phase_of_later_part_names_its_run(db: Database) -> None:
    posted_run(db, "r1", [["P1"], ["P2"], ["P3"]], most=1)
    with pytest.raises(NotFound, match=r"no phase 'P3'; it comes with the run r1-part-3, once .* it has P1"):
        complete(db, "r1", "P3")
    with pytest.raises(NotFound, match="no phase 'P4'; it has P1"):
        complete(db, "r1", "P4")


def test_plan_without_free_part_ids_is_refused(db: Database) -> None:
    posted_run(db, "r1-part-3")
    with pytest.raises(Conflict, match="takes 3 runs, and there is a run r1-part-3 already"):
        posted_run(db, "r1", [["P1", "P2", "P3"]], most=1)
    assert [run.run_id for run in run_rows.list_open_runs(db)] == ["r1-part-3"]
    posted_run(db, "r1", [["P1", "P2"]], most=1)


def test_second_run_is_refused_with_first_name(db: Database) -> None:
    posted_run(db, "r1", issue=7)
    with pytest.raises(Conflict, match="The run r1 is on for the issue acme/widgets#7"):
        posted_run(db, "r2", issue=7)
    posted_run(db, "r3", issue=8)


def test_one_of_two_parallel_starts_is_refused(db: Database) -> None:
    def start(number: int) -> str:
        try:
            return posted_run(db, f"r{number}", issue=7)
        except Conflict as refusal:
            return str(refusal)

    answers = at_once(4, start)
    (begun,) = [one for one in answers if one.startswith("r")]
    assert sum(f"The run {begun} is on" in one for one in answers) == 3
