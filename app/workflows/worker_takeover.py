"""Taking up the work of processes that died, on a PostgreSQL that several serve.

A process lives as long as a session of the database holds its lock. Who gets that lock moves the dead process's
workflows back to their queues, where one living process takes each. The engine stores no further step of the dead one,
should it still be alive somewhere, and `require_own_work` lets it write nothing on GitHub.
"""

import asyncio
import logging
import os
import signal
from collections import defaultdict

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from app.db.worker_lock import DeadWorker, WorkerReplaced
from app.runs import transitions
from app.workflows.carry_over import carry_over
from app.workflows.services import begin_shutdown, call_db, services
from app.workflows.steps import utcnow
from app.workflows.workflow_names import RUN

EVERY_SECONDS = 2.0

log = logging.getLogger(__name__)


async def run_takeover_loop() -> None:
    """Make sure of this process's own lock, and take up the work of the dead, until cancelled."""
    lock = services().db.worker
    while True:
        try:
            await asyncio.to_thread(lock.confirm)
            found = await asyncio.to_thread(lock.list_dead)
            for dead in found:
                await take_over(dead)
            if found and await asyncio.to_thread(lock.leads):
                await carry_over(DBOS.application_version)
        except WorkerReplaced as replaced:
            _give_up(replaced)
            await asyncio.Event().wait()  # until the process ends
        except SQLAlchemyError as trouble:
            log.warning("other processes are looked after again in %s seconds: %s", EVERY_SECONDS, trouble)
        await asyncio.sleep(EVERY_SECONDS)


async def take_over(dead: DeadWorker) -> None:
    """Move the unfinished workflows of a dead process back to their queues, unless another process does so."""
    lock, done = services().db.worker, False
    if not await asyncio.to_thread(lock.bury, dead):
        return
    try:
        left = await DBOS.list_workflows_async(
            executor_id=dead.executor_id, status="PENDING", load_input=False, load_output=False
        )
        runs = [one.workflow_id for one in left if one.name == RUN]
        await call_db(transitions.mark_runs_resumed, utcnow(), runs)
        by_queue: defaultdict[str | None, list[str]] = defaultdict(list)
        for one in left:
            by_queue[one.queue_name].append(one.workflow_id)
        for queue, ids in by_queue.items():
            await DBOS.resume_workflows_async(ids, queue_name=queue)
        log.warning("%s has ended; what it left is taken up: %s workflows", dead.executor_id, len(left))
        done = True
    finally:
        await asyncio.to_thread(lock.end_burial, dead, done=done)


async def require_own_work() -> None:
    """Return where no other process has taken up this one's work.

    Raises `WorkerReplaced`, and `SQLAlchemyError` while the database does not answer: then nothing is written either.
    """
    try:
        await asyncio.to_thread(services().db.worker.confirm)
    except WorkerReplaced as replaced:
        _give_up(replaced)
        raise


def _give_up(replaced: WorkerReplaced) -> None:
    """End this process as on SIGTERM; what started it starts it again."""
    log.critical("this process ends: %s", replaced)
    begin_shutdown()
    os.kill(os.getpid(), signal.SIGTERM)
