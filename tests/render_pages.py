"""The golden pages as GitHub renders them, for people to look at: pictures in docs/pages, made by headless Chromium.

    python -m tests.render_pages [--browser chromium] [NAME …]

GitHub's own styles for Markdown are `tests/support/github-markdown.css`. Alerts and task lists are GitHub's additions:
https://docs.github.com/en/get-started/writing-on-github
"""

import argparse
import html
import re
import subprocess
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

from tests.github.outcomes import PAGES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pages"
STYLES = (ROOT / "tests" / "support" / "github-markdown.css").read_text(encoding="utf-8")
WIDTH = 880
_BOX = re.compile(r"<li>(\s*(?:<p>)?)\[([ xX])\] ")
_ALERT = re.compile(r"<blockquote>\s*<p>\[!NOTE\]\s*(?:</p>)?")
_FRAME = """<!doctype html><meta charset="utf-8"><style>{styles}
body {{ margin: 16px; width: {inner}px; background: #fff }}
.alert {{ border-left: 4px solid #0969da !important; color: #1f2328 !important }}
.alert b {{ color: #0969da }}
li.task {{ list-style: none; margin-left: -1.4em }}</style>
<article class="markdown-body">{body}</article>
<script>document.title = document.documentElement.scrollHeight</script>"""


def file_name(page: str) -> str:
    """The picture's name, without folder."""
    return f"{re.sub('[^a-z0-9]+', '-', page.lower()).strip('-')}.png"


def as_html(markdown: str) -> str:
    """A whole document, as close to GitHub's as these styles bring it."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(markdown)
    body = _BOX.sub(lambda box: f'<li class="task">{box[1]}<input type="checkbox" {_checked(box[2])} disabled> ', body)
    body = _ALERT.sub('<blockquote class="alert"><p><b>ⓘ Note</b></p>', body)
    return _FRAME.format(styles=STYLES, inner=WIDTH - 48, body=body)


def _checked(mark: str) -> str:
    return "" if mark == " " else "checked"


def render(browser: str, name: str) -> None:
    """Write the page's picture, as high as the page is. Raises `subprocess.CalledProcessError`."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(as_html(PAGES[name]()), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},400"]
        shown = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True)
        found = re.search(r"<title>(\d+)</title>", shown.stdout)
        height = int(found[1]) + 16 if found else 2_000
        command[-1] = f"--window-size={WIDTH},{height}"
        target = FOLDER / file_name(name)
        subprocess.run([*command, f"--screenshot={target}", page.as_uri()], capture_output=True, check=True)


def index() -> str:
    """The list of all pages, with their pictures."""
    lines = [
        "# What Autopack writes on GitHub",
        "",
        "Each outcome of a run, and what else is posted, as GitHub shows it.",
    ]
    lines += ["Made by `python -m tests.render_pages` from `tests/github/outcomes.py`.", ""]
    for name in PAGES:
        lines += [
            f"## {html.escape(name[:1].upper() + name[1:])}",
            "",
            f"![{html.escape(name)}](pages/{file_name(name)})",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("names", nargs="*", help="of pages; all unless given")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in given.names or PAGES:
        render(given.browser, name)
        print(file_name(name))
    FOLDER.with_suffix(".md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
