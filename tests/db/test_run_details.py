"""A run as clients see it: read in one go, with work that does not grow with the square of its plan."""

import cProfile
import pstats

from app.db.engine import Database
from app.domain.api_requests import StatusUpdate
from app.domain.states import PhaseState
from app.queries import run_details
from app.runs import api_commands
from tests.db.sample_rows import NOW, posted_run

LARGE = 300


def calls_to_read(db: Database, run_id: str) -> int:
    """How many calls of functions it takes, those of the database's driver among them."""
    run_details.read_run_card(db, run_id)  # what is cached at the first reading is not counted
    with cProfile.Profile() as profile:
        run_details.read_run_card(db, run_id)
    return int(vars(pstats.Stats(profile))["total_calls"])


def test_tiers_come_with_their_descriptions_and_phases(db: Database) -> None:
    posted_run(db, "r1", [["P2", "P1"], ["P3"]])
    tiers = run_details.read_run_card(db, "r1").tiers
    assert [(tier.tier_id, tier.description) for tier in tiers] == [("T1", "About 1"), ("T2", "About 2")]
    assert [[phase.phase_id for phase in tier.phases] for tier in tiers] == [["P2", "P1"], ["P3"]]


def test_following_runs_are_named_with_phases(db: Database) -> None:
    posted_run(db, "r1-part-2", [["P1"], ["P2", "P3"], ["P4"]], most=2)
    following = run_details.read_run_card(db, "r1-part-2").linked_runs
    assert [(one.run_id, one.part, one.phase_ids) for one in following] == [
        ("r1-part-2-part-2", 2, ["P2", "P3"]),
        ("r1-part-2-part-3", 3, ["P4"]),
    ]


def test_bookings_for_longest_ids_are_counted(db: Database) -> None:
    run_id, phase_id = "r" * 100, "p" * 100
    posted_run(db, run_id, [[phase_id]])
    update = StatusUpdate(state=PhaseState.EXECUTING, tokens_used=70)
    assert api_commands.update_status(db, run_id, phase_id, update, NOW).tokens_used == 70
    assert run_details.read_run_card(db, run_id).tokens_used == 70


def test_work_grows_with_the_plan_not_its_square(db: Database) -> None:
    for run_id, number in (("half", LARGE // 2), ("whole", LARGE)):
        posted_run(db, run_id, [[f"{run_id}-{n}"] for n in range(number)], most=LARGE)
    assert calls_to_read(db, "whole") < 2.2 * calls_to_read(db, "half")
