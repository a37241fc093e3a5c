"""The command line as a person meets it: a process of its own, its streams and its exit status."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

# Forked off a process that has imported what takes long, and nothing of ours.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch._dynamo", "safetensors.torch", "cv2", "matplotlib.figure", "pydantic", "rich.progress",
     "scipy.io", "typer", "yaml"]
)  # fmt: skip

LIMIT = 300  # seconds, after which a command hangs


def spcnet(*arguments: object, **environment: str) -> CompletedProcess[str]:
    """Run ``spcnet ARGUMENTS`` with these changes to the environment."""
    return python("spcnet", *arguments, **environment)


def python(program: object, *arguments: object, **environment: str) -> CompletedProcess[str]:
    """Run a script, or the module ``spcnet``, with these changes to the environment."""
    command = [str(program), *map(str, arguments)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **environment}
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_run, args=(command, environment, os.getcwd(), streams))
        process.start()
        process.join(timeout=LIMIT)
        if process.exitcode is None:
            process.kill()
            process.join()
        status = process.exitcode
        assert status is not None
        return CompletedProcess(command, status, *(path.read_text() for path in streams))


def script(path: Path, *arguments: object, **environment: str) -> CompletedProcess[str]:
    """Run ``python PATH ARGUMENTS``, which must end well."""
    done = python(path, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done


def _run(
    command: list[str], environment: dict[str, str], folder: str, streams: Sequence[Path]
) -> None:
    """What ``python PROGRAM`` does, in a process that was forked."""
    for descriptor, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    if command[0] == "spcnet":
        runpy.run_module("spcnet", run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(command[0]))
        runpy.run_path(command[0], run_name="__main__")


def fails(*arguments: object, told: str, program: object = "spcnet") -> None:
    """The command ends with 1 and one clear line."""
    done = python(program, *arguments)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stderr
    assert told in errors[0]
    assert "Traceback" not in done.stderr
