"""A trial: the real service, in a process of its own, against the embedded GitHub over a local repository."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from app.agents.model_access import KEY_VARIABLES, ModelAccess
from app.hub import Hub
from app.replay.model_server import ModelServer
from app.replay.recording import load_recordings
from app.trial_report import Progress, conversation, what_next
from app.workspace.ci_sandbox import confined
from app.workspace.sandbox import sandbox_available

PERSON = "maintainer"
REPOSITORY = "local/{name}"
DEADLINE_SECONDS = 3 * 3600
START_SECONDS = 60
APP_REFS = ("refs/heads/autonomous/", "refs/autopack/")
"""What the App may write to. The embedded GitHub refuses everything else."""

console = Console(highlight=False, soft_wrap=True)


class TrialFailed(RuntimeError):
    """The trial could not be carried through; the text says why."""


def copy_sample(sample: Path, work: Path) -> Path:
    """Make a fresh git repository from the sample's files and return its path."""
    shutil.rmtree(work, ignore_errors=True)
    target = work / "repository"
    shutil.copytree(sample, target)
    who = ("-c", "user.name=Sample", "-c", "user.email=sample@localhost")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "The sample")):
        subprocess.run(["git", *arguments], cwd=target, check=True, env=_git_environment())
    return target


@dataclass(frozen=True)
class Trial:
    """What to try: `issue` is a Markdown file; with `recording` and no model key, recorded answers are played."""

    repository: Path
    issue: Path
    work: Path
    model: str | None = None
    recording: Path | None = None
    unconfined: bool = False
    """Run CI also where there is no sandbox for it."""

    def run(self) -> int:
        """Carry the trial through; 0 when the run ended as DONE_SUCCESS."""
        recorded = not ModelAccess().any_key
        if recorded and self.recording is None:
            console.print(f"No model key: set one of {', '.join(KEY_VARIABLES)}.")
            return 2
        if recorded:
            console.print("RECORDED ANSWERS: no model key is set, so no model is asked; recorded answers are played.")
        self._make_anew()
        try:
            with ExitStack() as stack:
                return self._play(stack, recorded)
        except TrialFailed as error:
            console.print(f"[red]{escape(str(error))}[/]")
            return 1

    def may_confine(self, recorded: bool) -> bool:
        """Whether jobs run in the sandbox. Without one, only recorded answers are tried, or who asks for it."""
        refused = sandbox_available()
        if refused is None:
            return True
        if not recorded and not self.unconfined:
            raise TrialFailed(
                f"CI would run what models write without a sandbox: {refused}. Correct that, or add --without-sandbox:"
                " then this code can read your files and keys."
            )
        console.print(f"[yellow]CI runs without a sandbox: {escape(refused)}[/]")
        return False

    def _make_anew(self) -> None:
        """Delete what an earlier trial left in its folder, and nothing else."""
        for name in ("github", ".autopack", ".autonomous_runs"):
            shutil.rmtree(self.work / name, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)

    def _play(self, stack: ExitStack, recorded: bool) -> int:
        name = REPOSITORY.format(name=self.repository.resolve().name)
        branch = _git(self.repository, "symbolic-ref", "--short", "HEAD")
        hub = Hub(self.work / "github", app_refs=APP_REFS, confine=confined if self.may_confine(recorded) else None)
        hub.start()
        stack.callback(hub.stop)
        hub.add_user(PERSON)
        hub.import_repository(name, self.repository, default_branch=branch, owner_role={PERSON: "admin"})
        environment = _service_environment(hub, self.work, self._models(stack, name) if recorded else dict(os.environ))
        url = stack.enter_context(_service(environment, self.work / "service.log"))
        hub.set_webhook_url(f"{url}/webhooks/github")
        hub.install_app(name)
        number = self._open_issue(hub, name)
        console.print(f"Issue #{number} is labeled; {PERSON} now only watches.\n")
        progress = Progress(console, f"sqlite:///{self.work.absolute() / '.autopack' / 'autopack.db'}", name, number)
        run = progress.follow(DEADLINE_SECONDS)
        hub.webhooks.wait_drained()
        _git(
            self.repository,
            "fetch",
            "-q",
            hub.git(name, "rev-parse", "--absolute-git-dir").strip(),
            f"+{run.branch}:{run.branch}",
            "+refs/autopack/*:refs/autopack/*",
        )
        with hub.as_user(PERSON) as github:
            console.print(conversation(github, name, number, run.pull_number))
        what_next(console, self.repository, run)
        return 0 if run.state == "DONE_SUCCESS" else 1

    def _models(self, stack: ExitStack, name: str) -> dict[str, str]:
        """An environment in which both vendors' addresses are the server that plays the recording."""
        assert self.recording is not None
        recordings = load_recordings(self.recording)
        server = ModelServer({name: next(iter(recordings.values()))})
        server.start()
        stack.callback(server.stop)
        return {
            **os.environ,
            "ANTHROPIC_API_KEY": "recorded",
            "ANTHROPIC_BASE_URL": server.anthropic_base_url,
            "OPENAI_API_KEY": "recorded",
            "OPENAI_BASE_URL": server.openai_base_url,
        }

    def _open_issue(self, hub: Hub, name: str) -> int:
        title, _, body = self.issue.read_text(encoding="utf-8").strip().partition("\n")
        with hub.as_user(PERSON) as github:
            answer = github.post(
                f"/repos/{name}/issues", json={"title": title.lstrip("# ").strip(), "body": body.strip()}
            )
            number = int(answer.raise_for_status().json()["number"])
            if self.model is None:
                path, body_json = f"/repos/{name}/issues/{number}/labels", {"labels": ["autopack"]}
                github.post(path, json=body_json).raise_for_status()
            else:
                comment = {"body": f"/autopack run --model {self.model}"}
                github.post(f"/repos/{name}/issues/{number}/comments", json=comment).raise_for_status()
        return number


def _service_environment(hub: Hub, work: Path, models: dict[str, str]) -> dict[str, str]:
    return {
        **models,
        "AUTONOMOUS_RUNS_DIR": str(work.absolute() / ".autonomous_runs"),
        "DATABASE_URL": "",
        "GITHUB_APP_ID": str(hub.app_id),
        "GITHUB_PRIVATE_KEY": hub.private_key_pem,
        "GITHUB_WEBHOOK_SECRET": hub.webhook_secret,
        "GITHUB_API_URL": hub.url,
        "GITHUB_SERVER_URL": hub.url,
        "HOST": "127.0.0.1",
        "PORT": "0",
    }


@contextmanager
def _service(environment: dict[str, str], log: Path) -> Generator[str]:
    """Run `autopack serve` on a free port and yield its address; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the service answers; its log names the port it took."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if "Uvicorn running on " in line:
                url = line.split("Uvicorn running on ")[1].split()[0]
                if httpx.get(f"{url}/health", timeout=10).is_success:
                    return url
        time.sleep(0.05)
    raise TrialFailed(f"the service did not start; see {log}")


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrialFailed(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _git_environment() -> dict[str, str]:
    return {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
