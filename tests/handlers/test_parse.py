"""Commands are read from what a person wrote as text, and from nothing that merely shows one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.commands import REGISTRY, Argument, CommandName
from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.strategy import RunOptions
from handlers.commands import COMMANDS
from handlers.commands.parser import Command, UnknownCommand, parse_comment, parse_comments


def test_every_name_has_its_module() -> None:
    assert set(COMMANDS) == set(CommandName)


@pytest.mark.parametrize("name", CommandName)
def test_command_begins_a_line(name: CommandName) -> None:
    takes = {Argument.PHASE: "P2", Argument.TEXT: "Say bye."}.get(REGISTRY[name].argument, "")
    assert parse_comment(f"/autopack {name} {takes}") == Command(name, argument=takes)
    above = parse_comment(f"Thank you!\n\n/autopack {name} {takes}\n")
    assert above == Command(name, argument=takes)


def test_text_is_the_rest_of_the_comment() -> None:
    """With code, lists and blank lines as they are typed; up to the next command, or what a mail program repeats."""
    body = "Hi\n\n/autopack fix Say bye.\n\n```\nbye\n```\n- and mean it"
    assert parse_comment(body) == Command(CommandName.FIX, argument="Say bye.\n\n```\nbye\n```\n- and mean it")
    first, second = parse_comments("/autopack fix One.\nTwo.\n\n/autopack status")
    assert (first, second) == (Command(CommandName.FIX, argument="One.\nTwo."), Command(CommandName.STATUS))
    assert parse_comment("@bot fix It\n\nOn Monday, Bob wrote:\n> x", "bot") == Command(CommandName.FIX, argument="It")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("/autopack fix", "needs a text"),
        ("/autopack skip", "needs the name of a phase"),
        ("/autopack skip ../x", "is not the name of a phase"),
        ("/autopack skip P1 P2", "takes no more than a phase"),
        ("/autopack pause now", "takes no options"),
        ("/autopack retry P1 --tokens much", "give a number"),
    ],
)
def test_arguments_that_do_not_fit(body: str, problem: str) -> None:
    parsed = parse_comment(body)
    assert isinstance(parsed, UnknownCommand)
    assert problem in parsed.problem


def test_phase_and_options_together() -> None:
    expected = Command(CommandName.RETRY, RunOptions(tokens=2_000_000), "P2")
    assert parse_comment("/autopack retry P2 --tokens 2M") == expected
    assert parse_comment("/autopack retry --tokens=2M") == Command(CommandName.RETRY, RunOptions(tokens=2_000_000))


@pytest.mark.parametrize(
    "body",
    [
        "/autopack run",
        "  /autopack run  ",
        "/Autopack RUN",
        "/autopack\trun",
        "/autopack \u00a0 run",
        "Please\n/autopack run\nthanks",
        "Please  \n/autopack run",
        "Please\r\n/autopack run\r\n",
        "**/autopack run**",
        "- /autopack run",
        "1. first\n2. /autopack run",
        "> What do we do?\n\n/autopack run",
        "```\ncode\n```\n/autopack run",
        "<!-- a comment -->\n\n/autopack run",
        "see [this](https://example.com)\n/autopack run",
        "/autopack run `now`",
    ],
)
def test_text_is_read(body: str) -> None:
    assert parse_comment(body) == Command(CommandName.RUN)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "   ",
        "autopack run",
        "Use /autopack run to begin.",
        "/autopackrun",
        "/autopack-run",
        "//autopack run",
        "\\\\/autopack run",
        "`/autopack run`",
        "``/autopack run``",
        "`x` /autopack run",
        "```\n/autopack run\n```",
        "~~~sh\n/autopack run\n~~~",
        "```\n/autopack run",
        "    /autopack run",
        "- item\n\n      /autopack run",
        "> /autopack run",
        "> quoted\n/autopack run",
        "> > /autopack run",
        "> - /autopack run",
        "- > /autopack run",
        "> ```\n> x\n> ```\n> /autopack run",
        "[/autopack run](https://example.com)",
        "[/autopack run][1]\n\n[1]: https://example.com",
        "![/autopack run](https://example.com/a.png)",
        "</autopack run>",
        "<!-- /autopack run -->",
        "<!--\n/autopack run\n-->",
        "text <!--\n/autopack run\n--> text",
        "<details>\n/autopack run\n</details>",
        "<pre>\n/autopack run\n</pre>",
        "<code>/autopack run</code>",
        "see <code>\n/autopack run</code>",
        "stray </code> and <code>\n/autopack run</code>",
        '<a href="https://example.com">/autopack run</a>',
        "<del>/autopack run</del>",
        "[1]: /autopack run",
    ],
)
def test_what_only_shows_a_command_is_not_read(body: str) -> None:
    assert parse_comment(body) is None


def test_the_first_command_counts() -> None:
    assert parse_comment("/autopack cancel\n/autopack run") == Command(CommandName.CANCEL)
    assert parse_comment("`/autopack cancel`\n\n/autopack run") == Command(CommandName.RUN)


def test_bare_command_asks_for_help() -> None:
    assert parse_comment("/autopack") == Command(CommandName.HELP)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("rum", "run"), ("cancle", "cancel"), ("STAT", "status"), ("plann", "plan"), ("hlep", "help"), ("xyzzy", None)],
)
def test_an_unknown_command_gets_the_nearest_match(typed: str, meant: str | None) -> None:
    parsed = parse_comment(f"/autopack {typed}")
    assert isinstance(parsed, UnknownCommand)
    assert (parsed.word, parsed.nearest) == (typed, meant)


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ("--tokens 2M", RunOptions(tokens=2_000_000)),
        ("--tokens=500k", RunOptions(tokens=500_000)),
        ("--tokens 1.5m", RunOptions(tokens=1_500_000)),
        ("--tokens 1000", RunOptions(tokens=1_000)),
        ("\u2014tokens 2M", RunOptions(tokens=2_000_000)),
        ("\u2014tokens=2M", RunOptions(tokens=2_000_000)),
        ("--safety critical", RunOptions(safety=SafetyProfile.SAFETY_CRITICAL)),
        ("--safety safety-critical", RunOptions(safety=SafetyProfile.SAFETY_CRITICAL)),
        ("--safety normal", RunOptions(safety=SafetyProfile.NORMAL)),
        ("--scope single_tier", RunOptions(scope=RunScope.SINGLE_TIER)),
        ("--scope single-tier", RunOptions(scope=RunScope.SINGLE_TIER)),
        ("--scope incremental", RunOptions(scope=RunScope.INCREMENTAL)),
        ("--model openai:gpt-6-luna", RunOptions(model="openai:gpt-6-luna")),
        ("--model local:org/name.v1", RunOptions(model="local:org/name.v1")),
        (
            "--scope multi_tier --tokens 3M --model anthropic:x",
            RunOptions(scope=RunScope.MULTI_TIER, tokens=3_000_000, model="anthropic:x"),
        ),
    ],
)
def test_options(typed: str, options: RunOptions) -> None:
    assert parse_comment(f"/autopack run {typed}") == Command(CommandName.RUN, options)


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("--token 2M", "did you mean --tokens?"),
        ("--wings 2", "--wings is not an option"),
        ("please", "please is not an option"),
        ("--tokens", "--tokens needs a value"),
        ("--tokens 0", "give a number from 1k to 1,000M"),
        ("--tokens -5k", "give a number from 1k to 1,000M"),
        ("--tokens 999", "give a number from 1k to 1,000M"),
        ("--tokens 5000M", "give a number from 1k to 1,000M"),
        ("--tokens many", "give a number from 1k to 1,000M"),
        ("--tokens " + "9" * 400, "give a number from 1k to 1,000M"),
        ("--tokens ٣٣٣٣٣", "give a number from 1k to 1,000M"),
        ("--tokens 1e9", "give a number from 1k to 1,000M"),
        ("--safety low", "give one of normal, safety_critical"),
        ("--scope all", "give one of multi_tier, single_tier, incremental"),
        ("--scope critical", "give one of multi_tier, single_tier, incremental"),
        ("--model gpt", "give vendor:name"),
        ("--model openai:a;b", "give vendor:name"),
    ],
)
def test_an_option_that_does_not_fit_is_explained(typed: str, problem: str) -> None:
    parsed = parse_comment(f"/autopack run {typed}")
    assert isinstance(parsed, UnknownCommand)
    assert problem in parsed.problem


snippets = st.sampled_from(
    ["/autopack", "/autopack run", " ", "\n", "\n\n", "`", "```", "> ", "- ", "    ", "<!--", "-->", "[", "](x)", "!",
     "<code>", "</code>", "--tokens", "=", "2M", "**", "\t", "\\", "&#47;", "~~~", "|", "#", "\0", "\u2028", "\ud800"]
)  # fmt: skip
bodies = st.lists(snippets | st.text(max_size=8), max_size=14).map("".join)


@given(bodies)
@example("/autopack run --tokens " + "9" * 5_000)
@example("[" * 2_000 + "/autopack run")
@example("> " * 500 + "/autopack run")
def test_no_comment_whatever_is_too_much(body: str) -> None:
    parsed = parse_comment(body)
    if parsed is not None:
        assert "autopack" in body.lower()
    if isinstance(parsed, Command):
        assert parsed.name in CommandName


@given(bodies)
def test_fences_and_quotes_are_ignored(body: str) -> None:
    plain = body.replace("\r", "\n").replace("~~~", "~")
    assert parse_comment(f"~~~\n{plain}\n~~~") is None
    quoted = "\n".join(f"> {line}" for line in plain.split("\n"))
    assert parse_comment(quoted) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_text_without_the_prefix_is_never_a_command(body: str) -> None:
    if "/autopack" not in body.lower() and "&" not in body:
        assert parse_comment(body) is None


@pytest.mark.parametrize(
    "body",
    [
        "<blockquote>\n\n/autopack cancel\n\n</blockquote>\n\nWhy?",
        "- she said\n\n  <blockquote>\n\n  /autopack cancel\n\n  </blockquote>\n",
        "<del>\n\n/autopack cancel\n\n</del>",
        "~~/autopack cancel~~",
        "Thanks!\r\n\r\n-----Original Message-----\r\nFrom: Bob\r\n\r\n/autopack cancel\r\n",
        "Thanks!\n\nOn Tue, Nov 20, 2026 at 7:14 PM Bob <b@example.com> wrote:\n\n/autopack cancel",
        "Danke\n\nAm 20.11.2026 schrieb Bob:\n/autopack cancel",
        "Yes\n\nFrom: Bob <b@example.com>\nSent: Tuesday\n\n/autopack cancel",
        "Ok\n________________________________\n/autopack cancel",
    ],
)
def test_what_is_repeated_is_no_command(body: str) -> None:
    assert parse_comment(body) is None


@pytest.mark.parametrize(
    "body",
    [
        "\u200b/autopack run",
        "\ufeff/autopack run",
        "\u00a0/autopack run",
        "@autopack run",
        "@AutoPack run",
        "<blockquote>\n\nold\n\n</blockquote>\n\n/autopack run",
        "/autopack run\r\n-----Original Message-----\r\n/autopack cancel",
    ],
)
def test_commands_as_people_write_them(body: str) -> None:
    assert parse_comment(body, "autopack") == Command(CommandName.RUN)


def test_nobody_else_is_called() -> None:
    assert parse_comment("@autopack-fan run", "autopack") is None
    assert parse_comment("@ run") is None
    assert parse_comment("@autopack run") is None


def test_all_commands_of_a_comment_are_seen() -> None:
    assert parse_comments("/autopack run\n/autopack status") == [Command(CommandName.RUN), Command(CommandName.STATUS)]
