"""All Markdown and commit messages that Autopack writes: pure functions, in which foreign text is made harmless."""

from app.github.text.budget_text import how_to_raise
from app.github.text.check_text import CheckText, check_output, integrity_check, promotion_check, superseded_check
from app.github.text.comment_text import (
    already_running,
    called_wrong,
    help_text,
    incident,
    landed_otherwise,
    no_run,
    no_run_on_pull,
    only_the_first,
    permission_refusal,
    plan_unreadable,
    request_answered,
    short_answer,
    status_answer,
    steer_answer,
    superseded_pull,
)
from app.github.text.commit_message import commit_message, merge_message, take_back_message
from app.github.text.escape import marker
from app.github.text.plan_text import plan_comment, read_plan
from app.github.text.review_text import leftover_section, review_body, review_comment
from app.github.text.status_text import final_summary, pull_body, pull_title, status_comment

__all__ = [
    "CheckText",
    "already_running",
    "called_wrong",
    "check_output",
    "commit_message",
    "final_summary",
    "help_text",
    "how_to_raise",
    "incident",
    "integrity_check",
    "landed_otherwise",
    "leftover_section",
    "marker",
    "merge_message",
    "no_run",
    "no_run_on_pull",
    "only_the_first",
    "permission_refusal",
    "plan_comment",
    "plan_unreadable",
    "promotion_check",
    "pull_body",
    "pull_title",
    "read_plan",
    "request_answered",
    "review_body",
    "review_comment",
    "short_answer",
    "status_answer",
    "status_comment",
    "steer_answer",
    "superseded_check",
    "superseded_pull",
    "take_back_message",
]
