"""The fields of what clients post: their bounds, which the API's documentation shows too."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from app.domain.frozen import Frozen
from app.domain.plan import Identifier, fits_branch_name

MAX_COUNT = 1_000_000_000
"""The largest count that is taken: far beyond any budget, and every database can store it."""
PATCH_CHARACTERS = 4_000_000


def as_number(value: object) -> object:
    """JSON's numbers only: Python would take `true` for 1 and `"5"` for 5."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004  pydantic tells the client about a ValueError
    return value


# Bounds come before the validator: after it, pydantic checks them but leaves them out of the JSON schema.
Count = Annotated[int, Field(ge=0, le=MAX_COUNT), BeforeValidator(as_number)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT), BeforeValidator(as_number)]
Index = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(as_number)]
Attempt = Annotated[int, Field(ge=1, le=1000), BeforeValidator(as_number)]
IssueCount = Annotated[int, Field(ge=0, le=100_000), BeforeValidator(as_number)]
Minutes = Annotated[float, Field(ge=0, le=525_600, allow_inf_nan=False), BeforeValidator(as_number)]
Id = Annotated[Identifier, AfterValidator(fits_branch_name)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=20_000)]
LongText = Annotated[str, StringConstraints(max_length=200_000)]
Patch = Annotated[str, StringConstraints(max_length=PATCH_CHARACTERS)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=500)]
IssueKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")]
"""`category__component__problem`: letters, digits, `_`, `.`, `:`, `-`; 200 at most."""
Source = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,19}$")]
Category = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_ .-]+$")]


class Body(Frozen):
    """A JSON body."""


def example(**values: Any) -> ConfigDict:
    """The configuration of a body that is shown with this example in the API's documentation."""
    return ConfigDict(frozen=True, json_schema_extra={"examples": [values]})
