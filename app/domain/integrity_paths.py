"""Rules about which files a change touches: those that judge, govern, or run by themselves."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from app.domain.globs import matches_path
from app.domain.integrity import ChangedText, Flag

_GLOBS = {
    "ci_file": (
        ".gitlab-ci.yml", ".gitlab/ci/**", ".travis.yml", ".circleci/**", "**/jenkinsfile", "**/jenkinsfile.*",
        "azure-pipelines*.yml", ".azure-pipelines/**", ".buildkite/**", ".drone.yml", ".drone.yaml", ".drone.star",
        "appveyor.yml", ".appveyor.yml", "bitbucket-pipelines.yml", ".woodpecker.yml", ".woodpecker/**",
        ".teamcity/**", ".semaphore/**", "cloudbuild.y*ml", "buildspec.y*ml", ".cirrus.yml", ".cirrus.star",
        ".forgejo/workflows/**", ".gitea/workflows/**", "codemagic.yaml", "bitrise.yml", ".tekton/**", ".harness/**",
        "wercker.yml", ".build.yml", ".builds/**", "codefresh.yml",
    ),
    "bot_settings": (
        "**/action.yml", "**/action.yaml", ".github/dependabot.y*ml", "renovate.json*", ".renovaterc*",
        ".github/renovate.json*", ".mergify.yml", ".github/mergify.yml", ".github/settings.yml", ".kodiak.toml",
        ".bors.toml", "bors.toml", ".pr_agent.toml", ".coderabbit.y*ml",
    ),
    "agent_instructions": (
        "**/agents.md", "**/claude.md", "**/gemini.md", "**/agent.md", ".github/copilot-instructions.md",
        ".github/instructions/**", ".github/prompts/**", ".github/agents/**", ".cursor/**", ".cursorrules",
        ".claude/**", ".mcp.json", "**/.mcp.json", ".windsurf/**", ".windsurfrules", ".clinerules*", ".clinerules/**",
        ".aider*", ".codex/**", ".openhands/**", ".roo/**", ".roomodes", ".junie/**", ".continue/**", ".amazonq/**",
    ),
    "runs_at_reviewer": (
        ".vscode/**", ".idea/**", ".devcontainer/**", ".devcontainer.json", "**/.envrc", "**/.npmrc", "**/.yarnrc*",
        ".pre-commit-config.yaml", ".husky/**", ".lefthook.y*ml", "lefthook.y*ml", "**/.pnp.*", ".yarn/**",
        "**/sitecustomize.py", "**/usercustomize.py", "**/*.pth", ".gdbinit", ".lldbinit", ".tool-versions",
        ".mise.toml", "mise.toml", "**/.exrc", "**/.nvimrc", ".zed/**", "**/*.code-workspace", ".gitpod.yml",
    ),
}  # fmt: skip
_LOCKS = {
    "package-lock.json": ("package.json",),
    "npm-shrinkwrap.json": ("package.json",),
    "yarn.lock": ("package.json",),
    "pnpm-lock.yaml": ("package.json", "pnpm-workspace.yaml"),
    "bun.lock": ("package.json",),
    "poetry.lock": ("pyproject.toml",),
    "pdm.lock": ("pyproject.toml",),
    "uv.lock": ("pyproject.toml",),
    "pipfile.lock": ("pipfile",),
    "cargo.lock": ("cargo.toml",),
    "go.sum": ("go.mod",),
    "gemfile.lock": ("gemfile",),
    "composer.lock": ("composer.json",),
    "mix.lock": ("mix.exs",),
    "pubspec.lock": ("pubspec.yaml",),
    "podfile.lock": ("podfile",),
}
"""Lock files with the manifests that explain their change, in lower case."""
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepare", "prepublish", "preprepare", "postprepare")
_CMDCLASS = re.compile(r"\bcmdclass\b")


def scan_paths(files: Sequence[ChangedText]) -> Iterable[Flag]:
    """Flags about what the touched files are. Case does not matter, since some file systems ignore it."""
    touched = {file.path.casefold() for file in files}
    for file in files:
        path = file.path.casefold()
        for rule, globs in _GLOBS.items():
            if any(matches_path(glob, path) or matches_path(glob, f"{path}/") for glob in globs):
                yield Flag(rule=rule, path=file.path)
        name = path.rpartition("/")[2]
        manifests = _LOCKS.get(name, ())
        workspace = {one for one in touched if one.rpartition("/")[2] in manifests}
        if manifests and not file.deleted and not workspace:
            yield Flag(rule="lock_alone", path=file.path, detail=f"{' or '.join(manifests)} is as it was")
        yield from _install_scripts(file, name)


def _install_scripts(file: ChangedText, name: str) -> Iterable[Flag]:
    if name == "package.json":
        before, after = _scripts(file.before), _scripts(file.after)
        changed = [one for one in _INSTALL_SCRIPTS if after.get(one) and after.get(one) != before.get(one)]
        yield from (Flag(rule="install_script", path=file.path, detail=one) for one in changed)
    known = len(_CMDCLASS.findall(file.before or ""))
    if name == "setup.py" and len(_CMDCLASS.findall(file.after or "")) > known:
        yield Flag(rule="install_script", path=file.path, detail="cmdclass")


def _scripts(text: str | None) -> dict[str, Any]:
    try:
        package: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    scripts: Any = cast("dict[str, Any]", package).get("scripts") if isinstance(package, dict) else None
    return cast("dict[str, Any]", scripts) if isinstance(scripts, dict) else {}
