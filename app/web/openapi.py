"""The OpenAPI document's examples of answers, put in once FastAPI has made it: it would leave their nulls out."""

from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI

from app.web import webhooks

_EXAMPLES = Path(__file__).with_name("openapi_examples.yaml")


def install(api: FastAPI) -> None:
    """Make the service's OpenAPI document show what its endpoints answer."""
    plain = api.openapi

    def documented() -> dict[str, Any]:
        document = plain()
        for endpoint, example in yaml.safe_load(_EXAMPLES.read_text(encoding="utf-8")).items():
            method, path = endpoint.split()
            answers = document["paths"][path][method]["responses"]
            [success] = [answer for status, answer in answers.items() if status.startswith("2")]
            success["content"]["application/json"]["example"] = example
        document["paths"][webhooks.PATH] = webhooks.DOCUMENTATION
        return document

    api.openapi = documented
