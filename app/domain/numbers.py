"""Numbers as people read them: tokens, exact figures, money and shares."""

from decimal import Decimal

_UNITS = ((1_000_000, "M"), (1_000, "k"))


def tokens(count: int) -> str:
    """A count of tokens in three digits: 950, 12.3k, 5M."""
    for size, unit in _UNITS:
        if count >= size:
            value = count / size
            return f"{value:.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.1f}{unit}"
    return str(count)


def short_exact(count: int) -> str:
    """Exact, and as short as a command takes it: 100k, 1.5M."""
    for size, unit in _UNITS:
        if count >= size and (count * 1_000) % size == 0:
            return f"{count / size:.3f}".rstrip("0").rstrip(".") + unit
    return str(count)


def figure(amount: int | float) -> str:
    """All digits of a whole number, one decimal of another (four below one): 9,000, 2.5, 0.0312."""
    if isinstance(amount, int):
        return f"{amount:,}"
    return f"{amount:,.{1 if amount >= 1 else 4}f}".rstrip("0").rstrip(".")


def money(amount: Decimal | None) -> str:
    """US dollars to the cent, or to a tenth of one below ten cents."""
    if amount is None:
        return "no price known"
    return f"${amount:,.2f}" if amount >= Decimal("0.1") else f"${amount:.3f}"


def share(part: float, whole: float) -> str:
    """A percentage without decimals; all of it where the whole is nothing."""
    return f"{part / whole if whole > 0 else 1.0:.0%}"
