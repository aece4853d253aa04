//! The machine-readable contracts in `schemas/`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tfplugin::schema::AttributeKind;
use tfplugin::{Attribute, Nesting, ProviderSchemas, Schema, Signature};

use crate::rendered::Rendered;

/// All contract files.
pub(crate) fn render(schemas: &ProviderSchemas) -> Vec<Rendered> {
    let file = |path: &str, value: &Value| Rendered { path: path.into(), text: format!("{value:#}\n") };
    vec![
        file("schemas/service.schema.json", &json!(serving::schema())),
        file("schemas/provider.json", &provider(schemas)),
        file("schemas/traffic-vectors.json", &serving::vectors::traffic()),
    ]
}

/// What `terraform providers schema -json` tells, with the rules and defaults that it does not know.
fn provider(schemas: &ProviderSchemas) -> Value {
    let all = |found: &BTreeMap<String, Schema>| {
        found.iter().map(|(name, schema)| (name.clone(), block(schema))).collect::<Map<_, _>>()
    };
    json!({
        "provider": block(&schemas.provider),
        "resource_schemas": all(&schemas.resources),
        "data_source_schemas": all(&schemas.data_sources),
        "ephemeral_resource_schemas": all(&schemas.ephemeral_resources),
        "functions": schemas.functions.iter().map(|(name, found)| (name.clone(), function(found))).collect::<Map<_, _>>(),
    })
}

fn block(schema: &Schema) -> Value {
    let blocks = schema.blocks.iter().map(|(name, block)| {
        (name.clone(), json!({ "description": block.description, "attributes": attributes(&block.attributes) }))
    });
    json!({
        "version": schema.version,
        "description": schema.description,
        "attributes": attributes(&schema.attributes),
        "blocks": blocks.collect::<Map<_, _>>(),
    })
}

fn attributes(attributes: &[(String, Attribute)]) -> Value {
    attributes.iter().map(|(name, found)| (name.clone(), attribute(found))).collect::<Map<_, _>>().into()
}

fn attribute(attribute: &Attribute) -> Value {
    let mut out = Map::new();
    match &attribute.kind {
        AttributeKind::Plain(ty) => out.insert("type".into(), ty.to_json()),
        AttributeKind::Nested(nesting, members) => {
            let nesting = match nesting {
                Nesting::Single => "single",
                Nesting::List => "list",
                Nesting::Set => "set",
                Nesting::Map => "map",
            };
            out.insert("nested_type".into(), json!({ "nesting_mode": nesting, "attributes": attributes(members) }))
        }
    };
    out.insert("description".into(), attribute.description.clone().into());
    for (name, set) in [
        ("required", attribute.required),
        ("optional", attribute.optional),
        ("computed", attribute.computed),
        ("sensitive", attribute.sensitive),
        ("write_only", attribute.write_only),
        ("deprecated", attribute.deprecation.is_some()),
    ] {
        if set {
            out.insert(name.into(), true.into());
        }
    }
    let default = attribute.default.as_ref().and_then(|value| tfplugin::codec::to_json(value, &attribute.ty()).ok());
    if let Some(default) = default.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
        out.insert("default".into(), default);
    }
    if !attribute.validators.is_empty() {
        let rules = attribute.validators.iter().map(|rule| rule.documentation()).collect::<Vec<_>>();
        out.insert("rules".into(), rules.into());
    }
    out.into()
}

fn function(signature: &Signature) -> Value {
    let parameter = |parameter: &tfplugin::Parameter| json!({ "name": parameter.name, "type": parameter.ty.to_json(), "description": parameter.description });
    json!({
        "summary": signature.summary,
        "description": signature.description,
        "parameters": signature.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "variadic_parameter": signature.variadic.as_ref().map(parameter),
        "return_type": signature.returns.to_json(),
    })
}
