"""A headless Chromium, axe-core, and the page served to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from quarry_cli.page.serve import Address, bind
from tests.ui.needs import axe
from tests.ui.scene import TOKEN

PICTURES = Path("docs") / "pictures"
WAIT_S_MAX = 60.0
STARTED_S_MAX = 30.0


class Served:
    """A scene's page on loopback, in a thread of its own."""

    def __init__(self, scene, *, write: bool) -> None:
        self.scene = scene
        self._socket = bind(Address("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        app = scene.app(port=port, write=write, hosts=(f"127.0.0.1:{port}",))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self):
        self._before = os.environ.get("QUARRY_MANIFEST_QUEUE_URL")
        os.environ["QUARRY_MANIFEST_QUEUE_URL"] = "https://queue/manifests"
        self._thread.start()
        wait(lambda: self._server.started, "the page is served", STARTED_S_MAX)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(STARTED_S_MAX)
        self._socket.close()


class Browser:
    def __enter__(self):
        options = Options()
        options.binary_location = shutil.which("chromium")
        # A container's root has no sandbox to put a tab into; the page is our own.
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(WAIT_S_MAX)
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def look(self, width: int, height: int = 1_000, *, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def sign_in(self, served) -> None:
        self.driver.delete_all_cookies()
        self.driver.get(f"{served.url}/login?token={TOKEN}")
        assert "token" not in self.driver.current_url

    def open(self, served, path: str) -> None:
        self.driver.get(served.url + path)

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def findings(self) -> list[str]:
        """What axe-core finds to be serious or critical."""
        self.driver.execute_script(axe())
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then((all) => done(all.violations))"
        )
        return [
            f"{each['impact']} {each['id']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def complaints(self) -> list[str]:
        """What the browser itself had to say, of the policy above all."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def picture(self, name: str, bytes_max: int = 150_000) -> None:
        """Into the docs, where the tests are asked for pictures."""
        if os.environ.get("QUARRY_TEST_PICTURES") == "1":
            path = PICTURES / name
            self.driver.save_screenshot(str(path))
            smaller(path)
            assert path.stat().st_size < bytes_max, f"{path} has {path.stat().st_size} bytes"


def smaller(path: Path) -> None:
    """Fewer colours, where there is a program for it."""
    program = shutil.which("pngquant")
    if program is not None:
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run([program, "--force", "--strip", "--output", path, "64", path], check=True, timeout=60)


def wait(condition, what: str, most_s: float = WAIT_S_MAX):
    """Until it is so. A browser tells nobody when it has drawn, so it is asked."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {most_s:g} s: {what}")
