"""Telling people of new questions: a program or a URL, once per question, after the commit and off every call's path.

A notice that fails is logged without its content and not tried again: the question stands in
`list_approvals` all the same.
"""

from __future__ import annotations

import logging
import queue
import shlex
import shutil
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from guardhouse.errors import SettingsFault

_log = logging.getLogger("guardhouse.notify")
for _client in ("httpx", "httpcore"):
    # They log each request with its whole URL, and whoever knows a webhook's URL may post to it.
    logging.getLogger(_client).setLevel(logging.WARNING)
_WAITING = 1_000
_REMEMBERED = 10_000
_SECONDS = 10.0


class Notifier:
    """Takes notices at once (`tell`) and delivers them on its own thread. With nothing set up, it does nothing."""

    def __init__(self, command: str = "", url: str = "", timeout_seconds: float = _SECONDS) -> None:
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise SettingsFault(f"`GUARDHOUSE_NOTIFY_COMMAND` cannot be read: {error}") from error
        if self._command and shutil.which(self._command[0]) is None:
            raise SettingsFault(
                f"GUARDHOUSE_NOTIFY_COMMAND: there is no program `{self._command[0]}` that can be run; give its whole path"
            )
        if url and not url.startswith(("http://", "https://")):
            raise SettingsFault("`GUARDHOUSE_NOTIFY_URL` must begin with `https://` or `http://`")
        self._url = url
        self._timeout = timeout_seconds
        self._queue: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(_WAITING)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._thread: threading.Thread | None = None
        if self._command or url:
            self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
            self._thread.start()

    def tell(self, kind: str, notice: Mapping[str, Any]) -> None:
        """Queue a notice and return at once. A full queue drops it, and says so in the log."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait((kind, notice))
        except queue.Full:
            _log.error("too many notices wait; one of kind %s is dropped", kind)

    def close(self) -> None:
        """Deliver what is queued, as long as one delivery may take, and end."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            _log.error("too many notices wait; they are left undelivered")
            return
        self._thread.join(2 * self._timeout + 1)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            kind, notice = item
            named = str(notice.get("approval_id", ""))
            if named and self._seen(f"{kind} {named}"):
                continue
            body = orjson.dumps({"kind": kind} | dict(notice), default=str)
            if self._command:
                self._run(kind, body)
            if self._url:
                self._post(kind, body)

    def _seen(self, name: str) -> bool:
        if name in self._told:
            return True
        self._told[name] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return False

    def _run(self, kind: str, body: bytes) -> None:
        try:
            # The operator's own program, started without a shell; nothing of a call stands in its arguments.
            done = subprocess.run(  # noqa: S603  # the command is a setting
                self._command,
                input=body,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.error("the notify command failed for a notice of kind %s: %s", kind, type(error).__name__)
            return
        if done.returncode:
            _log.error("the notify command ended with status %d for a notice of kind %s", done.returncode, kind)

    def _post(self, kind: str, body: bytes) -> None:
        try:
            answer = httpx.post(
                self._url,
                content=body,
                headers={"content-type": "application/json"},
                timeout=self._timeout,
                follow_redirects=False,
            )
        except httpx.HTTPError as error:
            _log.error("the notify URL failed for a notice of kind %s: %s", kind, type(error).__name__)
            return
        if answer.status_code >= 300:
            _log.error("the notify URL answered %d for a notice of kind %s", answer.status_code, kind)
