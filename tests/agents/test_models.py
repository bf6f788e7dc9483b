"""Which models a process may use, and the table of models."""

from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from pydantic_ai.models import KnownModelName

import app
from app.agents.model_access import ModelAccess
from app.agents.models import RequestLimits, build
from app.domain.budget import ModelFailed

TABLE: dict[str, Any] = yaml.safe_load((Path(app.__file__).parent.parent / "rulesets" / "models.yaml").read_text())


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ModelAccess.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_access_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "z-key")
    monkeypatch.setenv("AUTOPACK_LOCAL_BASE_URL", "http://127.0.0.1:1/v1")
    access = ModelAccess()
    assert access.vendors == {"anthropic", "local"}
    assert "a-key" not in repr(access)
    assert "a-key" not in access.model_dump_json()


def test_nothing_set_means_no_vendor() -> None:
    assert (ModelAccess().vendors, ModelAccess().any_key) == (set(), False)


@pytest.mark.parametrize("name", ["gpt-6.1-sol", "acme:model", "openai:", ""])
def test_model_without_a_known_vendor_is_refused(name: str) -> None:
    with pytest.raises(ModelFailed, match="vendor:name"):
        build(name, ModelAccess(), RequestLimits())


STRENGTHS = ("light", "standard", "strong")


def price(model: str) -> Decimal:
    name = model.partition(":")[2]
    return calc_price(PricedUsage(input_tokens=1_000, output_tokens=1_000), name).total_price


@pytest.mark.parametrize("strength", STRENGTHS)
def test_listed_models_exist_with_prices(strength: str) -> None:
    known = set(get_args(KnownModelName.__value__))
    named = [model for model in TABLE[strength] if model.startswith(("anthropic:", "openai:"))]
    assert {model.partition(":")[0] for model in named} == {"anthropic", "openai"}
    for model in named:
        assert model in known
        assert price(model) > 0


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_stronger_models_cost_more(vendor: str) -> None:
    first = [next(model for model in TABLE[strength] if model.startswith(vendor)) for strength in STRENGTHS]
    assert price(first[0]) < price(first[1]) < price(first[2])
