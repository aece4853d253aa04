//! Attributes that several resources share, with one description each.

use serving::name::Noun;
use tfplugin::schema::{check, check_string};
use tfplugin::{Attribute, Schema, Type, Value};

use crate::cluster::EndpointId;
use crate::workspace::{ComputeId, WorkspaceId};

/// `id`.
#[must_use]
pub fn id(form: &str) -> Attribute {
    Attribute::string(format!("The id: `{form}`. It is also the import id.")).computed().use_state_for_unknown()
}

/// `name` of something whose name is part of its id.
#[must_use]
pub fn name(noun: Noun) -> Attribute {
    name_with(noun, "A change replaces the object.").requires_replace()
}

/// `name` with its rule and one more sentence.
#[must_use]
pub fn name_with(noun: Noun, sentence: &str) -> Attribute {
    Attribute::string(format!("The name: {}. {sentence}", noun.rule()))
        .required()
        .validate(check_string(noun.rule(), move |name| noun.check(name).map_err(|violation| format!("{violation}."))))
}

/// `workspace_id`.
#[must_use]
pub fn workspace_id() -> Attribute {
    Attribute::string("Id of the workspace that holds it. A change replaces the object.")
        .required()
        .requires_replace_if("it becomes another workspace", |change| {
            let same = match (change.prior.as_str(), change.planned.as_str()) {
                (Some(prior), Some(planned)) => {
                    matches!((prior.parse::<WorkspaceId>(), planned.parse()), (Ok(prior), Ok(planned)) if prior == planned)
                }
                _ => false,
            };
            !same
        })
        .validate(workspace_url())
}

/// `compute_id` of something that runs on a compute.
#[must_use]
pub fn compute_id(description: &str) -> Attribute {
    Attribute::string(description).required().requires_replace_if("it becomes another compute", |change| {
        let id = |value: &Value| value.as_str().and_then(|text| text.parse::<ComputeId>().ok());
        let (prior, planned) = (id(change.prior), id(change.planned));
        prior.is_none() || prior != planned
    })
}

/// `endpoint_id` of something that belongs to an endpoint.
#[must_use]
pub fn endpoint_id(description: &str) -> Attribute {
    Attribute::string(description).required().requires_replace_if("it becomes another endpoint", |change| {
        let id = |value: &Value| value.as_str().and_then(|text| text.parse::<EndpointId>().ok());
        let (prior, planned) = (id(change.prior), id(change.planned));
        prior.is_none() || prior != planned
    })
}

/// `scoring_uri` and `swagger_uri`.
#[must_use]
pub fn uris(all: Schema) -> Schema {
    all.attribute("scoring_uri", Attribute::string("Where the models answer.").computed().use_state_for_unknown())
        .attribute(
            "swagger_uri",
            Attribute::string("Where the description of input and output is.").computed().use_state_for_unknown(),
        )
}

/// A rule for ids of workspaces, which are URLs of storage roots.
#[must_use]
pub fn workspace_url() -> impl tfplugin::schema::Validator + 'static {
    check_string("the URL of a storage root, such as `file:///srv/azureml` or `az://container/prefix`", |text| {
        text.parse::<WorkspaceId>().map(|_| ()).map_err(|error| format!("{error}."))
    })
}

/// `description`.
#[must_use]
pub fn description() -> Attribute {
    Attribute::string("Free text. It can be changed at any time.").optional()
}

/// `tags`.
#[must_use]
pub fn tags() -> Attribute {
    Attribute::map(Type::String, "Labels. They can be changed at any time.").optional().validate(no_null_values())
}

/// `properties`.
#[must_use]
pub fn properties() -> Attribute {
    Attribute::map(Type::String, "Labels that can be added, but never changed or removed once they are set.")
        .optional()
        .validate(no_null_values())
}

/// A rule for maps.
#[must_use]
pub fn no_null_values() -> impl tfplugin::schema::Validator + 'static {
    check("values are not null", |value| match value {
        Value::Map(values) => match values.iter().find(|(_, value)| value.is_null()) {
            Some((key, _)) => Err(format!("{key:?} has no value. Leave it out, or use \"\".")),
            None => Ok(()),
        },
        _ => Ok(()),
    })
}
