"""`eqssl.load_encoder("hub:OWNER/NAME")`, from a server on this machine that answers as the hub does."""

from __future__ import annotations

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
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run(
        [sys.executable, "-c", program, name],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=300,
    )
    return ended.stdout.strip()


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
