"""bfloat16 and compiled blocks under DDP and FSDP2; `make distributed` runs this, in two minutes.

FSDP rounds the norms' gains to bfloat16 as well, so bounds in bfloat16 are those of its rounding.
"""

import json
import sys

import pytest
import torch

from tests.distributed.test_distributed import TORCHRUN, run

pytestmark = pytest.mark.distributed

MODES = {"ddp": [], "fsdp": ["shard"]}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One process, by its settings."""
    found = {}
    for settings in (("float32", "off"), ("bfloat16", "off")):
        path = tmp_path_factory.mktemp("one") / "numbers.json"
        run([sys.executable, "-m", "tests.distributed.engines", str(path), *settings])
        found[settings[0]] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("precision", "backend"), [("float32", "aot_eager"), ("bfloat16", "off"), ("bfloat16", "aot_eager")]
)
def test_two_processes_take_the_steps_of_one_in_bfloat16_and_compiled(one, tmp_path, mode, precision, backend):
    path = tmp_path / "numbers.json"
    run([*TORCHRUN, "-m", "tests.distributed.engines", str(path), precision, backend, *MODES[mode]])
    found, expected = json.loads(path.read_text(encoding="utf-8")), one[precision]
    bound = 1e-4 if precision == "float32" else 3e-3
    for name in ("losses", "norms"):
        torch.testing.assert_close(
            torch.tensor(found[name]),
            torch.tensor(expected[name]),
            rtol=0,
            atol=bound,
            msg=lambda text, name=name: f"{name}: are the gradients summed in bfloat16, or the inputs cast?\n{text}",
        )
    assert found["dtypes"] == ["torch.float32"], "the weights themselves stay float32"
    assert found["names"] == expected["names"], "a wrapper's prefix in the names would make checkpoints unreadable"
    assert found["logprob"] == pytest.approx(expected["logprob"], abs=30 * bound), "sampling sees other weights"
