"""Why something that a client asks for is not done. The texts are shown to the client."""


class Refusal(Exception):
    """Base of the refusals; its text says what is wrong and what to do."""


class Unknown(Refusal):
    """There is no such run, phase or issue."""


class Conflict(Refusal):
    """It does not fit the state in which the thing is."""


class Unusable(Refusal):
    """What was sent can be read, but not used: a patch that does not apply, ids that contradict each other."""


class Unavailable(Refusal):
    """Something that the answer needs cannot be reached just now; later it may."""
