//! What users write.

use serving::name::Noun;
use tfplugin::schema::{check, length_between};
use tfplugin::{Attribute, Schema, Type, Value};

use crate::schema;

pub(super) fn schema() -> Schema {
    Schema::new(
        "An environment: the Python packages that score scripts run with, and the scorer that runs them.\n\n\
         What the definition leaves open (versions, the Python release) is decided once, at the first apply, and kept until \
         the definition changes. Exactly one of `pip_requirements` and `conda_file` is needed. A change is an update in \
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
            "Content of a conda environment file. On the local compute, `python` and the `pip:` section are all that it may \
             contain.",
        )
        .optional(),
    )
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
    .timeouts(&[("create", "60m"), ("update", "60m"), ("delete", "10m")])
}
