//! What a plan shows before anything happens.

use tfplugin::{Attr, AttributePath, Diagnostic, Diagnostics, Plan};

use super::model::{AksAttachment, RouterBlock};
use super::schema::status;
use crate::cluster::kubernetes::api::Namespace;
use crate::cluster::kubernetes::attachment::default_namespace;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings as Provider;
use crate::workspace::document::ComputeLocation;
use crate::workspace::{ComputeBody, ComputeId, WorkspaceBody, WorkspaceId};

/// Fills in what is known already, and decides whether the compute moves.
pub(super) async fn plan(plan: &mut Plan<AksAttachment>, provider: &Provider) -> Result<(), Diagnostics> {
    let (config, prior) = (plan.config.clone().unwrap_or_default(), plan.prior.clone());
    let Some(planned) = &mut plan.planned else { return Ok(()) };
    planned.status = status::RUNNING.into();
    if let Ok(id) = planned_id(planned) {
        reachable(&id.workspace)?;
        if config.namespace.is_null() && prior.is_none() {
            planned.namespace = workspace_name(&id.workspace, provider)
                .await
                .map_or(Attr::Unknown, |name| default_namespace(&name).into());
        }
        // Only an id that is not known yet makes the services plan to move, too.
        let moves = prior.is_none() && is_elsewhere(&id, planned, provider).await;
        planned.id = if moves { Attr::Unknown } else { id.to_string().into() };
    }
    planned.router_version = version(&config, prior.as_ref(), planned);
    planned.base_url = base_url(prior.as_ref(), planned);
    let moves = match &prior {
        Some(prior) if prior.connection != planned.connection => leads_elsewhere(prior, planned, provider).await,
        _ => false,
    };
    if moves {
        plan.require_replace(AttributePath::attribute("connection"));
    }
    Ok(())
}

/// Pods cannot see a folder of the machine that terraform runs on.
pub(super) fn reachable(workspace: &WorkspaceId) -> Result<(), Diagnostic> {
    if workspace.directory().is_none() {
        return Ok(());
    }
    let detail = format!(
        "The workspace {workspace} is a folder of this machine, from which the pods of a cluster could not fetch code and \
         models. Use a workspace in a storage that they reach, such as az://<container>/<prefix> or \
         s3://<bucket>/<prefix>, or serve on this machine with azureml_local_compute."
    );
    Err(Diagnostic::error("A cluster cannot use this workspace", detail).at_attribute("workspace_id"))
}

pub(super) fn planned_id(planned: &AksAttachment) -> Result<ComputeId, Diagnostics> {
    let workspace = planned.workspace_id.require("workspace_id")?.parse().or_explain("Invalid workspace_id")?;
    Ok(ComputeId { workspace, name: planned.name.require("name")?.clone() })
}

/// None if the workspace is not there yet, or cannot be read now.
pub(super) async fn workspace_name(workspace: &WorkspaceId, provider: &Provider) -> Option<String> {
    let catalogue = provider.catalogue(workspace).ok()?;
    Some(catalogue.find::<WorkspaceBody>("").await.ok()??.body.name)
}

/// Whether the compute exists in another place: what is planned then is the second half of a replacement.
async fn is_elsewhere(id: &ComputeId, planned: &AksAttachment, provider: &Provider) -> bool {
    let Ok(catalogue) = provider.catalogue(&id.workspace) else { return false };
    let Ok(Some(compute)) = catalogue.find::<ComputeBody>(&id.name).await else { return false };
    match &compute.body.location {
        ComputeLocation::Kubernetes { connection, namespace, .. } => {
            planned.namespace.as_deref() != Some(namespace) || planned.connection.as_deref() != Some(connection)
        }
        ComputeLocation::Local { .. } => true,
    }
}

/// Whether another connection leads to another cluster. While that cannot be told it is taken to lead to the same one: the
/// apply looks, and refuses what is another.
async fn leads_elsewhere(prior: &AksAttachment, planned: &AksAttachment, provider: &Provider) -> bool {
    let (Ok(id), Some(connection), Some(namespace)) =
        (planned_id(planned), planned.connection.as_deref(), prior.namespace.as_deref())
    else {
        return false;
    };
    let Ok(catalogue) = provider.catalogue(&id.workspace) else { return false };
    let Ok(Some(compute)) = catalogue.find::<ComputeBody>(&id.name).await else { return false };
    let ComputeLocation::Kubernetes { uid, .. } = &compute.body.location else { return false };
    let Ok(client) = provider.connections.client(connection).await else { return false };
    let namespace = Namespace::new(client, namespace, connection);
    let owner = namespace.get::<k8s_openapi::api::core::v1::ConfigMap>(serving::cluster::OWNER).await;
    owner.is_ok_and(|owner| owner.and_then(|owner| owner.metadata.uid).as_ref() != Some(uid))
}

fn image(attachment: &AksAttachment) -> Attr<String> {
    match &attachment.router {
        Attr::Known(router) => router.image.clone(),
        Attr::Null => Attr::Null,
        Attr::Unknown => Attr::Unknown,
    }
}

/// Version of the router: configured, kept, or this release's.
fn version(config: &AksAttachment, prior: Option<&AksAttachment>, planned: &AksAttachment) -> Attr<String> {
    if !config.router_version.is_null() {
        return planned.router_version.clone();
    }
    let (before, now) = (prior.map(image), image(planned));
    match prior {
        Some(prior) if before.as_ref() == Some(&now) && prior.router_version.is_known() => prior.router_version.clone(),
        // Only the routers themselves tell the version of another image.
        _ if !now.is_null() => Attr::Unknown,
        _ => env!("CARGO_PKG_VERSION").into(),
    }
}

/// The URL, unless something changes that it depends on.
fn base_url(prior: Option<&AksAttachment>, planned: &AksAttachment) -> Attr<String> {
    match (&planned.external_url, prior) {
        (Attr::Known(url), _) => return url.trim_end_matches('/').into(),
        (Attr::Unknown, _) | (_, None) => return Attr::Unknown,
        (Attr::Null, Some(_)) => {}
    }
    let way = |attachment: &AksAttachment| {
        let RouterBlock { service_type, node_port, annotations, .. } = attachment.router.clone().unwrap_or_default();
        let AksAttachment { load_balancer_type, load_balancer_subnet, external_url, .. } = attachment.clone();
        (service_type, node_port, annotations, load_balancer_type, load_balancer_subnet, external_url)
    };
    match prior {
        Some(prior) if way(prior) == way(planned) && !planned.router.is_unknown() && prior.base_url.is_known() => {
            prior.base_url.clone()
        }
        _ => Attr::Unknown,
    }
}
