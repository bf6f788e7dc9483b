"""The inventory as text."""

from stockroom.inventory import Inventory


def table(inventory: Inventory) -> str:
    """One line per part: its name, padded to the longest, and its count. Empty for an empty inventory."""
    rows = inventory.items()
    width = max((len(part) for part, _ in rows), default=0)
    return "\n".join(f"{part:<{width}}  {count:>6}" for part, count in rows)
