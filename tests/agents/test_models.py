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
from app.agents.models import ModelAccess
from app.domain.budget import ModelFailed

TABLE: dict[str, Any] = yaml.safe_load((Path(app.__file__).parent.parent / "rulesets" / "models.yaml").read_text())


def test_access_is_read_from_the_environment() -> None:
    access = ModelAccess.from_environment(
        {
            "ANTHROPIC_API_KEY": "a-key",
            "OPENAI_API_KEY": "",
            "AZURE_OPENAI_API_KEY": "z-key",
            "AUTOPACK_LOCAL_BASE_URL": "http://127.0.0.1:1/v1",
            "UNRELATED": "x",
        }
    )
    assert access.vendors() == {"anthropic", "local"}
    assert "a-key" not in repr(access)
    assert "a-key" not in access.model_dump_json()


def test_nothing_set_means_no_vendor() -> None:
    assert ModelAccess.from_environment({}).vendors() == set()


@pytest.mark.parametrize("name", ["gpt-6.1-sol", "acme:model", "openai:", ""])
def test_model_without_a_known_vendor_is_refused(name: str) -> None:
    with pytest.raises(ModelFailed, match="vendor:name"):
        ModelAccess().build(name)


STRENGTHS = ("light", "standard", "strong")


def price(model: str) -> Decimal:
    name = model.partition(":")[2]
    return calc_price(PricedUsage(input_tokens=1_000, output_tokens=1_000), name).total_price


@pytest.mark.parametrize("strength", STRENGTHS)
def test_models_of_the_table_exist_and_have_a_price(strength: str) -> None:
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
