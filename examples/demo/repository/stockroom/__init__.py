"""Keep count of the parts on a workshop's shelves."""

from stockroom.inventory import Inventory, OutOfStock
from stockroom.report import table

__all__ = ["Inventory", "OutOfStock", "table"]
