//! Between what users write and what the compute's document holds.

use std::collections::BTreeMap;

use serving::pod::Toleration;
use tfplugin::{Attr, AttributePath, Diagnostic, Diagnostics};

use super::model::{AksAttachment, RouterBlock, TolerationBlock};
use super::{issuers, service_accounts};
use crate::cluster::kubernetes::attachment::{Attachment, LoadBalancer, Purpose, Router, ServiceType};
use crate::registry::Managed;

/// What a plan says. `config` tells what is configured and what only computed; `before` is what was applied last.
pub(super) fn of(planned: &AksAttachment, config: &AksAttachment, before: Option<&Attachment>) -> Attachment {
    let text = |value: &Attr<String>| value.clone().known();
    let configured_image = planned.router.get().and_then(|router| text(&router.image));
    let version = text(&planned.router_version).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    Attachment {
        namespace: text(&config.namespace),
        create_namespace: planned.create_namespace.unwrap_or(true),
        cluster_purpose: planned.cluster_purpose.as_deref().and_then(Purpose::of).unwrap_or_default(),
        enforce_capacity: planned.enforce_capacity.unwrap_or_default(),
        router: planned.router.get().map(router),
        router_version: text(&config.router_version),
        load_balancer_type: planned.load_balancer_type.as_deref().and_then(LoadBalancer::of).unwrap_or_default(),
        load_balancer_subnet: text(&planned.load_balancer_subnet),
        image_pull_secret: text(&planned.image_pull_secret),
        storage_endpoint: text(&planned.storage_endpoint),
        external_url: text(&planned.external_url),
        force_conflicts: planned.force_conflicts.unwrap_or_default(),
        token_issuers: issuers::wanted(&planned.token_issuers),
        token_service_accounts: service_accounts::wanted(&planned.token_service_accounts),
        image: configured_image.unwrap_or_else(|| default_image(&version, before, Managed::installed())),
        version: None,
        base_url: None,
    }
}

/// The image of a version that nobody has configured. The same version keeps the same image.
fn default_image(version: &str, before: Option<&Attachment>, managed: Managed) -> String {
    let kept = before.filter(|before| before.router.as_ref().is_none_or(|router| router.image.is_none()));
    let same = |before: &&Attachment| {
        Attachment::version_of(&before.image).or(before.version.as_deref()).is_some_and(|found| found == version)
    };
    if let Some(before) = kept.filter(same) {
        return before.image.clone();
    }
    let of_release = managed.router.filter(|_| version == env!("CARGO_PKG_VERSION"));
    of_release.unwrap_or_else(|| Attachment::image_of(version))
}

fn router(block: &RouterBlock) -> Router {
    let number = |value: &Attr<i64>| value.known();
    Router {
        image: block.image.clone().known(),
        replicas: number(&block.replicas).and_then(|replicas| replicas.try_into().ok()),
        cpu_cores: block.cpu_cores.known(),
        cpu_cores_limit: block.cpu_cores_limit.known(),
        memory_gb: block.memory_gb.known(),
        memory_gb_limit: block.memory_gb_limit.known(),
        service_type: block.service_type.as_deref().and_then(ServiceType::of),
        node_port: number(&block.node_port).and_then(|port| port.try_into().ok()),
        annotations: texts(&block.annotations),
        node_selector: texts(&block.node_selector),
        tolerations: block.tolerations.get().map(|list| list.iter().map(toleration).collect()),
    }
}

fn texts(map: &Attr<BTreeMap<String, Attr<String>>>) -> Option<BTreeMap<String, String>> {
    let known = |(name, value): (&String, &Attr<String>)| Some((name.clone(), value.clone().known()?));
    map.get().map(|map| map.iter().filter_map(known).collect())
}

fn toleration(block: &TolerationBlock) -> Toleration {
    Toleration {
        key: block.key.clone().known(),
        operator: block.operator.clone().known(),
        value: block.value.clone().known(),
        effect: block.effect.clone().known(),
    }
}

/// `router` as users write it.
pub(super) fn block(router: &Router) -> RouterBlock {
    let texts = |map: &Option<BTreeMap<String, String>>| -> Attr<BTreeMap<String, Attr<String>>> {
        map.clone().map(|map| map.into_iter().map(|(name, value)| (name, value.into())).collect()).into()
    };
    let tolerations = router.tolerations.as_ref().map(|list| {
        let block = |one: &Toleration| TolerationBlock {
            key: one.key.clone().into(),
            operator: one.operator.clone().into(),
            value: one.value.clone().into(),
            effect: one.effect.clone().into(),
        };
        list.iter().map(block).collect()
    });
    RouterBlock {
        image: router.image.clone().into(),
        replicas: router.replicas.map(i64::from).into(),
        cpu_cores: router.cpu_cores.into(),
        cpu_cores_limit: router.cpu_cores_limit.into(),
        memory_gb: router.memory_gb.into(),
        memory_gb_limit: router.memory_gb_limit.into(),
        service_type: router.service_type.map(|kind| kind.as_str().to_owned()).into(),
        node_port: router.node_port.map(i64::from).into(),
        annotations: texts(&router.annotations),
        node_selector: texts(&router.node_selector),
        tolerations: tolerations.into(),
    }
}

/// Rules between attributes, as far as their values are known.
pub(super) fn check(config: &AksAttachment) -> Diagnostics {
    let mut problems = Diagnostics::new();
    let internal = config.load_balancer_type.as_deref() == Some(LoadBalancer::InternalLoadBalancer.as_str());
    if !config.load_balancer_subnet.is_null() && !internal && !config.load_balancer_type.is_unknown() {
        let detail = "A subnet is only for a load balancer of the type InternalLoadBalancer.";
        problems
            .push(Diagnostic::error("The subnet has no load balancer", detail).at_attribute("load_balancer_subnet"));
    }
    let Attr::Known(router) = &config.router else { return problems };
    let at = |name: &str| AttributePath::attribute("router").child(name);
    let kind = match &router.service_type {
        Attr::Unknown => return problems,
        Attr::Null => ServiceType::default(),
        Attr::Known(text) => ServiceType::of(text).unwrap_or_default(),
    };
    if kind != ServiceType::LoadBalancer && internal {
        let detail = format!("With router.service_type {} there is no load balancer to be internal.", kind.as_str());
        problems.push(Diagnostic::error("There is no load balancer", detail).at_attribute("load_balancer_type"));
    }
    if !router.node_port.is_null() && kind == ServiceType::ClusterIp {
        let detail = "A Service of the type ClusterIP has no port of the nodes.";
        problems.push(Diagnostic::error("There is no port of the nodes", detail).at(at("node_port")));
    }
    for (request, limit, name, default) in [
        (&router.cpu_cores, &router.cpu_cores_limit, "cpu_cores_limit", (0.5, 2.0)),
        (&router.memory_gb, &router.memory_gb_limit, "memory_gb_limit", (0.5, 1.2)),
    ] {
        let value = |value: &Attr<f64>, default: f64| match value {
            Attr::Known(value) => Some(*value),
            Attr::Null => Some(default),
            Attr::Unknown => None,
        };
        if let (Some(request), Some(limit)) = (value(request, default.0), value(limit, default.1))
            && request > limit
        {
            let detail = format!("The limit is {limit}, but {request} are reserved. Raise it.");
            problems.push(Diagnostic::error("The limit is below what is reserved", detail).at(at(name)));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_runs_the_image_of_its_release_by_digest_and_keeps_it() {
        let ours = env!("CARGO_PKG_VERSION");
        let managed = || Managed { router: Some("ghcr.io/x/azureml-fe@sha256:1".into()), scorer: None };
        let image = default_image(ours, None, managed());
        assert_eq!(image, "ghcr.io/x/azureml-fe@sha256:1");
        assert_eq!(default_image("0.0.1", None, managed()), Attachment::image_of("0.0.1"), "of another release");
        assert_eq!(default_image(ours, None, Managed::default()), Attachment::image_of(ours));

        let before = Attachment { image: image.clone(), version: Some(ours.into()), ..Attachment::default() };
        assert_eq!(default_image(ours, Some(&before), Managed::default()), image);
        assert_eq!(default_image("9.9.9", Some(&before), Managed::default()), Attachment::image_of("9.9.9"));
        let router = Some(Router { image: Some(image), ..Router::default() });
        let configured = Attachment { router, ..before };
        assert_eq!(default_image(ours, Some(&configured), Managed::default()), Attachment::image_of(ours));
    }
}
