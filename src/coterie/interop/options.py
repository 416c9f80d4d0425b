"""The options of the server."""

from __future__ import annotations

import re

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.kernel.access import is_loopback

_PORTS = 65_535


class ServingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Address and limits of the server. Times are in seconds. Raises `InvalidSetting`."""

    host: str = "127.0.0.1"
    port: int = 8800
    """0 takes a free port."""
    expose: bool = False
    """True allows connections from other machines. Without it `host` must be a loopback address."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may call from a browser, such as ``https://chat.example.org``."""
    origin_headers: tuple[str, ...] = ()
    """Further headers that those pages may send."""
    credentials: bool = False
    """Whether those pages may send cookies, such as those of a proxy that authenticates."""
    preflight_age: float = 600.0
    """Time for which a browser may remember what a page may send."""
    user_headers: tuple[str, ...] = ("x-user", "x-openwebui-user-id")
    """The headers that name the user. The first of them in a request counts. Behind a proxy that authenticates, name only
    the one that the proxy sets, and removes from what clients send."""
    person_headers: tuple[str, ...] = ("x-approver",)
    """The headers in which the holder of the shared token names the person who approves or resolves an operation, if that is
    not the user of the thread."""
    resume_wait: float = 5.0
    """Time that a run with answers to interrupts waits for the outcomes of the operations that they let go on."""
    retry_window: float = 600.0
    """Time in which the same request counts as a retry, if the answer to the first did not reach its client."""
    helper_prompts: tuple[str, ...] = ()
    """Regular expressions of the requests that your front end makes for itself, beside those of known ones: they are
    answered by the model without tools, and do not enter the conversation."""
    body_limit: int = 16_000_000
    """Bytes of a request at most. Front ends send the whole history each time, of which only the new message counts; its
    length is limited by `ConversationSettings.longest`."""
    open_threads: int = 1_000
    """Maximum open threads that were not used for a minute and have no unfinished operation."""
    heartbeat: float = 15.0
    """Silence after which a stream sends a comment, so that proxies keep the connection."""
    drain: float = 5.0
    """Time that requests have to end when the server stops, after the conversations were drained."""

    def __post_init__(self) -> None:
        check_number("ServingOptions.port", self.port, whole=True)
        if self.port > _PORTS:
            raise InvalidSetting("ServingOptions.port", self.port, f"a port, at most {_PORTS}")
        check_number("ServingOptions.body_limit", self.body_limit, least=1, whole=True)
        check_number("ServingOptions.open_threads", self.open_threads, least=1, whole=True)
        check_number("ServingOptions.heartbeat", self.heartbeat, above=0)
        check_number("ServingOptions.drain", self.drain)
        check_number("ServingOptions.preflight_age", self.preflight_age)
        check_number("ServingOptions.retry_window", self.retry_window)
        check_number("ServingOptions.resume_wait", self.resume_wait)
        for pattern in self.helper_prompts:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidSetting("ServingOptions.helper_prompts", pattern, f"a regular expression ({error})") from error
        for header in self.user_headers:
            if not header:
                raise InvalidSetting("ServingOptions.user_headers", header, "names of headers")
        if "*" in self.origins:
            raise InvalidSetting(
                "ServingOptions.origins", "*", "the origins of your own pages, such as https://chat.example.org"
            )
        if not self.expose and not is_loopback(self.host):
            need = "a loopback address such as 127.0.0.1; to allow other machines, set expose and a token of your own"
            raise InvalidSetting("ServingOptions.host", self.host, need)
