//! Whether an object still is what was applied.

use serde_json::Value;

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
    fn a_change_is_named_by_its_path() {
        let wanted = json!({ "spec": { "containers": [{ "name": "scorer", "image": "one" }] } });
        let found = json!({ "spec": { "containers": [{ "name": "scorer", "image": "two" }] } });
        assert_eq!(first(&wanted, &found), Some(".spec.containers[scorer].image".into()));
        assert_eq!(first(&json!({ "drop": ["ALL"] }), &json!({ "drop": [] })), Some(".drop".into()));
        assert_eq!(first(&wanted, &json!({})), Some(".spec".into()));
    }
}
