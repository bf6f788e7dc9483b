"""How many of each part there are."""


class OutOfStock(Exception):
    """There are fewer of a part than were asked for."""

    def __init__(self, part: str, wanted: int, there: int) -> None:
        super().__init__(f"{wanted} of {part} wanted, {there} there")
        self.part = part
        self.wanted = wanted
        self.there = there


class Inventory:
    """Counts of parts by name."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, part: str, quantity: int) -> None:
        """Put parts on the shelf. Raises ValueError unless the quantity is positive."""
        if quantity <= 0:
            raise ValueError("the quantity must be positive")
        self._counts[part] = self._counts.get(part, 0) + quantity

    def remove(self, part: str, quantity: int) -> None:
        """Take parts from the shelf. Raises ValueError and OutOfStock."""
        if quantity <= 0:
            raise ValueError("the quantity must be positive")
        there = self.count(part)
        if quantity > there:
            raise OutOfStock(part, quantity, there)
        self._counts[part] = there - quantity

    def count(self, part: str) -> int:
        """How many of a part are on the shelf; 0 for an unknown one."""
        return self._counts.get(part, 0)

    def items(self) -> list[tuple[str, int]]:
        """All known parts with their counts, sorted by name."""
        return sorted(self._counts.items())
