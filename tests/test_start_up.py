"""How commands start: with what they need and no more, and from the second process on without compiling."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xbarc.compiled import compiled

#: Slow to import, and of no use to a text of help.
SLOW = {"llvmlite", "networkx", "numba", "numpy", "onnx", "onnxruntime", "pydantic", "rich", "scipy", "threadpoolctl"}

_NETWORK = """
import json, sys
import numpy as np
import onnx
from numba.core import event
from onnx import TensorProto, helper, numpy_helper

class Compilations(event.Listener):
    def __init__(self):
        self.names = []
    def on_start(self, seen):
        self.names.append(seen.data["dispatcher"].py_func.__qualname__)
    def on_end(self, seen):
        pass

seen = Compilations()
event.register("numba:compile", seen)
import xbarc
draw = np.random.default_rng(0)
weights = {"k": draw.normal(size=(4, 2, 3, 3)), "w": draw.normal(size=(4, 3))}
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ],
    "small",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 6, 6])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
x = draw.normal(size=(5, 2, 6, 6)).astype(np.float32)
program = xbarc.compile(model, calibration=x)
program.write().run(x)
program.write("pcm", seed=1, threads=2).at("1d").run(x)
print(json.dumps(seen.names))
"""


def run(code: str) -> str:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[-1]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_nothing_slow(option: str) -> None:
    code = f"""
import json, sys
from xbarc.cli.main import main
sys.argv = ["xbarc", {option!r}]
try:
    main()
except SystemExit:
    print(json.dumps(sorted(sys.modules)))
"""
    found = set(json.loads(run(code)))
    assert "xbarc.cli.eval" in found
    assert not found & SLOW


def test_the_package_alone_imports_nothing_slow() -> None:
    found = set(json.loads(run("import json, sys, xbarc; print(json.dumps(sorted(sys.modules)))")))
    assert "xbarc" in found
    assert not found & {*SLOW, "typer", "importlib.metadata"}


def test_a_program_runs_without_a_library_of_graphs_or_of_solvers() -> None:
    code = "import json, sys, xbarc.api.program; print(json.dumps(sorted(sys.modules)))"
    found = set(json.loads(run(code)))
    assert "numba" in found
    assert not found & {"networkx", "scipy.sparse", "rich"}


def test_a_second_process_compiles_nothing() -> None:
    run(_NETWORK)  # compiles what no process before did
    assert json.loads(run(_NETWORK)) == []


def test_kernels_work_where_nothing_can_be_kept(tmp_path: Path) -> None:
    # numba keeps nothing for a source that is no file, and then refuses to
    names: dict[str, object] = {}
    exec(compile("def twice(x):\n    return 2 * x\n", str(tmp_path / "nowhere.py"), "exec"), names)
    function = names["twice"]
    assert callable(function)
    assert compiled(function)(21) == 42
