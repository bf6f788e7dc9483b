"""People and Autopack act in any order: each request is answered, goes on in another run, or is told as open."""

import functools
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.db import run_rows
from app.db.engine import Database
from app.domain.commands import CommandName
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.states import RunState
from app.domain.steer_request import SteerRequest
from app.queries import run_view
from app.runs import heard_comments, own_phases, retry, run_requests, steering, transitions
from tests.db.sample_rows import NOW, PLAN, new_run, strategy_of

SHA = "a" * 40


@functools.cache
def _empty_database() -> Path:
    """A migrated database without rows, made once."""
    path = Path(tempfile.mkdtemp()) / "empty.db"
    db = Database(f"sqlite:///{path}")
    db.migrate()
    db.close()
    return path


class People(RuleBasedStateMachine):
    """One issue, its runs one after the other, and what people ask of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(_empty_database(), self.folder / "people.db")
        self.db = Database(f"sqlite:///{self.folder / 'people.db'}")
        self.now = NOW
        self.number = 100
        self.asked: dict[str, str] = {}
        """What was requested, by key, with how it is known to be settled; empty while it is not."""
        self.comments: dict[str, RequestedChange] = {}
        """What was said to an open run without a command, by key."""
        self.threads: dict[int, RequestedChange] = {}
        """Open threads on GitHub, by id."""

    @initialize()
    def begin(self) -> None:
        self.run = run_rows.create(self.db, new_run("r1"), NOW)
        self._plan()

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def _plan(self) -> None:
        transitions.store_strategy(self.db, self.run, PLAN, strategy_of(), self._later())

    def _later(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def _row(self) -> run_rows.RunRow:
        return run_rows.get(self.db, self.run)

    def _request(self, command: CommandName, **other: object) -> SteerRequest:
        self.number += 1
        return SteerRequest.model_validate({"command": command, "by": "maintainer", "source_id": self.number, **other})

    # People

    @rule()
    def fix(self) -> None:
        asked = self._request(CommandName.FIX, text="Say hello.")
        if self._row().completed_at is None:
            assert steering.fix(self.db, self.run, asked).done
        else:
            answer = retry.go_on(self.db, self.run, asked, SHA, self._later())
            if not answer.done:
                return  # told, with the reason
            self._turn_to(answer.starts)
        self.asked[f"fix:{asked.source_id}"] = ""

    @rule()
    def comment(self) -> None:
        self.number += 1
        url = f"https://github.test/{self.number}#"
        said = RequestedChange(kind=RequestKind.COMMENT, id=self.number, login="maintainer", text="In French", url=url)
        if heard_comments.add_comment(self.db, self.run, said):
            self.comments[said.key] = said
            assert not heard_comments.add_comment(self.db, self.run, said), "it is kept once"
        else:
            assert self._row().completed_at is not None

    @precondition(lambda self: self._works())
    @rule()
    def begin_an_attempt(self) -> None:
        given = heard_comments.take_comments(self.db, self.run, "P1", 1)
        assert len(given) == len(self.comments), "an attempt is given all that was said"

    @rule()
    def comment_on_a_line(self) -> None:
        self.number += 1
        one = RequestedChange(kind=RequestKind.THREAD, id=self.number, login="maintainer", text="Why?")
        self.threads[one.id] = one
        self.asked[one.key] = ""
        self._read()

    @precondition(lambda self: self.threads)
    @rule(data=st.data())
    def resolve_a_thread(self, data: st.DataObject) -> None:
        one = self.threads.pop(data.draw(st.sampled_from(sorted(self.threads))))
        self.asked[one.key] = "resolved"
        self._read()

    @rule(command=st.sampled_from([CommandName.PAUSE, CommandName.RESUME, CommandName.SKIP]))
    def steer(self, command: CommandName) -> None:
        asked = self._request(command, phase_id="P2" if command is CommandName.SKIP else "")
        act = {CommandName.PAUSE: steering.pause, CommandName.RESUME: steering.resume}.get(command, steering.skip)
        act(self.db, self.run, asked, self._later())

    @precondition(lambda self: not self._works())
    @rule()
    def retry_the_run(self) -> None:
        answer = retry.go_on(self.db, self.run, self._request(CommandName.RETRY), SHA, self._later())
        if answer.done:
            self._turn_to(answer.starts)

    # Autopack

    def _read(self) -> None:
        run_requests.store_requested(self.db, self.run, list(self.threads.values()))

    def _turn_to(self, run_id: str) -> None:
        self.run = run_id
        self._plan()
        self._read()

    @precondition(lambda self: self._works())
    @rule(declined=st.booleans())
    def settle(self, declined: bool) -> None:
        """A phase of its own does what is unanswered now, or the Builder declines it."""
        unanswered = [one for one in self._row().objections if not one.answered]
        how = {"declined": "It is right as it is."} if declined else {"answered_by": SHA}
        for one in run_requests.answer_requested(self.db, self.run, {one.key: how for one in unanswered}):
            self.asked[one.key] = "answered"

    @precondition(lambda self: self._works())
    @rule()
    def end_well(self) -> None:
        self._end(RunState.DONE_SUCCESS)

    @precondition(lambda self: self._works())
    @rule(state=st.sampled_from([RunState.DONE_FAILED_ENVIRONMENT, RunState.DONE_CANCELLED]))
    def end_badly(self, state: RunState) -> None:
        self._end(state)

    def _end(self, state: RunState) -> None:
        """The run ends, however much people have requested since it looked; then it looks once more."""
        if state is RunState.DONE_SUCCESS:
            transitions.move_run(self.db, self.run, RunState.PHASE_QUEUEING, "next", self._later())
            for phase_id in PLAN.phase_ids:
                if not run_requests.has_ended(self.db, self.run, phase_id):
                    own_phases.start_attempt(self.db, self.run, phase_id, 1, self._later())
                    own_phases.move_to_gate(self.db, self.run, phase_id, "built", self._later())
                    own_phases.move_to_ci(self.db, self.run, phase_id, self._later())
                    own_phases.complete_phase(self.db, self.run, phase_id, "green", None, self._later())
                    transitions.move_run(self.db, self.run, RunState.PHASE_QUEUEING, "next", self._later())
        run_rows.update(self.db, self.run, {"head_sha": SHA})
        transitions.end_run(self.db, self.run, state, "the end", self._later())
        if following := retry.go_on_with_late_requests(self.db, self.run, self._later()):
            assert self._row().continued_by == following
            self._turn_to(following)
            return
        heard_comments.note_not_taken(self.db, self.run)
        if state is RunState.DONE_SUCCESS:
            assert all(one.answered for one in self._row().objections), "it ended well, and left something undone"

    def _works(self) -> bool:
        row = self._row()
        return row.completed_at is None and row.paused_since is None

    @invariant()
    def nothing_is_left_unanswered(self) -> None:
        """The newest run holds every request that is not settled; once ended, it is not promotable and says why."""
        if not hasattr(self, "run"):
            return
        row = self._row()
        held = {one.key: one for one in row.objections}
        for key, said in self.comments.items():
            assert key in held, f"{key} is lost"
            if row.completed_at is not None and not held[key].given_to:
                notices = run_view.read_run_view(self.db, self.run, "https://github.test").notices
                assert len([one for one in notices if said.url in one]) == 1, "nothing says that it came too late"
        for key, settled in self.asked.items():
            if settled:
                continue
            assert key in held, f"{key} is lost"
            assert not held[key].answered
            if row.completed_at is not None:
                blockers = run_view.read_run_view(self.db, self.run, "https://github.test").promotion_blockers
                assert held[key].words in blockers


TestPeople = People.TestCase
TestPeople.settings = settings(max_examples=25, stateful_step_count=10, deadline=None)
