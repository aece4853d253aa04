"""What the log holds of prints, records and settings of the script."""

import json
import re

import pytest
from conftest import eventually

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


def served(start, body, before="", **environment):
    return start(f"import logging\nimport sys\n{before}\ndef init():\n    print('Initializing')\n\ndef run(data):\n    {body}\n    return 1\n", **environment)


def scored(server, request_id="r-1"):
    assert server.request(body="x", headers={"x-request-id": request_id})[0] == 200
    eventually("the access log", lambda: f"[{request_id}] POST /score 200 " in server.log())
    return server.log()


def test_a_print_is_one_line_with_time_level_process_logger_and_request(start):
    server = served(start, "print('A new request', 7, sep='~')")
    log = scored(server)
    assert len(re.findall(rf"^{TIME} I \[{server.process.pid}\] azmlinfsrv\.print - Initializing$", log, re.M)) == 1
    assert len(re.findall(rf"^{TIME} I \[{server.process.pid}\] azmlinfsrv\.print - \[r-1\] A new request~7$", log, re.M)) == 1


def test_the_line_of_a_request_has_method_path_query_status_time_and_length(start):
    server = served(start, "pass")
    server.request("GET", "/score?a=1", headers={"x-request-id": "r-2"})
    eventually("the line", lambda: re.search(rf"^{TIME} I \[\d+\] azmlinfsrv - \[r-2\] GET /score\?a=1 200 \d+\.\d{{3}}ms 1$", server.log(), re.M))
    assert "GET / " not in server.log()


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("print('no end', end='')", "azmlinfsrv.print - [r-1] no end"),
        ("print('a', end=''); print('b')", "azmlinfsrv.print - [r-1] ab"),
        ("sys.stdout.write('written\\n')", "azmlinfsrv.print - [r-1] written"),
        ("print('oops', file=sys.stderr)", "E [{pid}] azmlinfsrv.print - [r-1] oops"),
        ("print('two\\nlines')", "azmlinfsrv.print - [r-1] lines"),
        ("logging.info('plain %s', 1)", "I [{pid}] root - [r-1] plain 1"),
        ("logging.getLogger('mine').warning('odd')", "W [{pid}] mine - [r-1] odd"),
    ],
)
def test_what_user_code_says_carries_the_request(start, body, line):
    server = served(start, body)
    scored(server)
    # What has no end of line is written once the request is answered.
    eventually("the line", lambda: line.replace("{pid}", str(server.process.pid)) + "\n" in server.log())


@pytest.mark.parametrize(
    "before",
    [
        "logging.basicConfig(stream=sys.stdout, format='MINE %(levelname)s %(message)s', level=logging.DEBUG)",
        "logging.basicConfig(format='MINE %(levelname)s %(message)s', level=logging.DEBUG)",
        "handler = logging.StreamHandler(sys.stdout)\nhandler.setFormatter(logging.Formatter('MINE %(levelname)s %(message)s'))\nlogging.getLogger().addHandler(handler)\nlogging.getLogger().setLevel(logging.DEBUG)",
    ],
)
def test_handlers_of_the_script_write_their_own_form_and_prints_do_not_come_back(start, before):
    server = served(start, "logging.debug('hello'); print('printed')", before)
    log = scored(server)
    assert log.count("MINE DEBUG hello\n") == 1 and "azmlinfsrv.print - [r-1] MINE" not in log
    assert log.count("printed\n") == 1


def test_a_level_that_the_script_chooses_keeps_our_form(start):
    log = scored(served(start, "logging.debug('hello')", "logging.basicConfig(level=logging.DEBUG)"))
    assert re.search(r" D \[\d+\] root - \[r-1\] hello\n", log)


def test_the_level_of_the_log_is_a_setting(start):
    log = scored(served(start, "logging.info('quiet'); logging.warning('loud')", AZUREML_LOG_LEVEL="warning"))
    assert "loud" in log and "quiet" not in log


LOGGING = {
    "version": 1,
    "formatters": {"mine": {"class": "azureml_inference_server_http.log_config.AMLLogFormatter", "format": "MINE %(levelname)s %(name)s %(request_id)s | %(message)s"}},
    "filters": {"root": {"()": "azureml_inference_server_http.log_config.RootAccessFilter"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "mine", "filters": ["root"]}},
    "loggers": {"azmlinfsrv": {"level": "INFO", "handlers": ["out"], "propagate": False}},
}


def with_logging_json(start, tmp_path, content):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/logging.json").write_text(content)
    # The directory of the first server of a test.
    (tmp_path / "0/logging.json").replace(tmp_path / "logging.json")
    (tmp_path / "0").rmdir()
    return {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "0/score.py"}


def test_a_logging_json_in_the_app_root_replaces_the_form(start, tmp_path):
    environment = with_logging_json(start, tmp_path, json.dumps(LOGGING))
    log = scored(served(start, "print('printed'); logging.getLogger('other').warning('still ours')", **environment))
    assert "MINE INFO azmlinfsrv.print r-1 | printed\n" in log
    assert f"MINE INFO azmlinfsrv  | Loaded logging config from {tmp_path / 'logging.json'}" in log
    assert "W [" in log and "other - [r-1] still ours" in log


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "handlers": {"x": {"class": "no.such.Handler"}}}'])
def test_a_logging_json_that_is_wrong_ends_the_start_and_is_named(start, tmp_path, content):
    environment = with_logging_json(start, tmp_path, content)
    server = served(start, "pass", ready=False, **environment)
    assert server.process.wait(60) == 3
    assert "logging.json" in server.log()


def test_a_failure_is_logged_with_the_traceback_of_the_script_alone(start):
    server = served(start, "1 / 0")
    assert server.request(body="x", headers={"x-request-id": "r-9"})[0] == 500
    log = server.log()
    assert "E [" in log and "[r-9] Encountered Exception: Traceback (most recent call last):\n" in log
    assert "ZeroDivisionError: division by zero" in log and "azureml_scorer/" not in log
