"""Real servers for the tests: a Redis and a PostgreSQL on free loopback ports, in temporary folders.

A test that takes the fixture `redis_server` or `postgres_server` gets a running one, which it may stop, kill and
start again; `redis_url` and `postgres_url` are the addresses of an empty database on it. One server of each kind runs
for the whole session, and only if a test wants it.

What is missing is installed with apt before the first test, where that is possible and ``COTERIE_NO_INSTALL`` does not
forbid it. Otherwise its tests are skipped, in one visible line; under ``CI=true`` they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

START_WITHIN = 30.0
"""Seconds that a server may take to answer."""

MISSING = "is not installed, and was not to be had"


class Missing(Exception):
    """A server cannot be had on this machine."""


class Server(ABC):
    """A server process that a test may stop and start again. It keeps its port and its data."""

    package: str
    """What apt calls it."""
    program: str
    stopping = signal.SIGTERM
    """The signal that asks it to end in order, without waiting for its clients."""
    crashing = signal.SIGKILL
    """The signal that ends it on the spot, as a crash would."""

    def __init__(self) -> None:
        if self.find() is None:
            raise Missing(f"{self.program} {MISSING} (Debian: {self.package})")
        self.folder = Path(tempfile.mkdtemp(prefix=f"coterie-{self.program}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls, program: str = "") -> Path | None:
        """Return where the program is, or None."""
        found = shutil.which(program or cls.program)
        return Path(found) if found is not None else None

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address."""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes connections."""

    def start(self) -> None:
        """Start it, unless it runs, and return when it answers."""
        if self.running:
            return
        with (self.folder / "log").open("ab") as log:
            # The program is our own choice, and so are its arguments.
            self.process = subprocess.Popen(  # noqa: S603
                self.command(), stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self.account()
            )
        wait_until(lambda: not self.running or self.answers(), self.log)
        if not self.running:
            raise Missing(f"{self.program} does not start:\n{self.log()}")

    def stop(self) -> None:
        """End it in order; its clients lose their connections. Returns when it is gone."""
        self._end(self.stopping)

    def kill(self) -> None:
        """End it on the spot, as a crash would. Returns when it is gone."""
        self._end(self.crashing)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it, and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Return the last lines that it wrote."""
        path = self.folder / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-20:]) if path.exists() else ""

    def account(self) -> dict[str, Any]:
        """Return under whose account it runs, as `subprocess` wants it: our own, unless said otherwise."""
        return {}

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        process.wait(START_WITHIN)


class Redis(Server):
    """Redis, which writes each change to its file before it answers, so that it may be killed."""

    package = "redis-server"
    program = "redis-server"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), "appendonly": "yes", "save": ""}
        # With the default, `everysec`, a write waits up to two seconds while a synchronisation is under way.
        settings["appendfsync"] = "always"
        program = self.find()
        assert program is not None
        return [str(program), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def answers(self) -> bool:
        return self.ask(b"PING") == b"+PONG\r\n"

    def clear(self) -> None:
        """Delete all that it holds."""
        assert self.ask(b"FLUSHALL") == b"+OK\r\n"

    def ask(self, command: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
                connection.sendall(command + b"\r\n")
                return connection.recv(100)
        except OSError:
            return b""


class Postgres(Server):
    """PostgreSQL, with one user that has a password."""

    package = "postgresql"
    program = "postgres"
    # Its "fast" and its "immediate" shutdown; after SIGKILL its children would live on and keep the data locked.
    stopping = signal.SIGINT
    crashing = signal.SIGQUIT
    user = "tester"
    password = "s3cret/p@ss"  # noqa: S105 - with what has to be quoted in an address; it guards an empty database

    def __init__(self) -> None:
        super().__init__()
        self.databases = 0
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            # It refuses to run as root, and its package brings an account for it.
            shutil.chown(self.folder, self.program, self.program)
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        initdb = self.find("initdb")
        assert initdb is not None
        command = [str(initdb), "-D", str(self.folder / "data"), "-U", self.user, "--auth=scram-sha-256"]
        command += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        # As above.
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self.account())  # noqa: S603
        if done.returncode != 0:
            raise Missing(f"initdb failed: {done.stderr}")

    @classmethod
    def find(cls, program: str = "") -> Path | None:
        name = program or cls.program
        # Debian keeps most of its programs out of the path, in a folder for each version.
        debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
        return debian[-1] if debian else super().find(name)

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:s3cret%2Fp%40ss@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        program = self.find()
        assert program is not None
        network = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        return [str(program), "-D", str(self.folder / "data"), *network, "-c", "max_connections=60"]

    def account(self) -> dict[str, Any]:
        return {"user": self.program, "group": self.program, "extra_groups": []} if os.geteuid() == 0 else {}

    def answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - an extra; whoever asks for this server has it

        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def fresh(self) -> str:
        """Make an empty database, and return its address."""
        import psycopg  # noqa: PLC0415 - as above

        self.databases += 1
        name = f"fresh_{self.databases}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop(self, url: str) -> None:
        """Drop a database that `fresh` made, whoever is connected to it."""
        import psycopg  # noqa: PLC0415 - as above

        name = urlsplit(url).path.lstrip("/")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Chromium:
    """A browser without a window, which a driver steers."""

    package, program = "chromium-driver", "chromedriver"

    @classmethod
    def find(cls) -> Path | None:
        """Return where the driver is, if the browser is there too."""
        found = shutil.which(cls.program) if shutil.which("chromium") else None
        return Path(found) if found is not None else None


KINDS: dict[str, type[Server | Chromium]] = {"redis_server": Redis, "postgres_server": Postgres, "chromium": Chromium}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    end = time.monotonic() + START_WITHIN  # noqa: TID251 - other processes keep no time but the machine's
    while not condition():
        assert time.monotonic() < end, explain()  # noqa: TID251 - as above
        time.sleep(0.02)


def install(kind: type[Server | Chromium], say: Callable[[str], object]) -> None:
    """Install a server with apt, if it is missing and that is possible; say so first."""
    if kind.find() is not None or os.environ.get("COTERIE_NO_INSTALL") or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    say(f"installing {kind.package} with apt for the tests (COTERIE_NO_INSTALL=1 forbids it)")
    # Under this run level, packages do not start their services.
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", kind.package]):
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603 - as above
        if done.returncode != 0:
            say(f"{' '.join(command)} failed: {done.stderr.strip()}")
            return


def serve(kind: type[Server]) -> Iterator[Server]:
    """Start a server for the session; skip, or under ``CI=true`` fail, where it cannot be had."""
    try:
        server = kind()
        server.start()
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    yield server
    server.remove()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the collected tests want, before any of them has its time limit."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if session.config.option.collectonly:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for name, kind in KINDS.items():
        if name in wanted:
            install(kind, reporter.write_line if reporter is not None else print)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have all that is skipped for want of one server be told in one line, instead of one a test."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]:
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Server]:
    """The Redis of the session, as the last test left it."""
    yield from serve(Redis)


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[Server]:
    """The PostgreSQL of the session, as the last test left it."""
    yield from serve(Postgres)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser that runs, for the whole session."""
    if Chromium.find() is None:
        missing = f"chromium {MISSING} (Debian: {Chromium.package})"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    from docs.tools.console_pictures import browser  # noqa: PLC0415 - it needs the extra `console`

    with browser() as driver:
        driver.set_page_load_timeout(30)
        yield driver


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A Redis that runs, and holds nothing."""
    redis_process.start()
    redis_process.clear()
    return redis_process


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The address of a Redis that holds nothing."""
    return redis_server.url


@pytest.fixture
def postgres_server(postgres_process: Postgres) -> Postgres:
    """A PostgreSQL that runs."""
    postgres_process.start()
    return postgres_process


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The address of an empty database on a PostgreSQL that runs. It is dropped afterwards."""
    url = postgres_server.fresh()
    yield url
    postgres_server.start()
    postgres_server.drop(url)
