"""The real engine on a free port, and pymongo beside it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pymongo
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Far above what anything here needs, for busy machines.
WAIT_MAX = 40.0


def binary():
    """The engine: MILLSTREAM_BIN, or what `cargo build` has made."""
    named = os.environ.get("MILLSTREAM_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(named) if named else target / "debug" / "millstream"
    assert path.exists(), f"{path} is missing: run `cargo build -p millstream` first (scripts/test does)"
    return path


class Engine:
    """A process of the engine."""

    def __init__(self, folder, durable=False):
        self.folder = pathlib.Path(folder)
        self.durable = durable
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.start()

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=rs0"

    def start(self):
        command = [binary(), "serve", "--port", str(self.port)]
        command += ["--data", self.folder / "data"] if self.durable else ["--memory"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until("the engine answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()


def until(what, is_so):
    """Waits until it is so, and gives what made it so."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_MAX:
        got = is_so()
        if got:
            return got
        time.sleep(0.005)
    raise AssertionError(f"waited in vain: {what}")


@pytest.fixture(scope="session")
def shared_engine():
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(folder)
        yield engine
        engine.kill()


@pytest.fixture
def engine(shared_engine):
    """An engine that stays."""
    return shared_engine


@pytest.fixture
def mortal(tmp_path):
    """An engine of this test alone, which it may kill."""
    engine = Engine(tmp_path, durable=True)
    yield engine
    engine.kill()


@pytest.fixture
def db(engine, request):
    """A database of this test alone."""
    with pymongo.MongoClient(engine.uri) as client:
        yield client[request.node.name[:50]]


@pytest.fixture
def program(tmp_path):
    """Runs a program of its own: `program(code, argument, ...)`."""
    running = []

    def start(code, *arguments, module=None):
        command = [sys.executable, "-u"]
        if module is None:
            file = tmp_path / f"program{len(running)}.py"
            file.write_text(code)
            command.append(str(file))
        else:
            command += ["-m", module]
        environment = {name: value for name, value in os.environ.items() if name not in ("MONGO_URL", "CHANGE_STREAM_DB")}
        process = subprocess.Popen(
            command + [str(argument) for argument in arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            # Tests in the background of a shell ignore Ctrl-C, and what they start would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
