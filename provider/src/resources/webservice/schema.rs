//! What users write.

use serving::name::Noun;
use serving::validate::{default, range};
use tfplugin::{Attribute, Object, Schema, Type, Value};

use crate::schema;
use crate::workspace::ComputeId;

/// The states that a webservice shows.
pub(super) mod state {
    /// All replicas are ready.
    pub(in super::super) const HEALTHY: &str = "Healthy";
    /// Fewer replicas are ready than there should be.
    pub(in super::super) const UNHEALTHY: &str = "Unhealthy";
    /// A change has begun and has not been finished.
    pub(in super::super) const TRANSITIONING: &str = "Transitioning";
}

fn number(description: &str, unit: &str, allowed: &std::ops::RangeInclusive<i64>) -> Attribute {
    Attribute::number(format!("{description} {unit}From {} to {}.", allowed.start(), allowed.end()))
}

pub(super) fn schema() -> Schema {
    let first = Schema::new(
        "Models behind one scoring URI: a number of replicas that run a score script, each in a process of its own, \
         behind the compute's router.\n\n\
         A change of code, models or environment rolls: new replicas must be ready before old ones stop, and no request \
         fails for it. If the new ones do not become ready, the old ones go on serving, and the apply fails with the reason. \
         Changes of numbers and keys restart nothing.",
    )
    .attribute("id", schema::id("<compute id>/services/<name>"))
    .attribute("name", schema::name(Noun::Webservice))
    .attribute(
        "compute_id",
        Attribute::string("Id of the compute that the service runs on. A change replaces the service.")
            .required()
            .requires_replace_if("it becomes another compute", |change| {
                let id = |value: &Value| value.as_str().and_then(|text| text.parse::<ComputeId>().ok());
                let (prior, planned) = (id(change.prior), id(change.planned));
                prior.is_none() || prior != planned
            }),
    )
    .attribute(
        "model_ids",
        Attribute::list(
            Type::String,
            "Registered model versions, `azureml_model.<name>.version_id`, at most 1000. With one model, the script finds it \
             in the folder `AZUREML_MODEL_DIR`; with several, in `AZUREML_MODEL_DIR/<name>/<version>`.",
        )
        .optional(),
    )
    .attribute("inference_config", inference_config())
    .attribute(
        "num_replicas",
        number("Number of replicas.", "", &range::REPLICAS).required(),
    );
    labels_and_results(keys(policies(first))).timeouts(&[("create", "30m"), ("update", "30m"), ("delete", "15m")])
}

fn inference_config() -> Attribute {
    let object = Object::new()
        .attribute(
            "source_directory",
            Attribute::string(
                "Folder with the score script and what it imports, at most 300 MB. What its `.amlignore`, or without one its \
                 `.gitignore`, names is left out.",
            )
            .required(),
        )
        .attribute(
            "entry_script",
            Attribute::string(
                "The score script with `init()` and `run()`, relative to `source_directory`: a `.py` file whose name can be \
                 imported.",
            )
            .required(),
        )
        .attribute(
            "environment_id",
            Attribute::string("Id of the environment that the script runs in.").required(),
        );
    Attribute::single(object, "The code that answers requests, and where it runs.").required()
}

fn rollout() -> Attribute {
    let object = Object::new()
        .attribute(
            "max_surge",
            number(
                "Replicas that may exist above `num_replicas` while rolling. Default 1.",
                "",
                &range::ROLLOUT_REPLICAS,
            )
            .optional(),
        )
        .attribute(
            "max_unavailable",
            number(
                "Replicas that may be missing from `num_replicas` while rolling. Default 0.",
                "",
                &range::ROLLOUT_REPLICAS,
            )
            .optional(),
        )
        .attribute(
            "recreate",
            Attribute::bool(
                "Stop all old replicas before the first new one starts, so that both never run at once. Requests fail \
                 meanwhile. Default false.",
            )
            .optional(),
        )
        .attribute(
            "progress_deadline_seconds",
            number(
                "Time that a new replica has for `init()` before the rollout has failed. Default 600.",
                "Seconds. ",
                &range::PROGRESS_DEADLINE_SECONDS,
            )
            .optional(),
        );
    Attribute::single(object, "How changed replicas replace the present ones.").optional()
}

fn policies(all: Schema) -> Schema {
    all
        .attribute(
            "replica_max_concurrent_requests",
            number(
                "Requests that one replica runs at once; further ones wait in the router.",
                "",
                &range::CONCURRENT_REQUESTS,
            )
            .default(i64::from(default::CONCURRENT_REQUESTS)),
        )
        .attribute(
            "max_request_wait_time",
            number(
                "Longest time that a request waits for a free replica before it gets a 503.",
                "Milliseconds. ",
                &range::REQUEST_WAIT_MS,
            )
            .default(signed(default::REQUEST_WAIT_MS)),
        )
        .attribute(
            "scoring_timeout_ms",
            number(
                "Longest time from the arrival of a request to its answer; then it gets a 504.",
                "Milliseconds. ",
                &range::SCORING_TIMEOUT_MS,
            )
            .default(signed(default::SCORING_TIMEOUT_MS)),
        )
        .attribute("rollout", rollout())
        .attribute(
            "auth_enabled",
            Attribute::bool(
                "Whether callers must send one of the service's two keys, as `Authorization: Bearer <key>`. Without, anybody \
                 who reaches the router may score.",
            )
            .default(true),
        )
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn keys(mut all: Schema) -> Schema {
    for (slot, other) in [("primary", "secondary"), ("secondary", "primary")] {
        let (min, max) = (serving::validate::KEY_LENGTH.start(), serving::validate::KEY_LENGTH.end());
        all = all
            .attribute(
                format!("{slot}_key_wo"),
                Attribute::string(format!(
                    "The {slot} key: {min} to {max} letters, digits and `-._~+/=`. Never stored by Terraform. Taken when the \
                     service is created and when `{slot}_key_version` changes. Without it, a key is generated."
                ))
                .optional()
                .sensitive()
                .write_only(),
            )
            .attribute(
                format!("{slot}_key_version"),
                Attribute::number(format!(
                    "A change replaces the {slot} key, without a restart, while the {other} one keeps working. From 1. The \
                     service begins with 1, and keeps its number when this is not set."
                ))
                .optional()
                .computed()
                .use_state_for_unknown(),
            );
    }
    all
}

fn labels_and_results(all: Schema) -> Schema {
    all
        .attribute("description", schema::description())
        .attribute("tags", schema::tags())
        .attribute("properties", schema::properties())
        .attribute(
            "code_digest",
            Attribute::string(
                "Digest of the files in `source_directory`, computed when planning: a changed file shows as an update.",
            )
            .computed(),
        )
        .attribute(
            "environment_version",
            Attribute::number("Version of the environment that the replicas run in.").computed(),
        )
        .attribute("scoring_uri", Attribute::string("Where the models answer.").computed().use_state_for_unknown())
        .attribute(
            "swagger_uri",
            Attribute::string("Where the description of the service's input and output is.")
                .computed()
                .use_state_for_unknown(),
        )
        .attribute(
            "state",
            Attribute::string(format!(
                "`{}`, `{}` (fewer replicas are ready than there should be) or `{}` (an apply was interrupted; the next one \
                 finishes it).",
                state::HEALTHY,
                state::UNHEALTHY,
                state::TRANSITIONING
            ))
            .computed(),
        )
        .attribute(
            "created_time",
            Attribute::string("When it was created, as RFC 3339.").computed().use_state_for_unknown(),
        )
        .attribute("updated_time", Attribute::string("When it was last changed, as RFC 3339.").computed())
}
