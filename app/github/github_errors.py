"""What can go wrong with GitHub. All survive pickling, because a workflow engine stores the errors of its steps."""


class GitHubUnavailable(Exception):
    """GitHub did not do, or did not answer, what was asked before the deadline; asking again later may help.

    `retry_after` is in seconds, where GitHub said when to come back.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"GitHub is unavailable: {self.reason}"


class RepositoryMoved(GitHubUnavailable):
    """Another installation reaches the repository now: it was transferred, and the event that says so is on its way."""


OUT_OF_REACH = frozenset({401, 403, 404, 410})
"""Statuses of a refusal that may mean that the App has lost the repository, and not only what was asked for."""


class GitHubRefused(Exception):
    """GitHub understood and said no (permission, not found, not valid); asking again will not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return f"GitHub refused ({self.status}): {self.message}"

    @property
    def words(self) -> str:
        """GitHub's words alone, without the name of the request."""
        return self.message.partition(": ")[2] or self.message


def is_unknown(refusal: GitHubRefused) -> bool:
    """Whether GitHub says that it does not know the thing."""
    unknown = ("does not exist", "could not resolve to a node")
    return refusal.status == 404 or (
        refusal.status == 422 and any(words in refusal.message.lower() for words in unknown)
    )


def breaks_rule(refusal: GitHubRefused) -> bool:
    """Whether a ruleset or a protection of the repository refuses it, with any permissions."""
    rules = ("rule violation", "protected ref", "protected branch")
    return refusal.status in {403, 405, 409, 422} and any(words in refusal.message.lower() for words in rules)


_CONTENT_RULES = (
    "secret",
    "push protection",
    "is not allowed by",
    "file path",
    "file extension",
    "file size",
    "commit message",
)
"""Words of refusals of what is in a commit: rulesets on secrets, paths, extensions, sizes and messages."""


def refuses_content(refusal: GitHubRefused) -> bool:
    """Whether GitHub takes the call and not what is in it; another content may pass."""
    return refusal.status in {409, 422} and any(words in refusal.message.lower() for words in _CONTENT_RULES)


def refuses_workflow(refusal: GitHubRefused) -> bool:
    """Whether a changed workflow file is refused: an App needs a permission for it (Mergifyio/mergify#5055)."""
    return refusal.status == 403 and "workflow" in refusal.message.lower()


class BranchMoved(Exception):
    """The branch is not where it was expected: someone else wrote to it, or deleted it (`actual` is None)."""

    def __init__(self, branch: str, expected: str | None, actual: str | None) -> None:
        super().__init__(branch, expected, actual)
        self.branch = branch
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return f"{self.branch} is at {self.actual or 'no commit'}, expected {self.expected or 'no commit'}"
