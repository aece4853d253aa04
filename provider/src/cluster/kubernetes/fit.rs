//! Whether a pod could run on any node that there is, were the node empty.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serving::pod::Pod;

use crate::cluster::Shortage;

/// Bytes of the unit that the attributes of memory are in.
const GB: f64 = 1_073_741_824.0;

/// What the pod asks for and no node has; nothing if some node could take it, or there are none, as before an
/// autoscaler's first.
pub(super) fn shortage(nodes: &[Node], pod: &Pod) -> Option<Shortage> {
    if nodes.is_empty() {
        return None;
    }
    let suitable: Vec<&Node> = nodes.iter().filter(|node| has_labels(node, &pod.node_selector)).collect();
    if suitable.is_empty() {
        let labels: Vec<String> = pod.node_selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let reason = format!("no node has the labels of node_selector: {}", labels.join(", "));
        return Some(Shortage { attribute: "node_selector", reason });
    }
    let wanted = wanted(pod);
    let fits = |node: &&Node| wanted.iter().all(|(_, resource, amount)| *amount <= allocatable(node, resource));
    if suitable.iter().any(fits) {
        return None;
    }
    let short = wanted.iter().filter_map(|(attribute, resource, amount)| {
        let most = suitable.iter().map(|node| allocatable(node, resource)).fold(0.0, f64::max);
        let unit = if *resource == "memory" { GB } else { 1.0 };
        (*amount > most).then(|| {
            let (amount, most) = (round(amount / unit), round(most / unit));
            (*attribute, format!("{amount} of {resource} is asked for, and the largest node has {most}"))
        })
    });
    let short: Vec<(&str, String)> = short.collect();
    let Some((attribute, _)) = short.first() else {
        return Some(Shortage {
            attribute: "cpu_cores",
            reason: "no node has all together that is asked for".to_owned(),
        });
    };
    let reasons: Vec<&str> = short.iter().map(|(_, reason)| reason.as_str()).collect();
    Some(Shortage { attribute, reason: reasons.join("; ") })
}

/// What is reserved: attribute, resource, amount.
fn wanted(pod: &Pod) -> Vec<(&'static str, &str, f64)> {
    let mut wanted = vec![
        ("cpu_cores", "cpu", pod.cpu_cores),
        ("memory_gb", "memory", pod.memory_gb * GB),
        ("gpu_cores", "nvidia.com/gpu", f64::from(pod.gpu_cores)),
    ];
    for (resource, quantity) in &pod.extended_resources {
        // What is no quantity is for the cluster to refuse.
        if let Some(amount) = amount(quantity) {
            wanted.push(("extended_resources", resource, amount));
        }
    }
    wanted
}

fn has_labels(node: &Node, wanted: &BTreeMap<String, String>) -> bool {
    let labels = node.metadata.labels.as_ref();
    wanted.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn allocatable(node: &Node, resource: &str) -> f64 {
    let status = node.status.as_ref();
    let quantity = status.and_then(|status| status.allocatable.as_ref()?.get(resource));
    quantity.and_then(|Quantity(text)| amount(text)).unwrap_or(0.0)
}

/// A quantity as Kubernetes writes it: `4`, `3920m`, `16Gi`, `1e3`.
pub(super) fn amount(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", GB),
        ("Ti", 1024.0 * GB),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let unit = UNITS.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    Some(number.parse::<f64>().ok()? * factor)
}

fn round(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(cpu: &str, memory: &str, zone: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": { "labels": { "zone": zone } },
            "status": { "allocatable": { "cpu": cpu, "memory": memory } },
        }))
        .expect("a node")
    }

    fn pod(cpu_cores: f64, memory_gb: f64) -> Pod {
        Pod { cpu_cores, memory_gb, ..crate::deployment::pod::Configured::default().effective(0) }
    }

    #[test]
    fn what_no_node_could_ever_take_is_told_by_attribute() {
        let nodes = [node("3920m", "16Gi", "a"), node("8", "4Gi", "b")];
        assert_eq!(shortage(&nodes, &pod(3.5, 12.0)), None);
        assert_eq!(shortage(&nodes, &pod(8.0, 1.0)), None);
        assert_eq!(shortage(&[], &pod(100.0, 1.0)), None);
        let told = |pod: &Pod| shortage(&nodes, pod).map(|Shortage { attribute, reason }| (attribute, reason));
        let (attribute, reason) = told(&pod(64.0, 32.5)).expect("a shortage");
        assert_eq!(attribute, "cpu_cores");
        assert_eq!(
            reason,
            "64 of cpu is asked for, and the largest node has 8; 32.5 of memory is asked for, and the largest node has 16"
        );
        assert_eq!(told(&pod(6.0, 12.0)).expect("a shortage").1, "no node has all together that is asked for");
        assert_eq!(told(&Pod { gpu_cores: 1, ..pod(1.0, 1.0) }).expect("a shortage").0, "gpu_cores");
        let elsewhere = Pod { node_selector: [("zone".to_owned(), "c".to_owned())].into(), ..pod(1.0, 1.0) };
        let (attribute, reason) = told(&elsewhere).expect("a shortage");
        assert_eq!((attribute, reason.as_str()), ("node_selector", "no node has the labels of node_selector: zone=c"));
    }
}
