"""JupyterLab in a browser, for tests: a quiet server on this machine, and a notebook in a real Chromium."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    # Cells out of sight stay in the page, where a test can look at them.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _environment(home: Path) -> dict[str, str]:
    """Environment of this process with every folder that Jupyter writes to inside `home`."""
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
    }
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS))
    environment = {k: v for k, v in os.environ.items() if k != "LEFS_HEADLESS"}
    return environment | {name: str(folder) for name, folder in folders.items()}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def serve(folder: Path, home: Path) -> Iterator[str]:
    """Run JupyterLab on `folder`; yields an address with a ``{path}`` to fill in.

    Parameters
    ----------
    folder
        The server's root; it sees nothing above.
    home
        Empty folder for settings, logs and kernels' files.
    """
    environment, port, token = _environment(home), _free_port(), secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.terminals_enabled": False,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,
        "LabApp.extension_manager": "readonly",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *flags]
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, log)
        yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?reset&token={token}"
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and the kernels that it started; they are a process group of their own."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5)
            return


@contextlib.contextmanager
def browse(executable: str) -> Iterator[Browser]:
    """Run a headless browser that talks to nobody of its own accord."""
    flags = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
    quiet = ("disable-background-networking", "disable-component-update")
    arguments = [f"--{flag}" for flag in flags + quiet]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


_IDLE = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel?.status === "idle";
}"""
_OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter(cell => cell.type === "code").flatMap(cell => cell.toJSON().outputs)"""


@dataclass
class Notebook:
    """A notebook that is open in a page, its kernel running."""

    page: Page

    @classmethod
    def open(cls, page: Page, address: str, path: str) -> Notebook:
        """Open `path` in an empty workspace and wait for its kernel."""
        page.goto(address.format(path=path))
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook .jp-Cell")
        notebook = cls(page)
        notebook.settle()
        return notebook

    def settle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(_IDLE)

    def start_all(self) -> None:
        """Begin to run every cell."""
        self.page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def run_all(self) -> None:
        """Run every cell and wait for the last."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.settle()

    def running(self) -> bool:
        """Whether a cell has not come to its end."""
        return self.page.locator(".jp-InputPrompt", has_text="[*]").count() > 0

    def save(self) -> None:
        """Save the notebook as it is."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def outputs(self) -> list[dict[str, Any]]:
        """Every output of every code cell, as in a saved notebook."""
        found: list[dict[str, Any]] = self.page.evaluate(_OUTPUTS)
        return found

    def errors(self) -> list[str]:
        """What cells raised and what went to standard error."""
        outputs = self.outputs()
        raised = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        return raised + ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]

    def panel(self) -> Locator:
        """The first lefs panel, scrolled into sight."""
        panel = self.page.locator(".lefs-panel").first
        panel.wait_for()
        panel.scroll_into_view_if_needed()
        return panel

    def close(self) -> None:
        """End the notebook's kernel."""
        self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")


def picture(canvas: Locator) -> np.ndarray:
    """What a canvas shows, as an array of shape (H, W, 3), int16 in [0, 255]."""
    address: str = canvas.evaluate("canvas => canvas.toDataURL()")
    content = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.int16)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Mean absolute difference of two pictures; browsers paint the same picture within a tenth or so."""
    return float(np.abs(before - after).mean()) if before.shape == after.shape else 255.0


def wait_for_change(canvas: Locator, before: np.ndarray, *, least: float = 0.5, seconds: float = 30) -> float:
    """Wait until a canvas shows another picture; returns by how much they differ."""
    deadline = time.monotonic() + seconds
    while (difference := change(before, picture(canvas))) < least:
        assert time.monotonic() < deadline, f"the picture stays as it was (difference {difference:.3f})"
        canvas.page.wait_for_timeout(100)
    return difference
