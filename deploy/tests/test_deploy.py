"""What the files in `deploy/` say is what the program understands: every command line in them is run."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[1]
ROOT = DEPLOY.parent

# Far above what anything here needs, for busy machines.
WAIT_MAX = 40.0

# The exit codes of the program (docs/cli.md).
DONE, UNREACHABLE = 0, 3


def binary():
    """The program: MILLSTREAM_BIN, or what `cargo build` has made."""
    named = os.environ.get("MILLSTREAM_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(named) if named else target / "debug" / "millstream"
    assert path.exists(), f"{path} is missing: run `cargo build -p millstream` first (scripts/test does)"
    return str(path)


def run(words, **environment):
    """Runs the program with these words, and only these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MILLSTREAM_", "MONGO_URL", "CHANGE_STREAM_DB"))}
    return subprocess.run(
        [binary(), *words], capture_output=True, text=True, timeout=WAIT_MAX, env={**clean, **environment}
    )


def dockerfile():
    """The instructions of the image's last stage, by name."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    stage = re.split(r"^FROM ", text, flags=re.M)[-1]
    found = {}
    for line in stage.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.isupper():
            found.setdefault(name, []).append(rest.strip())
    return found


def image_environment():
    return dict(word.split("=", 1) for word in shlex.split(dockerfile()["ENV"][0]))


def units():
    """`(unit, words)` of every command in the systemd units, as systemd would make them."""
    for unit in sorted(DEPLOY.glob("systemd/*.service")):
        for line in unit.read_text().splitlines():
            if line.startswith(("ExecStart=", "ExecStartPre=")):
                words = shlex.split(line.split("=", 1)[1])
                assert words[0] == "/usr/bin/millstream"
                places = {
                    "${STATE_DIRECTORY}": "/nowhere/data",
                    "/etc/millstream/millstream.toml": str(DEPLOY / "systemd/millstream.toml"),
                    "/etc/millstream/watch-%i.toml": str(DEPLOY / "systemd/watch-example.toml"),
                }
                yield unit.name, [places.get(word, word) for word in words[1:]]


def documents(name):
    return [document for document in yaml.safe_load_all((DEPLOY / name).read_text()) if document]


def containers():
    """`(where, words)` of every container of our image."""
    for name in ("compose.yaml", "compose.mongodb.yaml"):
        (file,) = documents(name)
        for service, what in file["services"].items():
            if what["image"] == "millstream":
                yield f"{name} {service}", what["command"]
    for document in documents("kubernetes.yaml"):
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            yield f"kubernetes.yaml {container['name']}", container["args"]


def checks():
    """`(where, words)` of what asks an engine whether it is well."""
    (check,) = dockerfile()["HEALTHCHECK"]
    yield "Dockerfile", json.loads(check[check.index("[") :])
    for document in documents("kubernetes.yaml"):
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "exec" in container.get(probe, {}):
                    yield f"kubernetes.yaml {probe}", container[probe]["exec"]["command"]


COMMANDS = [*units(), *containers(), ("Dockerfile", json.loads(dockerfile()["CMD"][0]))]


@pytest.mark.parametrize("where, words", COMMANDS, ids=[f"{where} {words[0]}" for where, words in COMMANDS])
def test_every_command_line_is_understood(where, words):
    if words[0] == "serve" or "--config" in words:
        ended = run([*words, "--print-config"] if "--print-config" not in words else words, **image_environment())
        assert ended.returncode == DONE, ended.stderr
    else:
        # With flags that it does not know it would not get so far as to look for a server.
        assert words[0] == "watch"
        words = [re.sub(r"^(127\.0\.0\.1|0\.0\.0\.0):8080$", "127.0.0.1:0", word) for word in words]
        ended = run(words, MONGO_URL="mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=100")
        assert ended.returncode == UNREACHABLE, ended.stderr


def test_the_settings_of_the_image_are_settings():
    ended = run(["serve", "--print-config"], **image_environment())
    assert ended.returncode == DONE, ended.stderr
    for name, value in image_environment().items():
        assert re.search(rf"{re.escape(value)}.*{name}", ended.stdout), f"{name} has no effect:\n{ended.stdout}"


def test_the_engine_of_the_image_runs_is_well_and_ends(tmp_path):
    """Its command, its settings and its health check, in another folder and on another port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # A volume that is a file system of its own is not quite empty.
    (volume,) = dockerfile()["VOLUME"]
    (tmp_path / "volume/lost+found").mkdir(parents=True)
    environment = image_environment()
    data = environment["MILLSTREAM_DATA"].replace(volume, str(tmp_path / "volume"))
    environment.update(MILLSTREAM_DATA=data, MILLSTREAM_PORT=str(port))
    with open(tmp_path / "log", "wb") as log:
        engine = subprocess.Popen(
            [binary(), *json.loads(dockerfile()["CMD"][0])], stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        for where, words in checks():
            words = [word.replace(":27017", f":{port}") for word in words[1:]]
            began = time.monotonic()
            while (ended := run(words)).returncode != DONE:
                assert time.monotonic() - began < WAIT_MAX and engine.poll() is None, f"{where}: {ended.stderr}"
        (stop,) = dockerfile()["STOPSIGNAL"]
        engine.send_signal(signal.Signals[stop])
        assert engine.wait(WAIT_MAX) == DONE
        assert run(words).returncode == UNREACHABLE
    finally:
        engine.kill()
        engine.wait()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_about_the_units(tmp_path):
    here = []
    for unit in DEPLOY.glob("systemd/*.service"):
        # It looks whether the programs are there.
        copy = tmp_path / unit.name.replace("@", "@example")
        copy.write_text(unit.read_text().replace("/usr/bin/millstream", binary()))
        here.append(copy)
    assert len(here) == 2
    said = subprocess.run(["systemd-analyze", "verify", *here], capture_output=True, text=True)
    ours = [line for line in said.stderr.splitlines() if str(tmp_path) in line or "millstream" in line]
    assert (said.returncode, ours) == (0, []), said.stderr
    for unit in here:
        # 0 is best; what it calls OK ends at 5.
        said = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit], capture_output=True, text=True
        )
        assert said.returncode == 0, said.stdout + said.stderr


def test_nothing_secret_is_in_the_files():
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts:
            text = file.read_text()
            assert not re.search(r"mongodb(\+srv)?://[^/\s@]+:[^/\s@]+@", text), f"{file}: a URI with a password"
            assert "kind: Secret" not in text, file


def test_the_manifest_hangs_together():
    found = {}
    for document in documents("kubernetes.yaml"):
        found.setdefault(document["kind"], []).append(document)
        assert document["metadata"]["namespace"] == "millstream"
    assert set(found) >= {"Service", "StatefulSet", "NetworkPolicy", "Deployment", "PodDisruptionBudget"}
    labels = [what["spec"]["template"]["metadata"]["labels"] for what in found["StatefulSet"] + found["Deployment"]]

    def chosen(selector):
        return [one for one in labels if selector.items() <= one.items()]

    for what in found["StatefulSet"] + found["Deployment"]:
        selector = what["spec"]["selector"]["matchLabels"]
        assert chosen(selector) == [what["spec"]["template"]["metadata"]["labels"]]
        for container in what["spec"]["template"]["spec"]["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for way in ("tcpSocket", "httpGet"):
                    if way in container.get(probe, {}):
                        assert container[probe][way]["port"] in ports
    assert len(chosen(found["Service"][0]["spec"]["selector"])) == 1
    assert len(chosen(found["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"])) == 1
    (client,) = found["NetworkPolicy"][0]["spec"]["ingress"][0]["from"]
    assert chosen(client["podSelector"]["matchLabels"]) == [found["Deployment"][0]["spec"]["template"]["metadata"]["labels"]]
    for budget in found["PodDisruptionBudget"]:
        assert chosen(budget["spec"]["selector"]["matchLabels"])


def test_the_image_runs_as_nobody_in_particular():
    (user,) = dockerfile()["USER"]
    (volume,) = dockerfile()["VOLUME"]
    assert user.split(":")[0] != "0" and image_environment()["MILLSTREAM_DATA"].startswith(volume + "/")
    for document in documents("kubernetes.yaml"):
        template = document.get("spec", {}).get("template")
        if template:
            context = template["spec"]["securityContext"]
            assert context["runAsNonRoot"] and f"{context['runAsUser']}:{context['runAsGroup']}" == user
