"""`POST /runs/{run_id}/…`: the commands that steer a run, one route for each of the registry; and the run's log."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.domain.commands import MAX_TOKENS, MIN_TOKENS, MODEL_PATTERN, REGISTRY, Argument, CommandName
from app.domain.plan import Identifier
from app.domain.run_export import TransitionEntry
from app.domain.states import RunState
from app.domain.strategy import RunOptions
from app.queries import run_archive
from app.web.metric_routes import RunId, of_run
from app.web.problems import problems
from app.workflows import api

router = APIRouter(tags=["steering"])


_STEP: JsonDict = {
    "machine": "phase",
    "subject": "P1.1",
    "old": "QUEUED",
    "new": "EXECUTING",
    "cause": "P1.1 attempt 1",
    "at": "2026-01-02T03:04:05Z",
}


class RetryOptions(BaseModel):
    """What the run that goes on has otherwise than the one before."""

    model_config = ConfigDict(strict=True)
    tokens: int | None = Field(default=None, ge=MIN_TOKENS, le=MAX_TOKENS, description="The run's cap")
    model: str | None = Field(default=None, pattern=MODEL_PATTERN, description="`vendor:name`")


class SteerBody(BaseModel):
    """What a command takes; the body may be left out where that is nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phase_id": "P1.1", "by": "the night shift"}]})

    phase_id: Identifier | None = Field(default=None, description="Of `skip`, and if wanted of `retry`")
    text: str | None = Field(
        default=None,
        max_length=10_000,
        min_length=1,
        examples=["Say good morning."],
        description="Of `fix`: what to change",
    )
    options: RetryOptions = Field(default_factory=RetryOptions, description="Of `retry`")
    by: str = Field(default="the API", max_length=100, min_length=1, description="Who asks, as the run shows it")
    request_id: str | None = Field(
        default=None, max_length=100, description="The same one again changes nothing: for `fix` and `retry`"
    )


class SteerReceipt(BaseModel):
    """The answer; `run_id` is the run that goes on, which for `retry` is another one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"message": "The run run-001 goes on.", "run_id": "run-001", "state": "CI_RUNNING"}]
        }
    )

    message: str
    run_id: str
    state: RunState


class RunLog(BaseModel):
    """Every step of the run, of its tiers and of its phases, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run_id": "run-001", "steps": [_STEP]}]})
    run_id: str
    steps: list[TransitionEntry]


@router.get("/runs/{run_id}/log", responses=problems(404))
async def log(run_id: RunId) -> RunLog:
    """What happened in the run, with times and causes."""
    return RunLog(run_id=run_id, steps=list(await of_run(run_archive.read_history, run_id)))


def _route(name: CommandName) -> Callable[..., Awaitable[SteerReceipt]]:
    async def endpoint(run_id: RunId, body: Annotated[SteerBody | None, Body()] = None) -> SteerReceipt:
        asked = body or SteerBody()
        message, goes_on = await api.steer_run(
            run_id,
            name,
            by=asked.by,
            phase_id=asked.phase_id or "",
            text=asked.text or "",
            options=RunOptions(tokens=asked.options.tokens, model=asked.options.model),
            request_id=asked.request_id,
        )
        return SteerReceipt(message=message, run_id=goes_on.run_id, state=goes_on.state)

    return endpoint


def _described(name: CommandName) -> str:
    spec = REGISTRY[name]
    takes = {Argument.PHASE: " Takes `phase_id`.", Argument.TEXT: " Takes `text`.", Argument.NONE: ""}
    return f"{spec.meaning[:1].upper()}{spec.meaning[1:]}.{takes.get(spec.argument, ' May take `phase_id`.')}"


for _name, _spec in REGISTRY.items():
    if _spec.of_run:
        router.add_api_route(
            f"/runs/{{run_id}}/{_name}",
            _route(_name),
            methods=["POST"],
            name=f"{_name}_run",
            description=_described(_name),
            responses=problems(404, 409, 503),
        )
