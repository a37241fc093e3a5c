"""Scripts of benchmarks/ and tools/ as modules."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TOOLS = Path(__file__).parents[1] / "tools"


def load(name: str, folder: Path = BENCHMARKS) -> Any:
    """Such a script, whose own imports of its neighbours work too."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module
