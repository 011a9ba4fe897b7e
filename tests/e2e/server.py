"""Starts the app as a user would, in a process of its own, for browser tests and benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A running app."""

    url: str
    pid: int
    log: Path


@contextmanager
def serve(script: Path, log: Path, *, cwd: Path = ROOT, plain: bool = False) -> Iterator[Server]:
    """Run ``script`` with Streamlit on a free port and wait until it answers.

    Args:
        plain: through a launcher that executes the script as a plain Streamlit script, without looking for an ASGI app.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    if plain:
        command = [sys.executable, "-c", PLAIN_LAUNCHER, str(script), str(port)]
    options = {"STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    options |= {"STREAMLIT_SERVER_HEADLESS": "true", "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=os.environ | options, stdout=output, stderr=subprocess.STDOUT, text=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(url, process, log)
        yield Server(url, process.pid, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


# What a platform does that calls Streamlit's bootstrap itself.
PLAIN_LAUNCHER = """
import sys
from streamlit.web import bootstrap
options = {"server_port": int(sys.argv[2]), "server_address": "127.0.0.1", "server_headless": True}
bootstrap.load_config_options(options)
bootstrap.run(sys.argv[1], False, [], options)
"""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(url: str, process: subprocess.Popen[str], log: Path, seconds: float = 60) -> None:
    """Return when the server answers; raise RuntimeError with its log if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the app did not start:\n{log.read_text()}")
