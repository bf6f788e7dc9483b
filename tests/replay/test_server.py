"""The recorded model's server, asked as the vendors' clients would."""

import concurrent.futures
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.replay import ModelServer, Recording, Turn, load_recordings

HEADER = "Repository: acme/slug\nIssue: #7\nRun: r\nPhase: P1\nAttempt: 1\n\nDo it."
TOOLS = ("read_file", "answer")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def anthropic_body(*, user: str = HEADER, replies: int = 0, role: str = "Builder") -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": user}]}]
    for number in range(replies):
        messages += [{"role": "assistant", "content": f"reply {number}"}, {"role": "user", "content": "go on"}]
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]
    return {
        "model": "m",
        "max_tokens": 10,
        "system": f"You are the {role}.\nWork.",
        "messages": messages,
        "tools": tools,
    }


def chat_body(replies: int = 0) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are the Builder.\nWork."},
        {"role": "user", "content": HEADER},
    ]
    messages += [{"role": "assistant", "content": "reply"}, {"role": "user", "content": "go on"}] * replies
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in TOOLS]
    return {"model": "m", "messages": messages, "tools": tools}


def responses_body(*more: dict[str, Any]) -> dict[str, Any]:
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in TOOLS]
    items: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "input_text", "text": HEADER}]}, *more]
    return {"model": "gpt-6-luna", "instructions": "You are the Builder.\nWork.", "input": items, "tools": tools}


def ask(server: ModelServer, body: dict[str, Any], path: str = "/v1/messages") -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=20)


def ask_chat(server: ModelServer, body: dict[str, Any]) -> httpx.Response:
    return ask(server, body, "/v1/chat/completions")


def ask_responses(server: ModelServer, body: dict[str, Any]) -> httpx.Response:
    return ask(server, body, "/v1/responses")


def builder(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"builder": {"P1": {1: list(turns)}}}


def test_turn_is_chosen_by_the_replies_so_far(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}, {"text": "two"}))
    assert ask(server, anthropic_body(replies=1)).json()["content"] == [{"type": "text", "text": "two"}]
    assert ask(server, anthropic_body()).json()["content"] == [{"type": "text", "text": "one"}]
    assert ask_chat(server, chat_body(replies=1)).json()["choices"][0]["message"]["content"] == "two"


def test_answer_is_a_call_of_the_output_tool(server: ModelServer) -> None:
    server.play("acme/slug", builder({"answer": {"status": "done"}}))
    block = ask(server, anthropic_body()).json()["content"][0]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "answer", {"status": "done"})
    call = ask_chat(server, chat_body()).json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("answer", {"status": "done"})


def test_every_response_says_that_it_is_recorded(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}))
    assert ask(server, anthropic_body()).headers["x-autopack-recorded"] == "true"
    assert ask(server, anthropic_body(replies=9)).headers["x-autopack-recorded"] == "true"


def test_missing_entry_is_named(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}))
    response = ask(server, anthropic_body(replies=1))
    assert response.status_code == 400
    assert "no builder.P1.1[1]" in response.json()["error"]["message"]
    other = ask(server, anthropic_body(user=HEADER.replace("Attempt: 1", "Attempt: 2")))
    assert "no builder.P1.2" in other.json()["error"]["message"]
    elsewhere = ask(server, anthropic_body(user=HEADER.replace("acme/slug", "acme/other")))
    assert "no recording for acme/other" in elsewhere.json()["error"]["message"]


def test_stars_stand_for_any_repository_phase_and_attempt(server: ModelServer) -> None:
    server.play("*", {"builder": {"*": {"*": [{"text": "any"}]}}})
    assert ask(server, anthropic_body()).status_code == 200


CALL = {"type": "function_call", "call_id": "c1", "name": "read_file", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "text"}


def test_items_of_a_reply_count_as_one_turn(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}, {"answer": {"status": "done"}, "reasoning": "Hm."}))
    thought: dict[str, Any] = {"type": "reasoning", "summary": [], "encrypted_content": "eA=="}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me read."}]}
    reply = ask_responses(server, responses_body(thought, said, CALL, OUTPUT)).json()
    reasoning, call = reply["output"]
    assert (reasoning["type"], call["type"], call["name"]) == ("reasoning", "function_call", "answer")
    assert json.loads(call["arguments"]) == {"status": "done"}


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ((OUTPUT,), "No tool call found for function call output with call_id c1."),
        ((OUTPUT, CALL), "No tool call found for function call output with call_id c1."),
        ((CALL, {"role": "user", "content": "go on"}), "No tool output found for function call c1."),
    ],
)
def test_unpaired_calls_are_refused(server: ModelServer, items: tuple[dict[str, Any], ...], reason: str) -> None:
    server.play("acme/slug", builder({"text": "one"}, {"text": "two"}))
    response = ask_responses(server, responses_body(*items))
    assert (response.status_code, response.json()["error"]["message"]) == (400, reason)


@pytest.mark.parametrize("model", ["gpt-5.6", "gpt-5.6-sol", "gpt-6-luna", "gpt-6.1-terra"])
def test_newer_models_take_no_tools_in_chat(server: ModelServer, model: str) -> None:
    server.play("acme/slug", builder({"text": "one"}))
    response = ask_chat(server, chat_body() | {"model": model})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"].startswith(
        f"Function tools with reasoning_effort are not supported for {model} in /v1/chat"
    )
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "reasoning_effort", None)
    assert ask_chat(server, chat_body() | {"model": model, "reasoning_effort": "none"}).status_code == 200
    assert ask_chat(server, chat_body() | {"model": "gpt-4.1"}).status_code == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"system": "You are a poet."}, "system prompt"),
        ({"messages": [{"role": "user", "content": "hello"}]}, "Repository"),
    ],
)
def test_foreign_requests_are_refused(server: ModelServer, change: dict[str, Any], reason: str) -> None:
    response = ask(server, anthropic_body() | change)
    assert response.status_code == 400
    assert reason in response.json()["error"]["message"]


def test_failures_are_played(server: ModelServer) -> None:
    server.play(
        "acme/slug",
        builder({"status": 529}, {"refusal": True}, {"malformed": True}, {"status": 500, "times": 1, "text": "well"}),
    )
    assert ask(server, anthropic_body()).json()["error"]["type"] == "overloaded_error"
    assert ask(server, anthropic_body(replies=1)).json()["stop_reason"] == "refusal"
    assert ask_chat(server, chat_body(replies=1)).json()["choices"][0]["finish_reason"] == "content_filter"
    assert "recorded_as_malformed" in ask(server, anthropic_body(replies=2)).json()["content"][0]["input"]
    assert [ask(server, anthropic_body(replies=3)).status_code for _ in range(3)] == [500, 200, 200]


def test_failure_may_be_for_one_vendor_only(server: ModelServer) -> None:
    server.play("acme/slug", builder({"status": 529, "only_for": "anthropic", "text": "fine"}))
    assert ask(server, anthropic_body()).status_code == 529
    assert ask_chat(server, chat_body()).json()["choices"][0]["message"]["content"] == "fine"


def test_usage_is_told_in_each_vendors_way(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one", "usage": {"input": 100, "cached": 80, "output": 5}}))
    usage = ask(server, anthropic_body()).json()["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (20, 80, 5)
    usage = ask_chat(server, chat_body()).json()["usage"]
    assert (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (100, 80)
    usage = ask_responses(server, responses_body()).json()["usage"]
    assert (usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]) == (100, 80)


def test_held_request_waits_for_release(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}, {"text": "two"}))
    server.hold(role="builder", turn=1)
    assert ask(server, anthropic_body()).status_code == 200, "another turn is not held"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, server, anthropic_body(replies=1))
        deadline = time.monotonic() + 10
        while len(server.requests()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not waiting.done()
        server.release()
        assert waiting.result(timeout=10).status_code == 200


def test_requests_are_kept(server: ModelServer) -> None:
    server.play("acme/slug", builder({"text": "one"}))
    ask(server, anthropic_body())
    seen = server.requests()[0]
    assert (seen.role, seen.repository, seen.phase, seen.attempt, seen.turn) == ("builder", "acme/slug", "P1", 1, 0)
    assert seen.tools == TOOLS
    assert seen.body_characters == len(seen.body)


def test_turn_must_say_something() -> None:
    with pytest.raises(ValidationError, match="a turn needs"):
        Turn()
    with pytest.raises(ValidationError, match="extra"):
        Recording.model_validate({"builder": {"P1": {1: [{"anwser": {}}]}}})


def test_recordings_are_served_by_the_command(tmp_path: Path) -> None:
    recording = tmp_path / "recording.yaml"
    recording.write_text("acme/slug:\n  builder:\n    P1:\n      1:\n        - text: from a file\n")
    assert list(load_recordings(recording)) == ["acme/slug"]
    command = [sys.executable, "-m", "app.replay", str(recording)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Recorded answers, no model: http://127.0.0.1:")
            url = line.split()[-1]
            response = httpx.post(f"{url}/v1/messages", json=anthropic_body(), timeout=20)
            assert response.json()["content"][0]["text"] == "from a file"
        finally:
            process.kill()


PAIRED: list[dict[str, Any]] = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}}]},
]


REFUSED_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"messages": PAIRED}, "`tool_use` ids were found without `tool_result` blocks"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
        "unexpected `tool_use_id`",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
    ({"model": "claude-haiku-4-5", "messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
    ({"model": "claude-sonnet-5-5", "temperature": 0.5}, "not supported for claude-sonnet-5-5"),
    ({"model": "claude-sonnet-4-5", "thinking": {"type": "enabled", "budget_tokens": 10}}, "must be greater than"),
    (
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 99,
            "tool_choice": {"type": "any"},
            "thinking": {"type": "enabled", "budget_tokens": 10},
        },
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    ({"model": "claude-opus-5-5", "thinking": {"type": "enabled", "budget_tokens": 1}}, "use 'adaptive'"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED_MESSAGES)
def test_messages_refuses_what_anthropic_refuses(server: ModelServer, change: dict[str, Any], reason: str) -> None:
    answer = ask(server, anthropic_body() | change)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "gpt-5.1", "max_tokens": 10, "tools": []}, "Use 'max_completion_tokens' instead."),
        ({"model": "gpt-5.1", "temperature": 0, "tools": []}, "'temperature' is not supported"),
        ({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}, "must be a response to a preceeding"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "did not have response messages: c"),
    ],
)
def test_chat_refuses_what_openai_refuses(server: ModelServer, change: dict[str, Any], reason: str) -> None:
    answer = ask_chat(server, chat_body() | change)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]


def test_window_and_thinking_bound_a_reply(server: ModelServer) -> None:
    server.window_tokens = 10
    assert "prompt is too long" in ask(server, anthropic_body()).json()["error"]["message"]
    assert ask_chat(server, chat_body()).json()["error"]["code"] == "context_length_exceeded"
    server.window_tokens = None
    server.play("acme/slug", {"builder": {"P1": {1: [{"text": "x", "thinks": 10}]}}})
    assert ask(server, anthropic_body()).json()["stop_reason"] == "max_tokens"
    assert ask_chat(server, chat_body() | {"max_tokens": 10}).json()["choices"][0]["finish_reason"] == "length"
