"""The same seed means the same first weights, whatever instructions the processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import hashlib
import eqssl, torch
from eqssl import pretexts

params = eqssl.Params.load("params.yaml").model_copy(update={"group": "D4"})
digest = hashlib.sha256()
for name in ("eq_labels", "inv_contrastive"):
    for parameter in pretexts.build(name, params, seed=3).parameters():
        digest.update(parameter.detach().numpy().tobytes())
print(digest.hexdigest())
"""


def test_the_same_seed_draws_the_same_first_weights_with_any_instructions() -> None:
    found = set()
    for capability in ("default", "avx2", None):
        chosen = {} if capability is None else {"ATEN_CPU_CAPABILITY": capability}
        environment = {**os.environ, **chosen}
        command = [sys.executable, "-c", PROGRAM]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT
        )
        found.add(answer.stdout.strip())
    assert len(found) == 1
