"""`eqssl.load_encoder("hub:OWNER/NAME")`, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import small_encoders

from eqssl.encoders import save_encoder
from eqssl.encoders.release.fold import release
from eqssl.encoders.release.saving import HUB
from eqssl.machine.files import sha256

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Files of owner/name, at main and at its only commit."""

    folder: Path
    asked: list[str]
    created: dict

    def answer(self, with_content):
        type(self).asked.append(self.path)
        parts = self.path.strip("/").split("/")
        found = parts[:3] == ["owner", "name", "resolve"] and parts[3] in ("main", COMMIT)
        path = self.folder / parts[-1]
        if not found or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound" if parts[1:2] != ["name"] else "RevisionNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{sha256(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def do_POST(self):
        """Take new files as the hub does: what is asked before an upload, and the commit."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked.append(self.path)
        if self.headers["Authorization"] != "Bearer hf_right":
            return self.tell({"error": "Invalid token"}, 401)
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(sent)["files"]]
            return self.tell(
                {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
            )
        if self.path.endswith("/commit/main"):
            for line in map(json.loads, sent.decode().splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    (self.folder / line["value"]["path"]).write_bytes(content)
            return self.tell({"commitUrl": f"{self.home}/commit/{COMMIT}", "commitOid": COMMIT})
        if self.path == "/api/repos/create":
            type(self).created = json.loads(sent)
        return self.tell({"url": self.home, "errors": [], "warnings": []})

    @property
    def home(self):
        return f"http://{self.headers['Host']}/owner/name"

    def tell(self, answer, code=200):
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path):
    network = small_encoders.trained_statistics(small_encoders.new("C4", 1, 12))
    save_encoder(release(network), tmp_path / "files", {}, names=HUB)
    (tmp_path / "files/harm.py").write_text("raise SystemExit('was run')")
    handler = type("Files", (Hub,), {"folder": tmp_path / "files", "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache"
    server.shutdown()
    server.server_close()


def loaded(name, address, cache):
    """What a process says that loads an encoder; the address is read when the library is imported."""
    program = (
        "import sys, eqssl\ntry:\n    e = eqssl.load_encoder(sys.argv[1])\n"
        "    print('loaded', e.shape.group, e.is_released)\n"
        "except (ValueError, OSError) as error:\n    print(type(error).__name__, error)\n"
    )
    return run(["-c", program, name], address, cache).stdout.strip()


def run(words, address, cache, **variables):
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


def test_an_encoder_is_fetched_once_and_only_its_two_files(hub):
    handler, address, cache = hub
    assert loaded("hub:owner/name", address, cache) == "loaded C4 True"
    asked = {path.rsplit("/", 1)[-1] for path in handler.asked if path.startswith("/owner/")}
    assert asked == {"config.json", "model.safetensors"}
    assert loaded(f"hub:owner/name@{COMMIT}", "http://127.0.0.1:9", cache) == "loaded C4 True"


def test_what_is_not_there_or_damaged_is_named(hub):
    handler, address, cache = hub
    assert "hub:owner/other: " in loaded("hub:owner/other", address, cache)
    assert "hub:owner/name@nowhere: " in loaded("hub:owner/name@nowhere", address, cache)
    assert loaded("hub:a/b/c", address, cache).startswith("ValueError hub:a/b/c: ")
    weights = handler.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert "model.safetensors: SHA-256 is " in loaded("hub:owner/name", address, cache)


def released_to(name, address, place, token):
    words = ["-m", "eqssl", "release", "eqssl:C4", "--out", str(place / "c4"), "--no-onnx", "--upload", name]
    return run(words, address, place / "cache", HF_TOKEN=token)


def test_a_release_is_uploaded_in_one_commit_and_is_what_is_fetched(hub, tmp_path):
    handler, address, cache = hub
    ended = released_to("owner/name", address, tmp_path, "hf_right")
    assert ended.returncode == 0, ended.stderr
    assert f"{address}/owner/name/commit/{COMMIT}: all files of " in ended.stdout
    for file in (tmp_path / "c4").iterdir():
        assert (handler.folder / file.name).read_bytes() == file.read_bytes()
    assert sum(path.endswith("/commit/main") for path in handler.asked) == 1
    assert handler.created["visibility"] == "private"
    assert loaded("hub:owner/name", address, cache) == "loaded C4 True"


@pytest.mark.parametrize(
    ("name", "token", "told"),
    [
        ("owner", "hf_right", "--upload: given 'owner', allowed: OWNER/NAME"),
        ("owner/name", "", "--upload: nobody is logged in to the hub"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_before_the_work(hub, tmp_path, name, token, told):
    ended = released_to(name, hub[1], tmp_path, token)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"eqssl: error: {told}")
    assert not (tmp_path / "c4").exists()
    assert hub[0].asked == []


def test_a_refusal_of_the_hub_is_told_in_one_line_and_the_release_stays(hub, tmp_path):
    ended = released_to("owner/name", hub[1], tmp_path, "hf_wrong")
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("eqssl: error: hub:owner/name: ")
    assert (tmp_path / "c4/model.safetensors").exists()
