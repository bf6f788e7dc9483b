"""The OpenAPI document and the live service agree: no request gets a 5xx, or an answer that is not documented."""

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from tests.api.support import HIGH_RISK, Api, serving

TOKEN = "open-sesame"
RUNS = 16
"""So many that some are open to the end, however much is posted to them."""
OPERATIONS = 27
EXAMPLES = 8
EVERY = 2
"""Every second case at bounds is sent: all of them take twice as long and found nothing else."""
SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example)
Case = schemathesis.Case[Any]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a service of its own, which has runs that can be met."""
    with serving(tmp_path_factory.mktemp("schemathesis"), AUTOPACK_API_TOKEN=TOKEN) as started:
        client = Api(started.url)
        client.http.headers["Authorization"] = f"Bearer {TOKEN}"
        for number in range(RUNS):
            client.begin(["docs", HIGH_RISK[number % len(HIGH_RISK)]], run_id=f"known-{number}")
        client.http.close()
        schema: Any = schemathesis.openapi.from_url(f"{started.url}/openapi.json")
        schema.config.generation.with_security_parameters = False  # `check` sends the token with every request
        yield schema


_known = cycle(range(RUNS))


def meet(case: Case) -> None:
    """Send every other request to a run and phase that there are."""
    number = next(_known)
    if number % 2:
        return
    known = {"run_id": f"known-{number}", "phase_id": f"P{number // 2 % 2 + 1}"}
    addressed = [name for name in known if name in case.path_parameters]
    for name in addressed:
        case.path_parameters[name] = known[name]
    body: Any = case.body
    if addressed and isinstance(body, dict):
        case.body = {**body, **{name: known[name] for name in known if isinstance(body.get(name), str)}}


def check(case: Case) -> None:
    """Send it, and compare the answer with the document."""
    # Ids that contradict each other, or an unknown tier, are more than a schema can say.
    excluded: list[Any] = [openapi_checks.positive_data_acceptance]
    if case.operation.path == "/webhooks/github":
        excluded.append(checks.not_a_server_error)  # documented: 503 while the App is not configured
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=excluded, timeout=60)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_answer_is_a_5xx_or_undocumented(documented: Any, mode: GenerationMode) -> None:
    operations = [found.ok() for found in documented.get_all_operations()]
    assert len(operations) == OPERATIONS
    if mode is GenerationMode.NEGATIVE:  # where nothing is sent, nothing can be wrong
        operations = [operation for operation in operations if operation.body or operation.query]
    for operation in operations:

        @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=SLOW)
        @given(case=operation.as_strategy(generation_mode=mode))
        def agree(case: Case) -> None:
            meet(case)
            check(case)

        agree()


def test_bounds_get_documented_answers(documented: Any) -> None:
    """Least and most values, missing and superfluous fields, one at a time."""
    generation: Any = documented.config.generation
    for found in documented.get_all_operations():
        cases = documented.iter_coverage_cases(
            found.ok(), generation_modes=list(GenerationMode), generation_config=generation
        )
        for case in islice(cases, 0, None, EVERY):
            meet(case)
            check(case)
