//! What state and plan show of an attachment.

use tfplugin::Attr;

use super::model::{AksAttachment, RouterBlock};
use super::{issuers, service_accounts, settings};
use crate::cluster::kubernetes::attachment::Attachment;
use crate::cluster::kubernetes::install::Found;
use crate::workspace::{ComputeId, WorkspaceId};

/// Without what only terraform needs to know.
pub(super) fn only_here(attachment: &AksAttachment) -> AksAttachment {
    AksAttachment { force_destroy: Attr::Null, timeouts: tfplugin::Timeouts::default(), ..attachment.clone() }
}

/// With what only the configuration knows.
pub(super) fn configured_as(known: &AksAttachment, found: AksAttachment) -> AksAttachment {
    let spelled = known.workspace_id.as_deref().and_then(|text| text.parse::<WorkspaceId>().ok());
    let same = spelled.is_some_and(|workspace| found.workspace_id.as_deref() == Some(workspace.as_str()));
    let workspace_id = if same { known.workspace_id.clone() } else { found.workspace_id };
    let token_issuers = issuers::shown(issuers::wanted(&found.token_issuers), &known.token_issuers);
    let accounts = service_accounts::wanted(&found.token_service_accounts);
    AksAttachment {
        workspace_id,
        token_issuers,
        token_service_accounts: service_accounts::shown(accounts, &known.token_service_accounts),
        force_destroy: known.force_destroy.unwrap_or_default().into(),
        timeouts: known.timeouts.clone(),
        ..found
    }
}

/// What an apply returns: where the plan has told a value, exactly that. If it is another one by now, the next plan shows it.
pub(super) fn as_planned(planned: &AksAttachment, found: AksAttachment) -> AksAttachment {
    let told = |planned: &Attr<String>, found: Attr<String>| if planned.is_known() { planned.clone() } else { found };
    let found = configured_as(planned, found);
    AksAttachment {
        router_version: told(&planned.router_version, found.router_version),
        base_url: told(&planned.base_url, found.base_url),
        status: told(&planned.status, found.status),
        ..found
    }
}

/// An attachment as its document and what was found of it tell.
pub(super) fn shown(
    id: &ComputeId,
    (connection, namespace): (&str, &str),
    attachment: &Attachment,
    found: Option<&Found>,
    status: &'static str,
) -> AksAttachment {
    let running = found.and_then(|found| found.running.clone()).filter(|version| !version.is_empty());
    let chosen = Attachment::version_of(&attachment.image).map(str::to_owned);
    let version = chosen.or(running).or_else(|| attachment.version.clone());
    let version = version.unwrap_or_else(|| "unknown".to_owned());
    AksAttachment {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        workspace_id: id.workspace.as_str().into(),
        connection: connection.into(),
        namespace: namespace.into(),
        create_namespace: attachment.create_namespace.into(),
        cluster_purpose: attachment.cluster_purpose.as_str().into(),
        enforce_capacity: attachment.enforce_capacity.into(),
        router: router(attachment, found),
        router_version: version.into(),
        load_balancer_type: attachment.load_balancer_type.as_str().into(),
        load_balancer_subnet: attachment.load_balancer_subnet.clone().into(),
        image_pull_secret: attachment.image_pull_secret.clone().into(),
        storage_endpoint: attachment.storage_endpoint.clone().into(),
        external_url: attachment.external_url.clone().into(),
        token_issuers: issuers::shown(attachment.token_issuers.clone(), &Attr::Null),
        token_service_accounts: service_accounts::shown(attachment.token_service_accounts.clone(), &Attr::Null),
        force_conflicts: attachment.force_conflicts.into(),
        force_destroy: Attr::Null,
        base_url: attachment.base_url.clone().into(),
        status: status.into(),
        timeouts: tfplugin::Timeouts::default(),
    }
}

/// `router` as configured, and where somebody has changed it by hand, as it is.
fn router(attachment: &Attachment, found: Option<&Found>) -> Attr<RouterBlock> {
    let mut router = attachment.router.clone();
    if let Some(found) = found {
        if let Some(replicas) = found.replicas.filter(|replicas| *replicas != attachment.replicas()) {
            router.get_or_insert_default().replicas = Some(replicas);
        }
        if let Some(image) = found.image.clone().filter(|image| *image != attachment.image) {
            router.get_or_insert_default().image = Some(image);
        }
        if let Some(kind) = found.service_type.filter(|kind| *kind != attachment.service_type()) {
            router.get_or_insert_default().service_type = Some(kind);
        }
    }
    router.as_ref().map(settings::block).into()
}
