"""A process that builds one phase in a durable workflow; the test kills it in the middle and starts it again.

Its arguments: the folder of the repository and the state, the base commit, the model server's address.
"""

import asyncio
import json
import sys
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID
from pydantic import SecretStr

from app.agents.builder import build
from app.agents.guard import PendingRequest
from app.agents.model_access import ModelAccess
from app.agents.models import configure
from app.domain.budget import Role, Usage
from tests.agents.support import builder_task, deps_of, open_worktree

FOLDER, SHA, URL = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
WORKFLOW_ID = "build-P1"


class StepLedger:
    """Appends to a file in steps, so that the file shows what was really done."""

    async def reserve(self, call: PendingRequest) -> str:
        return await DBOS.run_step_async({"name": "reserve"}, self._append, f"reserve {call.tokens > 0}")

    async def settle(self, reservation: str, usage: Usage) -> None:
        await DBOS.run_step_async({"name": "settle"}, self._append, f"settle {reservation} {usage.total > 0}")

    async def _append(self, line: str) -> str:
        path = FOLDER / "ledger.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("\n".join([*lines, line]) + "\n")
        return f"r{len(lines)}"


@DBOS.workflow(name="build_phase")
async def build_phase() -> dict[str, object]:
    worktree = await open_worktree(FOLDER, SHA)
    deps = deps_of(Role.BUILDER, StepLedger(), worktree=worktree, commands_allowed=True)  # pyright: ignore[reportArgumentType]
    answer = await build(builder_task(), deps)
    patch = await worktree.patch()
    return {"answer": answer, "diff": patch.diff}


async def main() -> None:
    configure(ModelAccess(anthropic_api_key=SecretStr("test-key"), anthropic_base_url=URL))
    config: DBOSConfig = {
        "name": "crash",
        "system_database_url": f"sqlite:///{FOLDER / 'dbos.sqlite'}",
        "application_version": "1",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    with SetWorkflowID(WORKFLOW_ID):
        handle = await DBOS.start_workflow_async(build_phase)
    result = await handle.get_result()
    answer = result["answer"]
    print(json.dumps({"diff": result["diff"], "answer": answer.model_dump(mode="json")}), flush=True)  # pyright: ignore[reportAttributeAccessIssue]
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
