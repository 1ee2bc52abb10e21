"""A Firefox that is installed here, driven over its own protocol (Marionette), without a driver."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
needs_firefox = pytest.mark.skipif(
    FIREFOX is None, reason="Firefox is not installed: apt-get install firefox-esr"
)
STARTED = 60.0  # seconds within which it listens


class Firefox:
    """A window that is open."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")
        self._number = 0
        self._read()  # which says what it is
        self.ask("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {}}})

    def _read(self) -> Any:
        """A message: its length, a colon, JSON."""
        length = b""
        while (letter := self._stream.read(1)) != b":":
            assert letter, "Firefox has gone"
            length += letter
        return json.loads(self._stream.read(int(length)))

    def ask(self, command: str, given: dict[str, Any]) -> Any:
        """Send a command, and give its answer."""
        self._number += 1
        message = json.dumps([0, self._number, command, given]).encode()
        self._stream.write(b"%d:%s" % (len(message), message))
        self._stream.flush()
        _, _, error, value = self._read()
        assert error is None, error
        return value

    def open(self, url: str) -> None:
        """Go to an address."""
        self.ask("WebDriver:Navigate", {"url": url})

    def tell(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.ask("WebDriver:ExecuteScript", {"script": f"return {expression}", "args": []})[
            "value"
        ]

    def until(self, holds: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + 60
        while not self.tell(holds):
            said = self.tell("document.body.innerText")
            assert time.monotonic() < end, f"{holds}; the page says: {said[:300]}"
            time.sleep(0.05)

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.ask("WebDriver:TakeScreenshot", {"full": False})["value"])


@contextmanager
def firefox(width: int = 1000, height: int = 700) -> Iterator[Firefox]:
    """A Firefox of its own, with an empty profile, until the block ends."""
    assert FIREFOX
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    with TemporaryDirectory() as profile:
        settings = {"marionette.port": port, "app.update.enabled": False, "network.proxy.type": 0}
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(v)});" for key, v in settings.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile]
        command += ["--width", str(width), "--height", str(height)]
        with subprocess.Popen(
            command,
            env={**environment, "HOME": profile, "MOZ_HEADLESS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                with _connected(port, process) as connection:
                    yield Firefox(connection)
            finally:
                process.terminate()
                process.wait(timeout=30)


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + STARTED
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=90)
        except OSError:
            assert process.poll() is None, "Firefox did not start"
            assert time.monotonic() < end, "Firefox does not listen"
            time.sleep(0.1)
