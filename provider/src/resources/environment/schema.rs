//! What users write.

use serving::name::Noun;
use tfplugin::schema::{check, check_string, length_between};
use tfplugin::{Attribute, Object, Schema, Type, Value};

use crate::schema;

pub(super) fn schema() -> Schema {
    Schema::new(
        "An environment: the Python packages that score scripts run with, and the scorer that runs them.\n\n\
         What the definition leaves open (versions, the Python release) is decided once, at the first apply, and kept until \
         the definition changes. In a workspace with a `registry` an image is built of it, unless the registry has one of \
         exactly the same parts already; without one, a virtual environment is made where the service runs. Exactly one of `pip_requirements` and `conda_file` is needed. A change is an update in \
         place, and the services that use the environment roll.",
    )
    .attribute(
        "id",
        Attribute::string(
            "The id: `<workspace id>/environments/<name>`. It is also the import id. It never changes, but a plan that makes a \
             new version shows it as known after apply, so that services plan their update too.",
        )
        .computed()
        .use_state_for_unknown(),
    )
    .attribute("name", schema::name(Noun::Environment))
    .attribute("workspace_id", schema::workspace_id())
    .attribute(
        "pip_requirements",
        Attribute::string("Content of a pip requirements file, as in `file(\"requirements.txt\")`.").optional(),
    )
    .attribute(
        "conda_file",
        Attribute::string(
            "Content of a conda environment file. Without a base image of its own, see `docker`, and on the local compute, \
             `python` and the `pip:` section are all that it may contain.",
        )
        .optional(),
    )
    .attribute("docker", docker())
    .attribute(
        "environment_variables",
        Attribute::map(Type::String, "Environment variables of the score script. No secrets: they are stored as they are.")
            .optional()
            .validate(schema::no_null_values())
            .validate(check("names of variables", |value| match value {
                Value::Map(values) => match values.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
                    Some(name) => Err(format!("{name:?} is not a name of an environment variable.")),
                    None => Ok(()),
                },
                _ => Ok(()),
            })),
    )
    .attribute(
        "scorer_version",
        Attribute::string(
            "Version of the scorer. The release of the provider brings one. Default: the newest one at the first apply, and \
             then the one that the environment has: an upgrade of the provider changes nothing by itself.",
        )
        .optional()
        .computed()
        .use_state_for_unknown()
        .validate(length_between(1..=64)),
    )
    .attribute(
        "version",
        Attribute::number("Counts the changes of packages, variables and scorer, from 1.").computed(),
    )
    .attribute(
        "hash",
        Attribute::string(
            "Hash of the definition. Names, variables, comments, order and spelling do not change it.",
        )
        .computed(),
    )
    .attribute(
        "image",
        Attribute::string(
            "The image, by digest: `<registry>/azureml-environment@sha256:...`. Null in a workspace without a registry.",
        )
        .computed(),
    )
    .timeouts(&[("create", "60m"), ("update", "60m"), ("delete", "10m")])
}

fn docker() -> Attribute {
    let object = Object::new()
        .attribute(
            "base_image",
            Attribute::string(
                "The image to build on: Linux, with Python and its venv module, or with micromamba, mamba or conda where the \
                 `conda_file` has conda packages. Its tag is followed to a digest at the first apply, and again only when this \
                 text changes. Default: `base_image` of the provider's `registry`.",
            )
            .optional()
            .validate(check_string("the name of an image", |text| {
                crate::registry::parse(text).map(drop).map_err(|error| error.to_string())
            })),
        )
        .attribute(
            "base_dockerfile",
            Attribute::string(
                "Content of a Dockerfile that makes the image to build on. It can copy from other images, not from files. \
                 Excludes `base_image`.",
            )
            .optional()
            .validate(check_string("a Dockerfile that copies no files of this machine", dockerfile)),
        )
        .attribute(
            "extra_docker_file_steps",
            Attribute::list(
                Type::String,
                "Instructions of a Dockerfile, such as `RUN apt-get update && apt-get install -y libgomp1`, one each. They run \
                 as root, on the base and before the packages.",
            )
            .optional()
            .validate(check("instructions of a Dockerfile that copy no files of this machine", |value| match value {
                Value::List(steps) => steps.iter().filter_map(Value::as_str).try_for_each(step),
                _ => Ok(()),
            })),
        );
    Attribute::single(
        object,
        "How the image differs from the ordinary one. It counts only in a workspace with a registry: virtual environments \
         have no base.",
    )
    .optional()
}

/// Instructions that make sense behind another image's.
const STEPS: [&str; 9] = ["RUN", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "SHELL", "COPY", "ADD"];

fn step(text: &str) -> Result<(), String> {
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !STEPS.contains(&word.as_str()) {
        return Err(format!("{word:?} is none of {}.", STEPS.join(", ")));
    }
    from_elsewhere(text)
}

fn dockerfile(text: &str) -> Result<(), String> {
    let word = |line: &str| line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !text.lines().any(|line| word(line) == "FROM") {
        return Err("It has no FROM.".to_owned());
    }
    text.lines().try_for_each(from_elsewhere)
}

/// Files of this machine are no part of a definition, whose hash would not change with them.
fn from_elsewhere(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let instruction = words.next().unwrap_or_default().to_ascii_uppercase();
    let elsewhere = |word: &str| word.starts_with("--from=") || word.contains("://") || word.starts_with("<<");
    if matches!(instruction.as_str(), "COPY" | "ADD") && !words.any(elsewhere) {
        return Err(format!("`{}` copies a file of this machine, which is not part of the build.", line.trim()));
    }
    Ok(())
}
