"""The wheel in bare environments of every CPython that this machine has."""

import subprocess
import zipfile

import pytest
from conftest import artifact, install
from serving import ask, score, served


def _install(environment, interpreter):
    programs = environment(interpreter)
    wheels = artifact("azureml_scorer-*.whl")
    # By name from the folder: the installer chooses the wheel that is made for this Python.
    install(programs, "--no-index", "--no-deps", "--find-links", wheels[0].rpartition("/")[0], "azureml-scorer")
    return programs


def _told(program, code):
    return subprocess.run([str(program), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_an_installed_wheel_serves_a_score_script(interpreter, environment, tmp_path):
    programs = _install(environment, interpreter)
    with served(programs, tmp_path) as port:
        version = _told(programs / "python", "import platform; print(platform.python_version())")
        assert score(port, [1, 2, 3]) == {"sum": 7, "python": version}
        assert ask(port, "GET", "/") == (200, "Healthy")
        assert ask(port, "GET", "/swagger.json")[0] == 200


def test_an_installed_wheel_serves_with_several_workers(interpreter, environment, tmp_path):
    programs = _install(environment, interpreter)
    with served(programs, tmp_path, WORKER_COUNT="2") as port:
        assert [score(port, [number])["sum"] for number in range(8)] == list(range(1, 9))


def test_every_module_of_the_package_is_understood(interpreter, environment):
    programs = _install(environment, interpreter)
    folder = _told(programs / "python", "import azureml_scorer, os; print(os.path.dirname(azureml_scorer.__file__))")
    done = subprocess.run([str(programs / "python"), "-m", "compileall", "-q", "-f", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("wheel", artifact("azureml_scorer-*-abi3-*.whl"), ids=lambda path: path.rpartition("/")[2])
def test_a_wheel_for_every_python_holds_the_core_of_the_stable_interface_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        cores = [name for name in archive.namelist() if "_core" in name and not name.endswith(".pyi")]
    assert cores == ["azureml_scorer/_core.abi3.so"]
    assert "-cp39-abi3-" in wheel
