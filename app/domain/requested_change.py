"""What people request of a run: in a review, in a comment on a line, or by the command `fix`."""

from enum import StrEnum

from pydantic import AliasChoices, Field

from app.domain.frozen import Frozen


class RequestKind(StrEnum):
    REVIEW = "review"
    """A review that requests changes: open until its author approves, or it is dismissed."""
    THREAD = "thread"
    """A comment on lines of the pull request: settled by an answer."""
    FIX = "fix"
    """The command `fix`: settled by an answer."""
    COMMENT = "comment"
    """A comment on the issue or pull request, with no command: given to the attempts that follow."""


class RequestedChange(Frozen):
    """A change that a person with write access requested, and the answer to it."""

    kind: RequestKind = RequestKind.REVIEW
    id: int = Field(validation_alias=AliasChoices("id", "review_id"))
    """GitHub's id of the review or comment; for a `fix` over the REST API, a number of its own."""
    login: str
    url: str = ""
    text: str = ""
    """What it says; of a review, its comments on lines too."""
    answered_by: str = ""
    """The commit in which Autopack did what it asks for; empty while it did not."""
    declined: str = ""
    """Why the Builder left it undone; empty where it did not."""
    thread: int = 0
    """The first comment of its thread, where it is a later one; 0 where it is the first."""
    given_to: str = ""
    """Of a comment: the first attempt that was given it, in words."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def answered(self) -> bool:
        return self.kind is RequestKind.COMMENT or bool(self.answered_by or self.declined)

    @property
    def closes_promotion(self) -> bool:
        return self.kind is RequestKind.REVIEW or not self.answered

    @property
    def asked(self) -> str:
        """What the person did, in words."""
        match self.kind:
            case RequestKind.REVIEW:
                return f"{self.login} requested changes in a review"
            case RequestKind.THREAD:
                return f"{self.login} commented on a line of the pull request"
            case RequestKind.FIX:
                return f"{self.login} requested a fix"
            case RequestKind.COMMENT:
                return f"{self.login} commented"

    @property
    def _otherwise(self) -> str:
        return "resolve the thread" if self.kind is RequestKind.THREAD else "`/autopack fix` says it again"

    @property
    def words(self) -> str:
        """What it means for promotion, and what a person does next."""
        if self.kind is not RequestKind.REVIEW:
            return f"{self.asked}, which is not answered: `/autopack retry` has it done, or {self._otherwise}"
        settles = f"an approval by {self.login} settles it, or a dismissal of the review"
        if self.answered_by:
            return f"{self.asked}, and they are in {self.answered_by[:7]}: {settles}"
        if self.declined:
            return f"{self.asked}, and the Builder left them undone ({self.declined[:200]}): {settles}"
        return f"{self.asked}, which are not made: `/autopack retry` has them made, or dismiss the review"
