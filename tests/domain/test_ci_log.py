"""Of a log, the Builder is shown the failure and little else."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.ci_log import trim_log

STAMP = "2026-01-02T03:04:05.1234567Z "


def noise(count: int, word: str = "Collecting package") -> list[str]:
    return [f"{word} {number}" for number in range(count)]


def test_long_log_keeps_the_errors_lines() -> None:
    lines = [*noise(500), "step before", "E  AssertionError: 3 != 4", "step after", *noise(500, "Cleaning")]
    text = trim_log("\n".join(lines))
    assert "AssertionError: 3 != 4" in text
    assert "step before" in text
    assert "step after" in text
    assert "Collecting package 10" not in text.splitlines()
    assert "Cleaning 400" not in text
    assert "lines left out" in text


def test_a_short_log_is_kept_whole() -> None:
    assert trim_log("compiling\nerror: no such file\nstopped") == "compiling\nerror: no such file\nstopped"


def test_timestamps_and_colors_are_gone() -> None:
    log = f"\ufeff{STAMP}start\r\n{STAMP}\x1b[31;1mFAILED\x1b[0m tests/test_a.py\r\n{STAMP}##[error]exit code 1"
    assert trim_log(log) == "start\nFAILED tests/test_a.py\n##[error]exit code 1"


def test_control_characters_are_gone() -> None:
    assert trim_log("a\x00b\x07 error\tx") == "ab error\tx"


def test_a_log_without_an_error_keeps_its_end() -> None:
    text = trim_log("\n".join([*noise(3000), "the very last line"]))
    assert text.endswith("the very last line")
    assert "Collecting package 1\n" not in text


def test_of_many_errors_the_newest_stay() -> None:
    text = trim_log("\n".join(f"error number {number} {'x' * 80}" for number in range(400)))
    assert "error number 399" in text
    assert "error number 0 " not in text


def test_long_lines_do_not_hide_error() -> None:
    text = trim_log("\n".join(["setup", "error: the cause", *["y" * 900] * 20]))
    assert "error: the cause" in text


def test_of_one_endless_line_the_error_stays() -> None:
    text = trim_log("error: the cause " + "z" * 50_000)
    assert "error: the cause" in text
    assert len(text) <= 6_000


def test_lines_left_out_between_two_errors_are_counted() -> None:
    lines = ["error one", *noise(20), "error two"]
    assert trim_log("\n".join(lines), before=1, after=1) == (
        "error one\nCollecting package 0\n… 18 lines left out …\nCollecting package 19\nerror two"
    )


log_lines = st.lists(
    st.sampled_from(["error: x", "FAILED y", "ok", "", "z" * 200, f"{STAMP}done", "\x1b[32mgreen\x1b[0m"]), max_size=60
)


@given(log_lines, st.integers(min_value=100, max_value=2000))
def test_it_never_exceeds_its_limit(lines: list[str], limit: int) -> None:
    assert len(trim_log("\n".join(lines), limit=limit)) <= limit


@given(log_lines, st.integers(min_value=100, max_value=2000))
def test_the_last_error_always_stays(lines: list[str], limit: int) -> None:
    errors = [line for line in lines if line.startswith(("error", "FAILED"))]
    if errors:
        assert errors[-1] in trim_log("\n".join(lines), limit=limit)


@given(st.text(max_size=400))
def test_any_text_is_taken(log: str) -> None:
    text = trim_log(log)
    assert len(text) <= 6_000
    assert "\x1b[" not in text
    assert "\x00" not in text
