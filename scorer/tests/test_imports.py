"""The import paths that score scripts know, beside packages that provide parts of them."""

import json

import pytest

PATHS = {
    "azureml.contrib.services.aml_request": ("AMLRequest", "rawhttp"),
    "azureml.contrib.services.aml_response": ("AMLResponse",),
    "azureml_inference_server_http.api.aml_request": ("AMLRequest", "rawhttp"),
    "azureml_inference_server_http.api.aml_response": ("AMLResponse",),
    "azureml_inference_server_http.log_config": ("AMLLogFormatter", "RootAccessFilter"),
    "azureml.monitoring": ("ModelDataCollector",),
    "inference_schema.schema_decorators": ("input_schema", "output_schema"),
    "inference_schema.parameter_types.standard_py_parameter_type": ("StandardPythonParameterType",),
    "inference_schema.parameter_types.abstract_parameter_type": ("AbstractParameterType",),
}
# Ways in which another distribution may own the name azureml.
PACKAGES = {
    "none": {},
    "regular": {"azureml/__init__.py": "MARK = 'theirs'\n", "azureml/ai/__init__.py": "", "azureml/ai/monitoring.py": "X = 1\n"},
    "extended": {"azureml/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", "azureml/core/__init__.py": "X = 1\n"},
    "namespace": {"azureml/core/__init__.py": "X = 1\n"},
    "contrib": {"azureml/__init__.py": "", "azureml/contrib/__init__.py": "", "azureml/contrib/other.py": "X = 1\n"},
}


def load(start, tmp_path, package, body):
    """Serves a script that finds the files of ``package`` on its path, and answers with ``found``."""
    for name, text in PACKAGES[package].items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    server = start(f"import sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n{body}\ndef init():\n    pass\n\ndef run(data):\n    return found\n")
    return json.loads(server.request(body="x")[2])


@pytest.mark.parametrize("package", PACKAGES)
def test_every_path_can_be_imported_whoever_owns_azureml(start, tmp_path, package):
    lines = [f"from {path} import {', '.join(names)}" for path, names in PATHS.items()]
    lines.append("import azureml.contrib.services.aml_request as module")
    lines.append("found = [module.rawhttp is rawhttp, AMLResponse('x', 200).status_code]")
    assert load(start, tmp_path, package, "\n".join(lines)) == [True, 200]


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("regular", "import azureml.ai.monitoring as m; found = [azureml.MARK, m.X]"),
        ("extended", "import azureml.core as m; found = ['theirs', m.X]"),
        ("namespace", "import azureml.core as m; found = ['theirs', m.X]"),
        ("contrib", "import azureml.contrib.other as m; found = ['theirs', m.X]"),
    ],
)
def test_modules_of_an_installed_package_keep_working_before_and_after_ours(start, tmp_path, package, statement):
    ours = "from azureml.contrib.services.aml_response import AMLResponse\n"
    import_first = f"import azureml\n{statement}\n{ours}"
    assert load(start, tmp_path, package, import_first) == ["theirs", 1]
    assert load(start, tmp_path, package, f"{ours}import azureml\n{statement}") == ["theirs", 1]


def test_both_paths_of_a_class_give_the_same_class(start, tmp_path):
    body = (
        "from azureml.contrib.services.aml_response import AMLResponse as a\n"
        "from azureml_inference_server_http.api.aml_response import AMLResponse as b\n"
        "import azureml.contrib.services.aml_response, azureml_inference_server_http\n"
        "found = [a is b, azureml.contrib.services.aml_response.AMLResponse is a, bool(azureml_inference_server_http.__version__)]"
    )
    assert load(start, tmp_path, "none", body) == [True, True, True]


def test_an_installed_module_comes_before_ours(start, tmp_path):
    PACKAGES["original"] = {
        "azureml_inference_server_http/__init__.py": "",
        "azureml_inference_server_http/api/__init__.py": "",
        "azureml_inference_server_http/api/aml_request.py": "_rawHttpRequested = False\ndef rawhttp(f):\n    global _rawHttpRequested\n    _rawHttpRequested = True\n    return f\n",
        "azureml_inference_server_http/api/aml_response.py": "class AMLResponse:\n    THEIRS = 1\n",
        "inference_schema/__init__.py": "THEIRS = 1\n",
    }
    body = (
        "from azureml_inference_server_http.api.aml_response import AMLResponse\nimport inference_schema\n"
        "found = [AMLResponse.THEIRS, inference_schema.THEIRS]"
    )
    assert load(start, tmp_path, "original", body) == [1, 1]


@pytest.mark.parametrize("name", ["azureml.core", "azureml.contrib.services.other", "inference_schema.nothing", "azureml_inference_server_http.server", "azureml_other"])
def test_what_nobody_has_is_an_import_error_of_that_name(start, tmp_path, name):
    body = f"try:\n    import {name}\nexcept ModuleNotFoundError as error:\n    found = [error.name, str(error)]\n"
    found = load(start, tmp_path, "none", body)
    assert found[0] == name and name in found[1]


