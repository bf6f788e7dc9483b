"""Answers with an error status, in GitHub's form."""

from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """An answer with an error status: GitHub's problem body."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None, headers: Json | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = headers or {}
        self.body: Json = {"message": message}
        if errors is not None:
            self.body["errors"] = errors
        self.body |= {"documentation_url": "https://docs.github.com/rest", "status": str(status)}


def invalid(resource: str, field_name: str, code: str = "invalid", message: str | None = None) -> Refusal:
    """The 422 "Validation Failed" that names one field."""
    error: Json = {"resource": resource, "field": field_name, "code": code}
    if message is not None:
        error["message"] = message
    return Refusal(422, "Validation Failed", [error])
