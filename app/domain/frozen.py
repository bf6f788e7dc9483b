"""The base of values that never change once made."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that does not change; it is also made from an object's attributes, such as a database row's."""

    model_config = ConfigDict(frozen=True, from_attributes=True)
