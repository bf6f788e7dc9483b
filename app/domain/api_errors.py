"""Why something that a client asks for is not done. The texts are shown to the client."""


class ApiError(Exception):
    """Base of the refusals; its text says what is wrong and what to do."""


class NotFound(ApiError):
    """There is no such run, phase or issue."""


class Conflict(ApiError):
    """It does not fit the state in which the thing is."""


class Unprocessable(ApiError):
    """What was sent can be read, but not used: a patch that does not apply, ids that contradict each other."""


class Unavailable(ApiError):
    """Something that the answer needs cannot be reached just now; later it may."""
