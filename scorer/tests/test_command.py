"""Flags, variables and the configuration file; what the server says at its start; how it ends when they are wrong."""

import json
import os
import subprocess
import sys

import pytest
from command import Command
from ports import free_port

ECHO = "def init():\n    pass\n\ndef run(data):\n    return data\n"
# Answers with the variables that user code sees.
SHOW = "import os\n\ndef init():\n    pass\n\ndef run(name):\n    return os.environ.get(name, 'absent')\n"
KEY = "0a1b2c3d-0000-4000-8000-00000000ffff"


@pytest.fixture
def command(tmp_path):
    started = []

    def start(*flags, **options):
        started.append(Command(tmp_path, *flags, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def variable(server, name):
    return json.loads(server.request(body=name)[2])


def test_a_script_given_by_flag_is_served_on_the_port_of_the_flag(command):
    server = command(script=ECHO).healthy()
    assert server.request(body="x")[::2] == (200, b'"x"')


def test_a_server_without_a_script_ends_with_1_and_says_what_to_give(command):
    server = command()
    assert server.ended() == 1
    assert "--entry_script" in server.output() and "AZUREML_ENTRY_SCRIPT" in server.output()


@pytest.mark.parametrize("flags", [("--nonsense",), ("--worker_count", "0"), ("--health_port", "65536"), ("--worker_count", "x")])
def test_a_wrong_flag_ends_with_1_after_the_help(command, flags):
    server = command(*flags, script=ECHO)
    assert server.ended() == 1
    assert flags[0] in server.output().splitlines()[-1] and "--access_control_allow_origins" in server.output()


def test_the_version_is_told_and_nothing_is_started():
    found = subprocess.run([sys.executable, "-m", "azureml_scorer", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("azmlinfsrv/")


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        (None, ["missing.py", "no such score script"]),
        ("def init():\n    pass\n  def run(d):\n    pass\n", ["IndentationError: unindent does not match any outer indentation level"]),
        ("def init():\n    pass\n\ndef run():\n    pass\n", ["run() needs to accept an argument for input data"]),
        ("def init():\n    pass\n\ndef run(request_headers):\n    pass\n", ['other than "request_headers"']),
        ("def init():\n    pass\n\ndef run(*args):\n    pass\n", ["cannot accept positional-only arguments, *args, or **kwargs", "run(*args)"]),
        ("def init():\n    pass\n\ndef run(a, /):\n    pass\n", ["cannot accept positional-only"]),
        ("def init():\n    pass\n\ndef run(a, b):\n    pass\n", ["run() needs a value for b"]),
        ("def init():\n    raise ValueError('no weights')\n\ndef run(d):\n    pass\n", ["User's init function failed", "ValueError: no weights"]),
    ],
)
def test_a_script_that_cannot_be_served_ends_with_3_and_says_why(command, script, texts):
    server = command(script=script) if script else command("--entry_script", "missing.py")
    assert server.ended() == 3
    for text in texts:
        assert text in server.output()


def test_a_port_that_is_taken_ends_with_3_and_leaves_the_other_server_alone(command):
    server = command(script=ECHO).healthy()
    second = command(script=ECHO, port=server.port)
    assert second.ended() == 3 and str(server.port) in second.output()
    assert server.request(body="x")[0] == 200


def test_the_start_shows_the_settings_and_routes(command):
    port = free_port()
    server = command("--model_dir", "models", "--access_control_allow_origins", "a.com, b.com", "--health_port", port, script=ECHO, SEPERATE_HEALTH_ENDPOINT="true", WORKER_TIMEOUT="20")
    server.healthy()
    expected = [
        "Azure ML Inferencing HTTP server v",
        "Server Settings\n---------------\nEntry Script Name: ",
        "score.py\nModel Directory: models\nConfig File: None\nWorker Count: 1\nWorker Timeout (seconds): 20\n",
        f"Server Port: {server.port}\nHealth Port: {port}\nApplication Insights Enabled: false\nApplication Insights Key: None\n",
        "Inferencing HTTP server version: azmlinfsrv/",
        "CORS for the specified origins: Enabling CORS for a.com, b.com\n",
        "Create dedicated endpoint for health: true\n",
        f"Liveness Probe: GET   127.0.0.1:{port}/\n",
        f"Score:          POST  127.0.0.1:{server.port}/score\n",
        "WORKER_TIMEOUT has no effect",
    ]
    for text in expected:
        assert text in server.output()


def test_user_code_sees_the_original_variables(command):
    server = command(script=SHOW, SERVER_PORT="3535").healthy()
    found = {name: variable(server, name) for name in ("AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY", "AZUREML_MODEL_DIR", "SERVER_PORT", "WORKER_COUNT")}
    assert found == {
        "AML_APP_INSIGHTS_ENABLED": "false",
        "AML_APP_INSIGHTS_KEY": "absent",
        "AZUREML_MODEL_DIR": "absent",
        "SERVER_PORT": str(server.port),
        "WORKER_COUNT": "1",
    }
    assert "Use the --model_dir command line argument to set it." in server.output()


def test_a_flag_comes_before_the_variable(command):
    server = command("--model_dir", "./my/dir", script=SHOW, AZUREML_MODEL_DIR="./not/good").healthy()
    assert variable(server, "AZUREML_MODEL_DIR") == "./my/dir"


def test_the_model_directory_may_come_from_the_variable(command):
    server = command(script=SHOW, AZUREML_MODEL_DIR="./models").healthy()
    assert variable(server, "AZUREML_MODEL_DIR") == "./models"
    assert "--model_dir command line argument" not in server.output()


@pytest.mark.parametrize(
    ("flags", "environment", "enabled", "text"),
    [
        (("--appinsights_instrumentation_key", KEY), {}, "true", "Valid Application Insights instrumentation key provided."),
        (("--appinsights_instrumentation_key", "my-key"), {}, "false", "Application Insights has been disabled."),
        ((), {"AML_APP_INSIGHTS_KEY": KEY, "AML_APP_INSIGHTS_ENABLED": "true"}, "true", "Valid Application Insights"),
        ((), {"AML_APP_INSIGHTS_KEY": KEY, "AML_APP_INSIGHTS_ENABLED": "asdf"}, "false", "Application Insights Enabled: false"),
        (("--appinsights_instrumentation_key", "my-key"), {"AML_APP_INSIGHTS_KEY": KEY}, "false", "Invalid Application Insights"),
    ],
)
def test_application_insights_settings_are_accepted_and_their_key_is_not_shown(command, flags, environment, enabled, text):
    server = command(*flags, script=SHOW, **environment).healthy()
    assert variable(server, "AML_APP_INSIGHTS_ENABLED") == enabled
    assert text in server.output() and "Application Insights Key: AppInsights key provided" in server.output()
    assert KEY not in server.output() and "my-key" not in server.output()
    assert ("sends nothing to Application Insights" in server.output()) == (enabled == "true")


def test_settings_come_from_the_file_of_the_flag_and_below_variables(command, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({"AZUREML_ENTRY_SCRIPT": "s.py", "SCORING_TIMEOUT_MS": 1234, "WORKER_COUNT": "2", "AML_CORS_ORIGINS": "a.com"}))
    (tmp_path / "s.py").write_text(SHOW)
    server = command("--config_file", "own.json", WORKER_COUNT="1").healthy()
    assert variable(server, "AZUREML_CONFIG_FILE") == os.path.realpath(tmp_path / "own.json")
    for text in ("Worker Count: 1", "Scoring timeout is set to 1234", "Enabling CORS for a.com"):
        assert text in server.output()


@pytest.mark.parametrize("place", [".", "scripts"])
def test_a_config_json_in_the_app_root_or_beside_the_script_is_found(command, tmp_path, place):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/score.py").write_text(ECHO)
    (tmp_path / place / "config.json").write_text('{"SCORING_TIMEOUT_MS": "4321"}')
    server = command("--entry_script", "scripts/score.py").healthy()
    assert "Scoring timeout is set to 4321" in server.output()


def test_a_config_json_of_something_else_is_not_taken_for_ours(command, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 768}')
    assert "has no setting of this server" in command(script=ECHO).healthy().output()


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('{"SCORING_TIMEOUT_MS": "x"}', ["SCORING_TIMEOUT_MS"]),
        ('{"SCORING_TIMEOUT_MS": 5, "SCORING_TIMEOUT": 5}', ["config.json", "no setting SCORING_TIMEOUT;"]),
        ('{"WORKER_COUNT": [1]}', ["config.json", "WORKER_COUNT must be"]),
        ("[1]", ["Invalid config file", "config.json"]),
        ("{", ["Invalid config file", "config.json"]),
    ],
)
def test_a_file_that_is_wrong_ends_with_3_and_names_the_key(command, tmp_path, content, texts):
    (tmp_path / "config.json").write_text(content)
    server = command(script=ECHO)
    assert server.ended() == 3
    for text in texts:
        assert text in server.output()


def test_unknown_keys_of_the_file_are_a_warning_and_some_are_ignored_when_strict(command, tmp_path):
    (tmp_path / "config.json").write_text('{"NONSENSE": 1, "AML_CORS_ORIGINS": "a.com", "SCORING_TIMEOUT_MS": 77}')
    server = command(script=ECHO, AZUREML_COMPAT="strict").healthy()
    assert "Extra keys = ['NONSENSE']" in server.output() and "Scoring timeout is set to 77" in server.output()
    assert "CORS for the specified origins: None" in server.output()


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCORING_TIMEOUT_MS", "0"), ("AZUREML_LOG_LEVEL", "LOUD"), ("AZUREML_COMPAT", "lax"), ("AZUREML_NAN", "zero"), ("WORKER_COUNT", "many"), ("AML_CORS_ORIGINS", "https://.*")],
)
def test_a_variable_that_is_wrong_ends_with_3_and_is_named(command, name, value):
    server = command(script=ECHO, **{name: value})
    assert server.ended() == 3
    assert f"environment variable: {name}" in server.output()


def test_a_missing_configuration_file_ends_with_3(command):
    server = command("--config_file", "nowhere.json", script=ECHO)
    assert server.ended() == 3 and "nowhere.json" in server.output()


def test_main_py_is_served_when_the_file_names_no_script(command, tmp_path):
    (tmp_path / "own.json").write_text('{"SERVICE_NAME": "x"}')
    server = command("--config_file", "own.json")
    assert server.ended() == 3 and "Expected score script main.py" in server.output()
    (tmp_path / "main.py").write_text(ECHO)
    assert command("--config_file", "own.json").healthy().request(body="x")[0] == 200


def test_modules_of_the_source_directory_can_be_imported(command, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/helper_of_the_script.py").write_text("VALUE = {'key': 'value'}\n")
    script = "import helper_of_the_script\n\ndef init():\n    pass\n\ndef run(d):\n    return helper_of_the_script.VALUE\n"
    server = command(script=script, AZUREML_SOURCE_DIRECTORY="lib").healthy()
    assert json.loads(server.request(body="x")[2]) == {"key": "value"}


def test_the_models_are_listed_when_init_fails_at_most_200_lines(command, tmp_path):
    (tmp_path / "models/one/1").mkdir(parents=True)
    (tmp_path / "models/loop").symlink_to(tmp_path / "models")
    for number in range(300):
        (tmp_path / f"models/one/1/file{number:03}").touch()
    server = command("--model_dir", "models", script="def init():\n    1 / 0\n\ndef run(d):\n    pass\n")
    assert server.ended() == 3
    for text in ("Model Directory Contents:", "azmlinfsrv - models/", "-     loop\n", "-         1/", "file001", "Output Truncated. First 200 lines shown."):
        assert text in server.output()
    assert "file250" not in server.output()


def test_a_debugger_that_cannot_be_reached_ends_the_start(command):
    server = command(script=ECHO, AZUREML_DEBUG_PORT=str(free_port()))
    assert server.ended() == 3
    assert "DEBUGGING mode" in server.output() and "AZUREML_DEBUG_PORT" in server.output()


def test_whoever_starts_the_server_is_told_of_a_wrong_setting(start, tmp_path):
    server = start(ECHO, ready=False, SCORING_TIMEOUT_MS="soon", AZUREML_TERMINATION_LOG=str(tmp_path / "termination"))
    event = server.event()
    assert (event["event"], event["reason"]) == ("failed", "start_failed") and "SCORING_TIMEOUT_MS" in event["message"]
    assert server.process.wait(60) == 3
    assert json.loads((tmp_path / "termination").read_text()) == event
