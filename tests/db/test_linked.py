"""The run that does a plan's next part is created once, and only after one that ended well."""

import pytest

from app.db import linked, picture, progress, runs
from app.db.engine import Database
from app.domain.states import RunState
from app.domain.view import LinkedRun
from tests.db.making import NOW, PLAN, at_once, new_run, strategy_of


def first_of_three(db: Database, run_id: str = "r1", intent: str = "build") -> None:
    runs.create(db, new_run(run_id, intent=intent), NOW)
    runs.store_strategy(db, run_id, PLAN, strategy_of(), [PLAN, PLAN])
    progress.move_run(db, run_id, RunState.RUN_CREATED, "stored", NOW)


def succeed(db: Database, run_id: str) -> None:
    progress.end(db, run_id, RunState.DONE_SUCCESS, "all green", NOW)


def test_each_part_follows_the_one_before(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    assert linked.create_next(db, "r1", NOW) == "r1-part-2"
    second = runs.get(db, "r1-part-2")
    assert (second.follows, second.part, second.parts, second.rest) == ("r1", 2, 3, (PLAN,))
    assert (second.base_branch, second.target_branch, second.plan) == ("autonomous/r1", "main", PLAN)
    assert (second.issue_number, second.requester, second.options) == (7, "maintainer", runs.get(db, "r1").options)
    runs.store_strategy(db, "r1-part-2", PLAN, strategy_of())
    progress.move_run(db, "r1-part-2", RunState.RUN_CREATED, "stored", NOW)
    succeed(db, "r1-part-2")
    assert linked.create_next(db, "r1-part-2", NOW) == "r1-part-3"
    third = runs.get(db, "r1-part-3")
    assert (third.part, third.parts, third.rest) == (3, 3, ())
    assert (third.base_branch, third.target_branch) == ("autonomous/r1-part-2", "main")
    view = picture.take(db, "r1-part-2", "")
    assert (view.before, view.after) == (LinkedRun(run_id="r1"), LinkedRun(run_id="r1-part-3"))


def test_asked_for_by_many_it_is_created_once(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    assert at_once(6, lambda _: linked.create_next(db, "r1", NOW)) == ["r1-part-2"] * 6


@pytest.mark.parametrize("state", [one for one in RunState if one.terminal and one is not RunState.DONE_SUCCESS])
def test_nothing_follows_a_run_that_did_not_end_well(db: Database, state: RunState) -> None:
    first_of_three(db)
    progress.end(db, "r1", state, "no", NOW)
    assert linked.create_next(db, "r1", NOW) is None


def test_nothing_follows_a_run_that_is_on_or_only_planned(db: Database) -> None:
    first_of_three(db)
    assert linked.create_next(db, "r1", NOW) is None
    first_of_three(db, "planned", "plan")
    succeed(db, "planned")
    assert linked.create_next(db, "planned", NOW) is None


def test_another_run_that_is_on_for_the_issue_goes_first(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    runs.create(db, new_run("r2"), NOW)
    assert linked.create_next(db, "r1", NOW) is None


def test_a_part_that_is_divided_again_makes_more_parts(db: Database) -> None:
    first_of_three(db)
    succeed(db, "r1")
    linked.create_next(db, "r1", NOW)
    runs.store_strategy(db, "r1-part-2", PLAN, strategy_of(), [PLAN])
    second = runs.get(db, "r1-part-2")
    assert (second.part, second.parts, len(second.rest)) == (2, 4, 2)


def test_ids_of_parts_stay_usable(db: Database) -> None:
    longest = "x" * 100
    assert linked.next_id("issue-7-ab12", 1) == "issue-7-ab12-part-2"
    assert linked.next_id("issue-7-ab12-part-2", 2) == "issue-7-ab12-part-3"
    assert linked.next_id(longest, 1) == "x" * 93 + "-part-2"
