"""Who may start and steer runs: decided by the permission GitHub reports at the time, never by text."""

from urllib.parse import quote

from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.github_errors import GitHubRefused

STEERING = frozenset({"admin", "maintain", "write"})


class _Permission(ApiModel):
    permission: str
    role_name: str = ""


async def may_steer(repo: Repo, login: str) -> bool:
    """Whether `login` has the role write, maintain or admin now. Bots and unknown users have not."""
    if is_bot(login):
        return False
    try:
        response = await repo.call(
            lambda: repo.rest.repos.async_get_collaborator_permission_level(
                repo.owner, repo.name, quote(login, safe="")
            )
        )
    except GitHubRefused as refusal:
        if refusal.status == 404:
            return False
        raise
    answer = parse_response(response, _Permission)
    # custom roles: `permission` is the built-in role that they extend
    return answer.permission in STEERING or answer.role_name in STEERING


def is_bot(login: str, user_type: str = "User") -> bool:
    """Whether the user is an App or another machine account, by GitHub's own marking."""
    return user_type == "Bot" or login.endswith("[bot]")
