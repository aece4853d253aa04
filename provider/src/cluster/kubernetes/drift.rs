//! Whether an object still is what was applied.

use serde_json::Value;

use super::api::Kind;

/// Annotation: what was applied, by which a look sees what somebody has changed since. What a present release would apply
/// does not tell that.
const APPLIED: &str = "azureml.io/applied";

/// A manifest with a note of what is in it. Of a Secret that would give its values away.
pub(super) fn noted(mut manifest: Value) -> Value {
    let mut applied = manifest.clone();
    for (place, names) in [("", &["apiVersion", "kind"][..]), ("/metadata", &["name"])] {
        if let Some(Value::Object(fields)) = applied.pointer_mut(place) {
            fields.retain(|name, _| !names.contains(&name.as_str()));
        }
    }
    manifest["metadata"]["annotations"][APPLIED] = applied.to_string().into();
    manifest
}

/// Path of the first part that is not as it was applied any more; none of an object without a note.
pub(super) fn since_applied<K: Kind>(object: &K) -> Option<String> {
    let note = object.meta().annotations.as_ref()?.get(APPLIED)?;
    let path = first(&serde_json::from_str(note).ok()?, &serde_json::to_value(object).ok()?)?;
    Some(path.trim_start_matches('.').to_owned())
}

/// Path of the first part of `wanted` that `found` does not have in this way; none if it has all of it. What is only in
/// `found` does not count: the cluster fills in defaults, and others add what is theirs.
pub(super) fn first(wanted: &Value, found: &Value) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(name, value)| {
            let found = found.get(name).unwrap_or(&Value::Null);
            first(value, found).map(|path| format!(".{name}{path}"))
        }),
        // The cluster leaves out what is empty.
        (Value::Object(wanted), Value::Null) if wanted.is_empty() => None,
        (Value::Array(wanted), Value::Null) if wanted.is_empty() => None,
        (Value::Array(wanted), Value::Array(found)) => items(wanted, found),
        // A variable without a value has none.
        (Value::String(text), Value::Null) if text.is_empty() => None,
        (Value::Bool(false), Value::Null) => None,
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => None,
        (wanted, found) if wanted == found => None,
        _ => Some(String::new()),
    }
}

/// Named items are looked up by their name, among which others may stand; other lists are compared as they are.
fn items(wanted: &[Value], found: &[Value]) -> Option<String> {
    let named = wanted.iter().all(|item| item.get("name").is_some());
    if !named && wanted.len() != found.len() {
        return Some(String::new());
    }
    wanted.iter().enumerate().find_map(|(index, item)| {
        let other = if named { found.iter().find(|other| other["name"] == item["name"]) } else { found.get(index) };
        let place = item["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
        first(item, other.unwrap_or(&Value::Null)).map(|path| format!("[{place}]{path}"))
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_additions_of_others_are_no_drift() {
        let wanted = json!({ "replicas": 2, "labels": {}, "env": [{ "name": "A", "value": "" }], "host": false });
        let found = json!({
            "replicas": 2, "env": [{ "name": "INJECTED", "value": "x" }, { "name": "A" }], "policy": "Always",
        });
        assert_eq!(first(&wanted, &found), None);
    }

    #[test]
    fn what_was_changed_after_it_was_applied_is_found_by_the_note_of_it() {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "labels": { "a": "b" } },
            "spec": { "ports": [{ "name": "http", "port": 80 }] },
        });
        let service = |manifest: Value| serde_json::from_value::<Service>(manifest).expect("a Service");
        let mut noted = noted(manifest.clone());
        assert_eq!(since_applied(&service(noted.clone())), None);
        noted["spec"]["clusterIP"] = "10.0.0.1".into();
        noted["metadata"]["labels"]["c"] = "d".into();
        assert_eq!(since_applied(&service(noted.clone())), None);
        noted["spec"]["ports"][0]["port"] = 81.into();
        assert_eq!(since_applied(&service(noted.clone())), Some("spec.ports[http].port".into()));
        noted["metadata"]["labels"] = json!({});
        assert_eq!(since_applied(&service(noted)), Some("metadata.labels.a".into()));
        assert_eq!(since_applied(&service(manifest)), None, "it has no note");
    }

    #[test]
    fn a_change_is_named_by_its_path() {
        let wanted = json!({ "spec": { "containers": [{ "name": "scorer", "image": "one" }] } });
        let found = json!({ "spec": { "containers": [{ "name": "scorer", "image": "two" }] } });
        assert_eq!(first(&wanted, &found), Some(".spec.containers[scorer].image".into()));
        assert_eq!(first(&json!({ "drop": ["ALL"] }), &json!({ "drop": [] })), Some(".drop".into()));
        assert_eq!(first(&wanted, &json!({})), Some(".spec".into()));
    }
}
