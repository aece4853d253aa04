//! What users write.

use serving::name::Noun;
use tfplugin::schema::integer_between;
use tfplugin::{Attribute, Schema};

use crate::schema;

/// More versions than anybody keeps.
const MAX_KEPT: i64 = 1_000_000;

pub(super) fn schema() -> Schema {
    Schema::new(
        "A registered model: a file or folder, stored in the workspace with its versions.\n\n\
         Changed content is an update in place that registers the next version, so an old version is there for as long as \
         replicas need it. Contents are stored once, however many versions or models have them.",
    )
    .attribute("id", schema::id("<workspace id>/models/<name>"))
    .attribute("name", schema::name(Noun::Model))
    .attribute("workspace_id", schema::workspace_id())
    .attribute(
        "path",
        Attribute::string(
            "The file or folder. Scripts find it under its own name in `AZUREML_MODEL_DIR`. Inside a folder, links to files \
             are followed; empty folders and permissions are not kept. A relative path is relative to the directory that \
             terraform runs in.",
        )
        .required()
        .validate(tfplugin::schema::length_between(1..=4096)),
    )
    .attribute("description", schema::description())
    .attribute("tags", schema::tags())
    .attribute("properties", schema::properties())
    .attribute(
        "keep_versions",
        Attribute::number(
            "How many versions are kept, at least 1. Older ones go when the model is changed, except those that a service \
             uses. Default: all.",
        )
        .optional()
        .validate(integer_between(1..=MAX_KEPT)),
    )
    .attribute("version", Attribute::number("The newest version. Versions count from 1 and are never used again.").computed())
    .attribute(
        "version_id",
        Attribute::string("Id of the newest version, `<workspace id>/models/<name>/<version>`: what `model_ids` takes.")
            .computed(),
    )
    .attribute(
        "digest",
        Attribute::string("SHA-256 over the names and contents of the files, `sha256:<hex>`, computed when planning.")
            .computed(),
    )
    .timeouts(&[("create", "60m"), ("update", "60m"), ("delete", "10m")])
}
