"""When CI is looked at: soon after an event, seldom while nothing happens, and not at every event of a crowd."""

GATHER_MAX_SECONDS = 15.0
POLL_SECONDS = 60.0
"""Without any event, CI is read again this often at first."""
_POLLS_AT_FIRST = 7
_UNHEARD_SECONDS = 120.0
"""After those, where no event has arrived at all."""
_HEARD_SECONDS = 300.0
"""Where an event has arrived, so that webhooks work: a poll is only for one that got lost."""


def gather_seconds(looks: int) -> float:
    """How long after an event the next look waits for further ones, by how many looks events have caused.

    The first is at once: half a minute of CI is judged without a pause that anyone notices.
    """
    return 0.0 if looks < 2 else min(GATHER_MAX_SECONDS, 0.5 * 2 ** min(looks - 2, 10))


def poll_seconds(quiet: int, *, events_arrive: bool) -> float:
    """How long to wait for an event, by how many waits in a row have ended without one."""
    if events_arrive:
        return _HEARD_SECONDS
    return POLL_SECONDS if quiet < _POLLS_AT_FIRST else _UNHEARD_SECONDS
