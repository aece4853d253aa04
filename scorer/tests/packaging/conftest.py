"""Finds interpreters, and installs what was packed into bare environments of theirs."""

import glob
import os
import shutil
import subprocess
import sys

import pytest

VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15", "3.14t", "3.15t"]
# Beside the Python of the tests: it knows interpreters that a pip of another one does not.
_UV = os.path.join(os.path.dirname(sys.executable), "uv")
_PROBE = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2] + 't' * bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"


def _version(program):
    """The version of an interpreter, with a t if it is free-threaded; None if it does not start."""
    try:
        said = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    return said.stdout.strip() if said.returncode == 0 else None


def _candidates():
    yield sys.executable
    # More of them, with the system's separator for paths between.
    yield from filter(None, os.environ.get("PYTHONS", "").split(os.pathsep))
    names = [f"python{version}" for version in VERSIONS]
    yield from filter(None, map(shutil.which, names))
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for name in names:
        yield from sorted(glob.glob(os.path.join(pyenv, "versions", "*", "bin", name)))
    for version in VERSIONS:
        managed = [_UV, "python", "find", "--no-project", "--managed-python", "--offline", version]
        yield from subprocess.run(managed, capture_output=True, text=True).stdout.split()


def interpreters():
    """One program of each supported version that this machine has; that of the tests is one of them."""
    found = {}
    for program in _candidates():
        version = _version(program)
        if version in VERSIONS:
            found.setdefault(version, program)
    return found


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        found = interpreters()
        metafunc.parametrize("interpreter", list(found.values()), ids=list(found))


def artifact(pattern):
    """The file that was packed, in the folder that DIST names."""
    folder = os.environ.get("DIST")
    if not folder:
        pytest.fail("DIST must name the folder with the scorer's wheel: run `make test`, or `make wheels-test`")
    found = sorted(glob.glob(os.path.join(folder, pattern)))
    if not found:
        pytest.fail(f"there is no {pattern} in {folder}: run `make build`, or `make wheels`")
    return found


def _uv(*arguments):
    done = subprocess.run([_UV, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def environment(tmp_path):
    """Makes a bare environment: no package at all, not even pip. Returns its folder of programs."""

    def make(interpreter):
        folder = tmp_path / "environment"
        _uv("venv", "--quiet", "--no-project", "--python", interpreter, str(folder))
        return folder / "bin"

    return make


def install(programs, *arguments):
    """Installs into an environment."""
    _uv("pip", "install", "--no-cache", "--python", str(programs / "python"), *arguments)
