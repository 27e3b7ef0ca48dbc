"""The review page in a browser as a person at the keyboard meets it: keys, and what can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REVIEWER = "A. Reviewer"


class ReviewPage:
    """A page, and every request and message it caused."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.requests: list[str] = []
        self.messages: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(str(error)))

    @classmethod
    @contextmanager
    def opened(cls, browser: Any, file: Path, width: int = 1280, height: int = 720) -> Iterator[ReviewPage]:
        """The page opened from its file in a fresh profile."""
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        try:
            opened = cls(context.new_page(), file.as_uri())
            opened.page.goto(opened.address)
            yield opened
        finally:
            context.close()

    def give_name(self, name: str = REVIEWER) -> None:
        self.page.keyboard.type(name)
        self.press("Enter")
        self._wait_until_windows_are_closed()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            if key == "Escape":
                self._wait_until_windows_are_closed()

    def _wait_until_windows_are_closed(self) -> None:
        """The browser closes a window a moment after its key; keys in between would be lost, as a person's never are."""
        self.page.wait_for_selector("dialog[open]", state="detached")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def message(self) -> str:
        return self.text("#message")

    def is_enabled(self, selector: str) -> bool:
        return self.page.get_attribute(selector, "aria-disabled") == "false"

    def accept_all_hold(self) -> None:
        self.press("1", "2", "3", "a")

    def reject(self, reason: str = "Its trend turns in 2018") -> None:
        """Trend does not hold, the others do; the reason is typed after r."""
        self.press("1", "1", "2", "3", "r")
        self.page.keyboard.type(reason)
        self.press("Enter")

    def download(self) -> str:
        """The exported file's text, by keyboard alone."""
        self.press("e")
        with self.page.expect_download() as started:
            self.press("Enter")
        path = started.value.path()
        self.press("Escape")
        return Path(path).read_bytes().decode("utf-8")

    def must_have_kept_quiet(self) -> None:
        """No request but for the file itself, and nothing said on the console."""
        foreign = [
            url for url in self.requests if url != self.address and not url.startswith(("data:", "blob:"))
        ]
        assert foreign == []
        assert self.messages == []
