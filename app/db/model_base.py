"""The base of all tables, and how their Python types are stored. Times are UTC with zone."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import Float, Numeric
from sqlalchemy.orm import DeclarativeBase

from app.db.column_types import PydanticJson, UtcTime


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        dict[str, Any]: PydanticJson(dict[str, Any]),
        list[str]: PydanticJson(list[str]),
        float: Float,
        Decimal: Numeric(18, 8),
    }
