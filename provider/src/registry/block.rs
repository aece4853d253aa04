//! `registry` of the provider block.

use tfplugin::schema::check_string;
use tfplugin::{Attr, Attribute, Model, Object, Type};

use crate::environment::image::Tool;

/// `registry` of the provider block. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct RegistryBlock {
    pub plain_http: Attr<Vec<String>>,
    pub tool: Attr<String>,
    pub base_image: Attr<String>,
}

/// The attribute.
#[must_use]
pub fn attribute() -> Attribute {
    let object = Object::new()
        .attribute(
            "plain_http",
            Attribute::list(
                Type::String,
                "Registries, as `host[:port]`, that are reached without encryption. Default: the variable \
                 `AZUREML_REGISTRY_PLAIN_HTTP`, separated by commas, else those on this machine's own addresses.",
            )
            .optional(),
        )
        .attribute(
            "tool",
            Attribute::string(
                "The program that builds images: `buildah`, `podman` or `docker`. Default: the variable `AZUREML_IMAGE_TOOL`, \
                 else the first of them that is there.",
            )
            .optional()
            .validate(check_string("`buildah`, `podman` or `docker`", |text| text.parse::<Tool>().map(drop))),
        )
        .attribute(
            "base_image",
            Attribute::string(
                "Base of environments' images that name none: any with Python and its venv module. Default: the variable \
                 `AZUREML_BASE_IMAGE`, else the scorer's image that belongs to this release.",
            )
            .optional()
            .validate(check_string("the name of an image", |text| {
                super::parse(text).map(drop).map_err(|error| error.to_string())
            })),
        );
    Attribute::single(
        object,
        "How images are built, and registries reached. Credentials are those of the usual tools: `REGISTRY_AUTH_FILE`, \
         `containers/auth.json`, `~/.docker/config.json`, and the helpers that these name.",
    )
    .optional()
}
