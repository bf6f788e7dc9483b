"""Column types, and the base of all tables that says how Python types are stored. Times are UTC with zone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypeVar, cast

from pydantic import TypeAdapter
from sqlalchemy import JSON, Float, Numeric, String, Text, TypeDecorator, text
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.operators import OperatorType

E = TypeVar("E", bound=StrEnum)

EMPTY = text("''")
"""The default of a text column that older rows have too."""


class UtcTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets the zone, so UTC is put back on reading."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class PlainText(TypeDecorator[str]):
    """Text from any source, such as models and logs; PostgreSQL stores no NUL, so each is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return _without_nul(value)


class EnumText(TypeDecorator[E]):
    """A member of a string enum, stored as its value. An unknown value raises `ValueError`, also when it is read."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[E], length: int) -> None:
        super().__init__(length)
        self.kind, self.length = kind, length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        return None if value is None else self.kind(value)


class PydanticJson(TypeDecorator[Any]):
    """A pydantic value of type `kind` as JSON. Fields that `kind` does not have are ignored on reading.

    PostgreSQL reads no text with NUL from JSON, so each is replaced.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__(none_as_null=True)
        self.kind = kind
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return JSON().coerce_compared_value(op, value)  # a path into the JSON is compared as a plain value

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else _without_nul(self._adapter.dump_python(value, mode="json"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else self._adapter.validate_python(value, extra="ignore")


def _without_nul(value: Any) -> Any:
    """The value with every NUL in its texts replaced, also in lists and in mappings."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_without_nul(item) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {_without_nul(key): _without_nul(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    return value


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        dict[str, Any]: PydanticJson(dict[str, Any]),
        list[str]: PydanticJson(list[str]),
        float: Float,
        Decimal: Numeric(18, 8),
    }
