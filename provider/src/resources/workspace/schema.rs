//! What users write.

use serving::name::Noun;
use tfplugin::schema::check_string;
use tfplugin::{Attribute, Schema};

use crate::schema;
use crate::workspace::WorkspaceId;

pub(super) fn schema() -> Schema {
    Schema::new(
        "A workspace: the catalogue that holds models, code, environments and computes, in a directory of this machine or in \
         object storage.\n\n\
         No secret is ever stored in it. It is destroyed only when it holds nothing any more, unless `force_destroy` is set.",
    )
    .attribute("id", schema::id("<storage_url> in its normal form"))
    .attribute("name", schema::name_with(Noun::Workspace, "It can be changed at any time."))
    .attribute(
        "storage_url",
        Attribute::string(
            "URL of the storage root: `file:///<absolute path>` of a directory, which is created; `az://<container>/<prefix>` \
             in Azure Blob Storage or `s3://<bucket>/<prefix>` in S3, where container or bucket exist already and the \
             provider's `storage` tells how they are reached. It must not be the root of another workspace. A change replaces \
             the workspace.",
        )
        .required()
        .requires_replace_if("it becomes another place", |change| {
            let normal = |value: &tfplugin::Value| value.as_str().and_then(|text| text.parse::<WorkspaceId>().ok());
            normal(change.prior).is_none() || normal(change.prior) != normal(change.planned)
        })
        .validate(schema::workspace_url()),
    )
    .attribute(
        "registry",
        Attribute::string(
            "Container registry for the images of environments, as `host[:port][/path]`. Without one no images are built, and \
             services run only on a local compute. After a change, the next apply places the environments there.",
        )
        .optional()
        .validate(check_string("a container registry", crate::registry::check_registry)),
    )
    .attribute(
        "global_registry",
        Attribute::string(
            "Another registry, which others fill, in the same form. An image that it has is copied from there and not built.",
        )
        .optional()
        .validate(check_string("a container registry", crate::registry::check_registry)),
    )
    .attribute(
        "force_destroy",
        Attribute::bool(
            "Whether a destroy also removes the models, environments and computes that the workspace still holds, whoever \
             made them. Running computes are never removed. Apply it before the destroy.",
        )
        .default(false),
    )
}
