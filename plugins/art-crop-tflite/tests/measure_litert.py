"""Writes litert.json: what LiteRT computes for the small files of cases.py. Run where ``ai-edge-litert`` is installed:

python measure_litert.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, wave
from writing import tflite_bytes


def run(content: bytes, x: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def main() -> None:
    measured: dict[str, Any] = {}
    for name, (tensors, operators) in CASES.items():
        result = run(tflite_bytes(tensors, operators), wave(tensors[0].shape))
        assert tuple(result.shape) == tuple(tensors[-1].shape), (name, result.shape)
        measured[name] = [round(float(value), 7) for value in result.ravel()]
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in measured.items())
    Path(__file__).with_name("litert.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
