"""Errors as RFC 9457 problem details: every answer that is not a success says what is wrong and what to do."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from app.domain.api_errors import ApiError, Conflict, NotFound, Unavailable, Unprocessable

log = logging.getLogger(__name__)

_REF = "#/components/schemas/{model}"
_STATUS = {NotFound: 404, Conflict: 409, Unprocessable: 422, Unavailable: 503}
_DETAILS = {
    400: "There was an error parsing the body",
    401: "Send the header Authorization: Bearer <AUTOPACK_API_TOKEN>",
    403: "Set AUTOPACK_API_TOKEN to use the API from another machine; without it, only this one may",
    404: "There is no run 'run-002'; POST /runs/start makes one",
    409: "a phase cannot go from QUEUED to COMPLETE",
    413: "the body is larger than 33,554,432 bytes",
    422: "The patch holds no file; send a unified diff with --- and +++ lines",
    503: "acme/widgets cannot be read now: GitHub does not answer",
}
"""What a problem of each status may say, for the API's documentation."""


class FieldProblem(BaseModel):
    """One field of a request that does not fit."""

    loc: list[str | int]
    """Its place: `body`, `query` or `path`, then the names that lead to it."""
    msg: str
    type: str


class ProblemDetails(BaseModel):
    """The body of an error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default_factory=list[FieldProblem])


class Problem(Exception):
    """An error that the client gets as an answer."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses; those that any route may are added."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": _REF.format(model="ProblemDetails")},
                    "example": _example(status),
                }
            },
        }
        for status in sorted({400, 401, 403, 413, 422, *statuses})
    }


def _example(status: int) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": _DETAILS.get(status, title)}


def install(api: FastAPI) -> None:
    """Make the service answer all errors as problem details, and its OpenAPI document define them."""
    plain = api.openapi

    def documented() -> dict[str, Any]:
        document = plain()
        problem = ProblemDetails.model_json_schema(ref_template=_REF)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= problem.pop("$defs") | {"ProblemDetails": problem}
        return document

    api.openapi = documented
    api.add_exception_handler(Problem, _problem)
    api.add_exception_handler(ApiError, _refusal)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(OperationalError, _database_busy)
    api.add_exception_handler(Exception, _defect)


def answer(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """The answer to a request that failed."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return answer(error.status, error.detail, error.headers)


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return answer(status, str(error), {"Retry-After": "30"} if status == 503 else None)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return answer(error.status_code, str(error.detail), dict(error.headers or {}) or None)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """What does not fit, field by field. What was sent is not repeated: it may hold anything."""
    assert isinstance(error, RequestValidationError)
    found = [
        {
            "loc": [str(part) if isinstance(part, str) else part for part in one["loc"]],
            "msg": _validation_messages(one),
            "type": one["type"],
        }
        for one in error.errors()
    ]
    detail = "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in found[:5])
    return answer(422, detail or "the request does not fit", errors=found)


async def _database_busy(_request: Request, error: Exception) -> JSONResponse:
    """The database is locked for too long, or cannot be reached."""
    log.warning("a request failed for lack of the database: %s", error)
    return answer(503, "The database does not answer just now; ask again", {"Retry-After": "30"})


def defect() -> JSONResponse:
    """The answer to what no one thought of; the server logs it."""
    return answer(500, "Internal error: the log of the service says more")


async def _defect(_request: Request, _error: Exception) -> JSONResponse:
    return defect()


def _validation_messages(one: dict[str, Any]) -> str:
    if one["type"] == "model_attributes_type" and one["loc"] == ("body",):
        return "send a JSON object, with the header Content-Type: application/json"
    return str(one["msg"]).removeprefix("Value error, ").encode(errors="replace").decode()[:500]
