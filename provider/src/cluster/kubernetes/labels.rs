//! Labels of what is written.

use std::collections::BTreeMap;

use serving::cluster::{FIELD_MANAGER, PART_OF, ROUTER, SCORER_NAME, component, label, workspace_hash};

/// Labels of an object of a compute.
#[must_use]
pub fn compute(component: &str, workspace: &str) -> BTreeMap<String, String> {
    let name = if component == component::SCORER { SCORER_NAME } else { ROUTER };
    [
        (label::NAME, name.to_owned()),
        (label::COMPONENT, component.to_owned()),
        (label::PART_OF, PART_OF.to_owned()),
        (label::MANAGED_BY, FIELD_MANAGER.to_owned()),
        (label::WORKSPACE, workspace_hash(workspace)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Labels of an object of a service.
#[must_use]
pub fn service(component: &str, workspace: &str, service: &str) -> BTreeMap<String, String> {
    let mut labels = compute(component, workspace);
    labels.insert(label::SERVICE.to_owned(), service.to_owned());
    labels
}

/// A selector of the objects of a service.
#[must_use]
pub fn of_service(component: &str, service: &str) -> String {
    selector(&[(label::COMPONENT, component), (label::SERVICE, service)])
}

/// A selector of all objects with these labels.
#[must_use]
pub fn selector(labels: &[(&str, &str)]) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
