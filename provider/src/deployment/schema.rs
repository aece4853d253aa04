//! The attributes of a deployment.

use serving::validate::{default, range};
use tfplugin::{Attribute, Object, Schema, Type};

/// The states that a webservice or a version shows.
pub mod state {
    /// All replicas are ready.
    pub const HEALTHY: &str = "Healthy";
    /// Fewer replicas are ready than there should be.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// A change has begun and has not been finished.
    pub const TRANSITIONING: &str = "Transitioning";
}

/// `state`.
#[must_use]
pub fn state() -> Attribute {
    Attribute::string(format!(
        "`{}`, `{}` (fewer replicas are ready than there should be) or `{}` (an apply was interrupted; the next one \
         finishes it).",
        state::HEALTHY,
        state::UNHEALTHY,
        state::TRANSITIONING
    ))
    .computed()
}

fn number(description: &str, unit: &str, allowed: &std::ops::RangeInclusive<i64>) -> Attribute {
    Attribute::number(format!("{description} {unit}From {} to {}.", allowed.start(), allowed.end()))
}

/// Adds the attributes.
#[must_use]
pub fn attributes(all: Schema) -> Schema {
    let first = limits(all.attribute(
        "model_ids",
        Attribute::list(
            Type::String,
            "Registered model versions, `azureml_model.<name>.version_id`, at most 1000. With one model, the script finds it \
             in the folder `AZUREML_MODEL_DIR`; with several, in `AZUREML_MODEL_DIR/<name>/<version>`.",
        )
        .optional(),
    )
    .attribute("inference_config", inference_config())
    .attribute("num_replicas", number("Number of replicas.", "", &range::REPLICAS).required()))
    .attribute("rollout", rollout());
    super::pod::attributes(first)
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

fn limits(all: Schema) -> Schema {
    all.attribute(
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
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
