//! Environments: their updates, conda files, and what stands in the way of building one.

use acceptance_local::{Project, Stack, post};
use serde_json::{Value, json};

/// Tells what of the environment it sees.
const TELL: &str = r#"import importlib.metadata
import os


def init():
    pass


def run(raw_data):
    names = {name.lower() for name in importlib.metadata.packages_distributions()} & {"six", "iniconfig"}
    return {"colour": os.environ.get("COLOUR"), "packages": sorted(names)}
"#;

fn project(stack: &Stack) -> Project {
    let project = stack.project();
    project.write("src/score.py", TELL);
    project
}

/// The default configuration with these lines as the environment's definition.
fn defined(definition: &str) -> String {
    Stack::default().render().replace("pip_requirements = \"\"", definition)
}

fn conda(dependencies: &str) -> String {
    defined(&format!("conda_file = <<-EOT\nname: test\nchannels: [conda-forge]\ndependencies:\n{dependencies}\nEOT"))
}

fn told(project: &Project) -> Value {
    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), "{}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

fn versions(project: &Project) -> (Value, Value) {
    let version = |address: &str, name: &str| project.attributes(address)[name].clone();
    (version("azureml_environment.this", "version"), version("azureml_webservice.this", "environment_version"))
}

#[test]
fn packages_and_variables_change_in_place_and_the_service_rolls_to_them() {
    let project = project(&Stack::default());
    project.apply().ok();
    assert_eq!(told(&project), json!({"colour": null, "packages": []}));
    let action = |address: &str| (address.to_owned(), vec!["update".to_owned()]);
    let both = [action("azureml_environment.this"), action("azureml_webservice.this")];
    let steps = [
        ("pip_requirements = \"six==1.17.0\"".to_owned(), json!({"colour": null, "packages": ["six"]})),
        (
            "pip_requirements = \"six==1.17.0\"\n environment_variables = { COLOUR = \"blue\" }".to_owned(),
            json!({"colour": "blue", "packages": ["six"]}),
        ),
        (
            "conda_file = \"dependencies: [python, {pip: [iniconfig]}]\"\n environment_variables = { COLOUR = \"blue\" }"
                .to_owned(),
            json!({"colour": "blue", "packages": ["iniconfig"]}),
        ),
    ];
    for (number, (definition, expected)) in (2..).zip(steps) {
        project.configure(&defined(&definition));
        assert_eq!(project.planned_actions(), both, "{definition}");
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(told(&project), expected);
        assert_eq!(versions(&project), (json!(number), json!(number)));
    }
}

#[test]
fn another_spelling_of_the_same_packages_restarts_nothing_and_another_name_replaces_the_environment() {
    let first = defined("pip_requirements = \"six==1.17.0\"");
    let project = project(&Stack::default());
    project.configure(&first);
    project.apply().ok();
    let pids = project.replica_pids("double");
    project.configure(&defined("pip_requirements = \"# pinned\\nSix == 1.17.0\\n\""));
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(versions(&project), (json!(1), json!(1)));
    assert_eq!(project.replica_pids("double"), pids);

    project.configure(&first.replace("\"plain\"", "\"other\""));
    let actions = project.planned_actions();
    assert_eq!(actions[0], ("azureml_environment.this".to_owned(), vec!["delete".to_owned(), "create".to_owned()]));
    assert_eq!(actions[1], ("azureml_webservice.this".to_owned(), vec!["update".to_owned()]));
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(told(&project)["packages"], json!(["six"]));
    let environments: Vec<_> =
        std::fs::read_dir(project.path().join("ws/venvs")).expect("a folder").flatten().collect();
    let built = environments.iter().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(built, 1, "the same packages are built once, whatever the environment is called");
}

#[test]
fn a_conda_file_with_python_and_pip_parts_is_built() {
    let project = project(&Stack::default());
    project.configure(&conda("  - python>=3.10\n  - pip\n  - pip:\n      - six==1.17.0  # pinned\n      - iniconfig"));
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(told(&project)["packages"], json!(["iniconfig", "six"]));
}

#[test]
fn definitions_that_cannot_be_used_fail_the_plan_with_the_reason() {
    let project = project(&Stack::default());
    for (configuration, expected) in [
        (
            conda("  - python=3.11\n  - numpy=1.26\n  - pytorch::pytorch"),
            ["conda_file", "numpy=1.26, pytorch::pytorch"],
        ),
        (conda("  - python=3.11=h1_0"), ["conda_file", "python=3.11=h1_0"]),
        (defined("conda_file = \"dependencies: 3\""), ["conda_file", "cannot be read"]),
        (defined("pip_requirements = \"-r other.txt\""), ["pip_requirements", "Line 1: `-r`"]),
        (defined("pip_requirements = \"\"\nconda_file = \"{}\""), ["conda_file", "Exactly one definition"]),
        (defined(""), ["azureml_environment", "Exactly one definition"]),
        (
            defined("pip_requirements = \"\"\nenvironment_variables = { \"A=B\" = \"x\" }"),
            ["environment_variables", "A=B"],
        ),
    ] {
        project.configure(&configuration);
        project.plan().fails_with(&expected);
    }
}

#[test]
fn packages_that_do_not_fit_together_leave_environment_and_service_as_they_were() {
    let project = project(&Stack::default());
    project.apply().ok();
    let pids = project.replica_pids("double");
    for (definition, expected) in [
        ("pip_requirements = \"six==1.16.0\\nsix==1.17.0\"", vec!["azureml_environment", "six==1.16.0", "six==1.17.0"]),
        ("pip_requirements = \"six==0.0.99\"", vec!["azureml_environment", "six==0.0.99"]),
        (
            "conda_file = \"dependencies: [python=3.99]\"",
            vec!["azureml_environment", "no Python ==3.99.*", "another version"],
        ),
        ("pip_requirements = \"\"\nscorer_version = \"9.9.9\"", vec!["scorer_version", "9.9.9"]),
    ] {
        project.configure(&defined(definition));
        project.apply().fails_with(&expected);
        assert_eq!(project.plan().code, Some(2), "the change is still to be made");
    }
    assert_eq!(versions(&project), (json!(1), json!(1)));
    assert_eq!(project.replica_pids("double"), pids);
    let scorer = project.attribute("azureml_environment.this", "scorer_version");
    project.configure(&defined(&format!("pip_requirements = \"\"\nscorer_version = {scorer:?}")));
    project.assert_no_changes();
}

#[test]
fn without_uv_and_python_the_apply_fails_with_what_to_install() {
    let mut project = project(&Stack::default());
    let (empty, cache) = (project.path().join("empty"), project.path().join("cache"));
    std::fs::create_dir(&empty).expect("a folder");
    project.set_variable("PATH", &empty);
    project.set_variable("AZUREML_CACHE_DIR", &cache);
    project.apply().fails_with(&[
        "azureml_environment",
        "uv, which is not on PATH",
        "install uv",
        "Python 3.9 or newer",
    ]);

    project.unset_variable("PATH");
    project.unset_variable("AZUREML_CACHE_DIR");
    project.apply().ok();
    project.assert_no_changes();
}
