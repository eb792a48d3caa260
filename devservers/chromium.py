"""Chromium without a display, driven through its DevTools protocol, which tells all that a page asked for and said."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from websockets.sync.client import ClientConnection, connect

from devservers.tools import require_program
from devservers.waiting import wait_until

_FLAGS = [
    "--headless",
    "--no-sandbox",  # root cannot have one
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    # No name is looked up, so nothing can reach another machine, whatever a page or the browser asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
_START_SECONDS = 120.0
_ANSWER_SECONDS = 120.0
_WIDEST_PHONE = 480
"""Pixels: a narrower window behaves as a phone does."""

_KEY_CODES = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "End": 35}


class Tab:
    """One page: `requests` are the addresses that it asked for, `messages` what it printed or what failed in it."""

    def __init__(self, connection: ClientConnection) -> None:
        """Listen to the page at the other end."""
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._connection = connection
        self._numbers = itertools.count(1)
        self._loaded = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int = 1280, *, dark: bool = False) -> None:
        """Open an address in a window of this width, and wait until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= _WIDEST_PHONE}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[theme])
        before = self._loaded
        self._call("Page.navigate", url=address)
        while self._loaded == before:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, which waits for promises."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code = {"key": key, "windowsVirtualKeyCode": _KEY_CODES[key]}
        text = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **code)

    def html(self) -> str:
        """Return what the browser made of the page."""
        return str(self.evaluate("document.documentElement.outerHTML"))

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page, in PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=_ANSWER_SECONDS))
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Page.loadEventFired":
                self._loaded += 1
            case "Runtime.consoleAPICalled":
                self.messages += [str(each.get("value", each)) for each in parameters["args"]]
            case "Runtime.exceptionThrown":
                self.messages.append(parameters["exceptionDetails"]["text"])
            case "Log.entryAdded":
                self.messages.append(parameters["entry"]["text"])
        return message


@contextmanager
def start(folder: Path) -> Iterator[Tab]:
    """Start Chromium with a new profile in `folder`; yield a tab. Both end with the block."""
    profile = Path(mkdtemp(prefix="profile", dir=folder))
    command = [require_program("chromium"), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            port_file = profile / "DevToolsActivePort"
            wait_until(lambda: _has_lines(port_file), "Chromium answers", _START_SECONDS)
            port, path = port_file.read_text().split()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as browser:
                target = _first_page(browser)
            address = f"ws://127.0.0.1:{port}/devtools/page/{target}"
            with connect(address, max_size=None, proxy=None) as connection:
                yield Tab(connection)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _has_lines(path: Path) -> bool:
    return path.exists() and path.read_text().count("\n") == 1


def _first_page(browser: ClientConnection) -> str:
    browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
    while True:
        answer = json.loads(browser.recv(timeout=_ANSWER_SECONDS))
        if answer.get("id") == 1:
            return str(next(t["targetId"] for t in answer["result"]["targetInfos"] if t["type"] == "page"))
