"""The hourly limit of an installation, and conditional requests.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from tests.hub.world import REPOSITORY, World


def test_unchanged_answer_is_free(world: World) -> None:
    client = world.client("app", world.token())
    first = client.get(f"/repos/{REPOSITORY}")
    again = client.get(f"/repos/{REPOSITORY}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = client.get(f"/repos/{REPOSITORY}", headers={"If-None-Match": 'W/"other"'})
    assert changed.status_code == 200
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in (first, again, changed)]
    assert left == [4999, 4999, 4998]


def test_spent_limit_refuses_until_the_hour_ends(world: World) -> None:
    client = world.client("app", world.token())
    world.hub.state.limits.use_up(world.installation, left=1)
    assert client.get(f"/repos/{REPOSITORY}").status_code == 200
    refused = client.get(f"/repos/{REPOSITORY}")
    assert refused.status_code == 403
    assert refused.json()["message"] == f"API rate limit exceeded for installation ID {world.installation}."
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    world.hub.state.limits.use_up(world.installation, left=0, seconds=-1)
    assert client.get(f"/repos/{REPOSITORY}").headers["X-RateLimit-Remaining"] == "4999"
