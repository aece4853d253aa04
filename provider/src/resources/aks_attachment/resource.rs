//! What terraform's operations do.

use std::collections::BTreeMap;

use serde::Serialize;
use serving::cluster::Ownership;
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::model::AksAttachment;
use super::plan::{planned_id, reachable, workspace_name};
use super::schema::status;
use super::shown::{as_planned, configured_as, only_here, shown};
use super::{issuers, service_accounts, settings};
use crate::cluster::kubernetes::api::Namespace;
use crate::cluster::kubernetes::attachment::{Attachment, default_namespace};
use crate::cluster::kubernetes::install::{Capacity, Found, InstallError, Installer, Made, NotReady};
use crate::cluster::kubernetes::{KubernetesCluster, Site, open};
use crate::cluster::wait::Limits;
use crate::cluster::{Cluster as _, Error, deploy};
use crate::deployment::failure;
use crate::diagnostics::{OrExplain as _, explain, not_as_applied};
use crate::provider::Settings as Provider;
use crate::storage::StorageError;
use crate::workspace::claim::spec_digest;
use crate::workspace::document::ComputeLocation;
use crate::workspace::{Begun, ComputeBody, ComputeId, Revision, WorkspaceBody};

/// `azureml_aks_attachment`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AksAttachmentResource;

/// What adoption compares: everything that was configured, and where.
#[derive(Serialize)]
struct Spec<'a> {
    attachment: &'a Attachment,
    connection: &'a str,
    namespace: &'a str,
}

/// A compute's place in a cluster.
struct Place {
    connection: String,
    namespace: String,
    uid: String,
}

#[async_trait]
impl Resource for AksAttachmentResource {
    type Data = Provider;
    type Model = AksAttachment;
    const NAME: &'static str = "azureml_aks_attachment";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &AksAttachment) -> Result<(), Diagnostics> {
        let mut problems = settings::check(config);
        problems.append(issuers::check(&config.token_issuers));
        problems.append(service_accounts::check(&config.token_service_accounts));
        problems.into_result()
    }

    async fn plan(&self, context: &mut Context<Provider>, plan: &mut Plan<AksAttachment>) -> Result<(), Diagnostics> {
        super::plan::plan(plan, &context.data()).await
    }

    async fn create(
        &self,
        context: &mut Context<Provider>,
        planned: AksAttachment,
    ) -> Result<AksAttachment, Diagnostics> {
        let id = planned_id(&planned)?;
        let failed = || format!("Cannot attach compute {}", id.name);
        reachable(&id.workspace)?;
        let provider = context.data();
        let catalogue = provider.catalogue(&id.workspace).or_explain(failed())?;
        if catalogue.find::<WorkspaceBody>("").await.or_explain(failed())?.is_none() {
            let detail = format!("Workspace {} does not exist. Create it first.", id.workspace);
            return Err(Diagnostic::error(failed(), detail).at_attribute("workspace_id").into());
        }
        let config: AksAttachment = context.config_model()?;
        let wanted = settings::of(&planned, &config, None);
        let namespace = match &planned.namespace {
            Attr::Known(namespace) => namespace.clone(),
            _ => default_namespace(&workspace_name(&id.workspace, &provider).await.unwrap_or_default()),
        };
        let connection = planned.connection.require("connection")?.clone();
        let spec = spec_digest(&Spec { attachment: &wanted, connection: &connection, namespace: &namespace });
        let location = ComputeLocation::Kubernetes {
            connection: connection.clone(),
            namespace: namespace.clone(),
            uid: String::new(),
        };
        let body = ComputeBody { location, configured: wanted.write() };
        let owner = provider.owner.clone();
        let intent = match catalogue.begin(&id.name, &owner, spec, body).await.or_explain(failed())? {
            Begun::Adopted(compute) => return Ok(as_planned(&planned, read(context, &id, &compute).await?)),
            Begun::Intent(intent) => intent,
        };
        let place = Place { connection, namespace, uid: String::new() };
        let installer = match installer(&id, &place, &provider).await {
            Ok(installer) => installer,
            Err(error) => {
                // Nothing was made, so nothing is left for a later run to look after.
                catalogue.abandon(&intent).await;
                return Err(explained(failed(), &error.into()).at_attribute("connection").into());
            }
        };
        if let Err(error) = look_at_capacity(context, &installer, &wanted).await {
            catalogue.abandon(&intent).await;
            return Err(explained(failed(), &error).into());
        }
        let mut begun = AksAttachment { id: id.to_string().into(), ..planned.clone() };
        begun.namespace = place.namespace.as_str().into();
        let uid = match occupy(&installer, &wanted).await {
            Ok(uid) => uid,
            Err((made, error)) => {
                if made == Made::Now {
                    context.save(&begun);
                } else {
                    catalogue.abandon(&intent).await;
                }
                return Err(explained(failed(), &error).into());
            }
        };
        context.save(&begun);
        let location = ComputeLocation::Kubernetes { connection: place.connection, namespace: place.namespace, uid };
        let body = ComputeBody { location, configured: wanted.write() };
        let intent = catalogue.proceed(intent, body.clone()).await.or_explain(failed())?;
        let made = bring_up(context, &id, &installer, wanted).await.map_err(|error| explained(failed(), &error))?;
        let body = ComputeBody { configured: made.write(), ..body };
        let compute = catalogue.commit(intent, body).await.or_explain(failed())?;
        Ok(as_planned(&planned, read(context, &id, &compute).await?))
    }

    async fn read(
        &self,
        context: &mut Context<Provider>,
        state: AksAttachment,
    ) -> Result<Option<AksAttachment>, Diagnostics> {
        let id: ComputeId = state.id.require("id")?.parse().or_explain("Invalid id of an attachment")?;
        let catalogue =
            context.data().catalogue(&id.workspace).or_explain(format!("Cannot read attachment {}", id.name))?;
        let found = catalogue.find::<ComputeBody>(&id.name).await;
        let Some(compute) = found.or_explain(format!("Cannot read attachment {}", id.name))? else { return Ok(None) };
        Ok(Some(configured_as(&state, read(context, &id, &compute).await?)))
    }

    async fn update(
        &self,
        context: &mut Context<Provider>,
        prior: AksAttachment,
        planned: AksAttachment,
    ) -> Result<AksAttachment, Diagnostics> {
        if only_here(&prior) == only_here(&planned) {
            return Ok(planned);
        }
        let id = planned_id(&planned)?;
        let failed = || format!("Cannot update attachment {}", id.name);
        let provider = context.data();
        let catalogue = provider.catalogue(&id.workspace).or_explain(failed())?;
        let compute: Revision<ComputeBody> = catalogue.get(&id.name).await.or_explain(failed())?;
        let before = Attachment::read(&compute.body.configured);
        let mut place = place(&id, &compute.body).or_explain(failed())?;
        place.connection.clone_from(planned.connection.require("connection")?);
        let config: AksAttachment = context.config_model()?;
        let wanted = settings::of(&planned, &config, Some(&before));
        let installer = installer(&id, &place, &provider)
            .await
            .or_explain(failed())
            .map_err(|error| error.at_attribute("connection"))?;
        let owner = installer.owner().await.map_err(|error| explained(failed(), &error.into()))?;
        match owner {
            Some((uid, _)) if uid == place.uid || place.uid.is_empty() => place.uid = uid,
            Some(_) => {
                let error = elsewhere(&id, &installer);
                return Err(explain(failed(), &error).at_attribute("connection").into());
            }
            None => {
                let occupied = occupy(&installer, &wanted).await;
                place.uid = occupied.map_err(|(_, error)| explained(failed(), &error))?;
            }
        }
        if (wanted.cluster_purpose, wanted.enforce_capacity) != (before.cluster_purpose, before.enforce_capacity) {
            look_at_capacity(context, &installer, &wanted).await.map_err(|error| explained(failed(), &error))?;
        }
        let pulls_otherwise = wanted.image_pull_secret != before.image_pull_secret;
        let made = bring_up(context, &id, &installer, wanted).await.map_err(|error| explained(failed(), &error))?;
        if pulls_otherwise {
            redeploy(&id, &installer, &made).await.or_explain(failed())?;
        }
        let location =
            ComputeLocation::Kubernetes { connection: place.connection, namespace: place.namespace, uid: place.uid };
        let body = ComputeBody { location, configured: made.write() };
        let compute = if compute.header.committed {
            catalogue.update(&id.name, |present: &mut ComputeBody| present.clone_from(&body)).await
        } else {
            catalogue.commit(compute, body).await
        };
        let compute = compute.or_explain(failed())?;
        Ok(as_planned(&planned, read(context, &id, &compute).await?))
    }

    async fn delete(&self, context: &mut Context<Provider>, state: AksAttachment) -> Result<(), Diagnostics> {
        let id: ComputeId = state.id.require("id")?.parse().or_explain("Invalid id of an attachment")?;
        let failed = || format!("Cannot detach compute {}", id.name);
        let provider = context.data();
        let catalogue = provider.catalogue(&id.workspace).or_explain(failed())?;
        let Some(compute) = catalogue.find::<ComputeBody>(&id.name).await.or_explain(failed())? else { return Ok(()) };
        let place = place(&id, &compute.body).or_explain(failed())?;
        let installer = installer(&id, &place, &provider).await.or_explain(failed())?;
        let owner = installer.owner().await.map_err(|error| explained(failed(), &error.into()))?;
        let uid = match owner {
            Some((uid, _)) if uid == place.uid => Some(uid),
            Some((uid, found))
                if place.uid.is_empty() && found.workspace == id.workspace.as_str() && found.compute == id.name =>
            {
                Some(uid)
            }
            // Never made, or made by another: then nothing in the namespace is this compute's.
            Some(_) if place.uid.is_empty() => {
                catalogue.remove::<ComputeBody>(&id.name).await.or_explain(failed())?;
                return Ok(());
            }
            Some(_) => {
                return Err(explain(failed(), &elsewhere(&id, &installer)).into());
            }
            None => {
                context.warn(gone(&id, &place, "What is left of it there is removed."));
                None
            }
        };
        let attachment = Attachment::read(&compute.body.configured);
        let cluster = cluster(&id, &installer, &attachment);
        let services = held_services(&cluster).await.or_explain(failed())?;
        if !services.is_empty() && state.force_destroy != Attr::Known(true) {
            let detail = format!(
                "It still runs the services {}. Destroy them first, or set force_destroy and apply that; those that no state \
                 knows can be imported with the id '{id}/services/<name>'.",
                services.join(", ")
            );
            return Err(Diagnostics::error(failed(), detail));
        }
        let limits = limits(context);
        for name in cluster.services().await.or_explain(failed())? {
            cluster.delete_service(&name).await.or_explain(failed())?;
            cluster.forget_service(&name, false).await.or_explain(failed())?;
        }
        let removed = installer.remove(uid, attachment.create_namespace, &limits).await;
        let foreign = removed.map_err(|error| explained(failed(), &error))?;
        if !foreign.is_empty() {
            let detail = format!(
                "The attachment made it, but others have put into it what they may still need: {}. Delete the namespace \
                 yourself when nobody does.",
                foreign.join(", ")
            );
            context.warn(Diagnostic::warning(format!("Namespace {} stays", place.namespace), detail));
        }
        catalogue.remove::<ComputeBody>(&id.name).await.or_explain(failed())?;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Provider>, id: &str) -> Result<AksAttachment, Diagnostics> {
        let id: ComputeId = id.parse().or_explain("Invalid import id of an attachment")?;
        Ok(AksAttachment { id: id.to_string().into(), ..AksAttachment::default() })
    }
}

fn limits(context: &Context<Provider>) -> Limits {
    Limits { deadline: tokio::time::Instant::from_std(context.deadline()), cancel: context.token() }
}

fn place(id: &ComputeId, body: &ComputeBody) -> Result<Place, Error> {
    match &body.location {
        ComputeLocation::Kubernetes { connection, namespace, uid } => {
            Ok(Place { connection: connection.clone(), namespace: namespace.clone(), uid: uid.clone() })
        }
        ComputeLocation::Local { .. } => Err(Error::NotInACluster { compute: id.to_string() }),
    }
}

async fn installer(id: &ComputeId, place: &Place, provider: &Provider) -> Result<Installer, Error> {
    let client = provider.connections.client(&place.connection).await?;
    let namespace = Namespace::new(client, &place.namespace, &place.connection);
    let ownership =
        Ownership { workspace: id.workspace.to_string(), compute: id.name.clone(), owner: provider.owner.clone() };
    Ok(Installer::new(namespace, &id.to_string(), ownership))
}

fn cluster(id: &ComputeId, installer: &Installer, attachment: &Attachment) -> KubernetesCluster {
    let site = Site { workspace: id.workspace.to_string(), image_pull_secret: attachment.image_pull_secret.clone() };
    KubernetesCluster::new(&id.to_string(), installer.namespace().clone(), site)
        .at(attachment.base_url.clone())
        .forcing(attachment.force_conflicts)
}

fn elsewhere(id: &ComputeId, installer: &Installer) -> Error {
    open::elsewhere(&id.to_string(), installer.namespace(), open::FOREIGN)
}

/// Whose the namespace is does not stand there any more.
fn gone(id: &ComputeId, place: &Place, what_then: &str) -> Diagnostic {
    let detail = format!(
        "Nothing says any more whose the namespace {} is. {what_then} If the connection {} leads to another cluster now, \
         the compute still runs in the former one.",
        place.namespace, place.connection
    );
    Diagnostic::warning(format!("Compute {} is not there", id.name), detail)
}

/// Makes the namespace if that is wanted, and makes it the compute's. The error says whether anything was made.
async fn occupy(installer: &Installer, wanted: &Attachment) -> Result<String, (Made, InstallError)> {
    let made = if wanted.create_namespace {
        installer.ensure_namespace().await.map_err(|error| (Made::Before, error.into()))?
    } else {
        Made::Before
    };
    match installer.claim().await {
        Ok(uid) => Ok(uid),
        Err((claimed, error)) => Err((if claimed == Made::Now { claimed } else { made }, error)),
    }
}

async fn look_at_capacity(
    context: &mut Context<Provider>,
    installer: &Installer,
    wanted: &Attachment,
) -> Result<(), InstallError> {
    let warning = match installer.capacity(wanted).await? {
        Capacity::Enough => return Ok(()),
        Capacity::TooSmall(text) => Diagnostic::warning("The cluster is small for its purpose", sentence(&text)),
        Capacity::Unknown(text) => Diagnostic::warning(
            "The cluster's capacity was not checked",
            format!("The identity of the connection may not see the nodes, which is an optional right: {text}."),
        ),
    };
    context.warn(warning);
    Ok(())
}

/// Applies everything and waits for the router. What was found then belongs into the document.
async fn bring_up(
    context: &Context<Provider>,
    id: &ComputeId,
    installer: &Installer,
    wanted: Attachment,
) -> Result<Attachment, InstallError> {
    let limits = limits(context);
    let storage = storage(&context.data(), id, &wanted)?;
    installer.install(&wanted, &storage).await?;
    // What new routers cannot serve without.
    cluster(id, installer, &wanted).restore_access().await?;
    let version = installer.ready(&limits).await?;
    if let (Some(expected), Some(found)) = (&wanted.router_version, &version)
        && expected != found
    {
        let (image, wanted) = (wanted.image, expected.clone());
        return Err(Error::RouterVersion { path: image, found: found.clone(), wanted }.into());
    }
    let base_url = installer.base_url(&wanted, &limits).await?;
    Ok(Attachment { base_url: Some(base_url), version, ..wanted })
}

/// Environment of what reads the workspace's storage in the cluster.
fn storage(
    provider: &Provider,
    id: &ComputeId,
    attachment: &Attachment,
) -> Result<BTreeMap<String, String>, StorageError> {
    // A workspace without a location is a folder of this machine, which a plan refuses.
    let Some(location) = id.workspace.location() else { return Ok(BTreeMap::new()) };
    provider.storage.pod_environment(&location, attachment.storage_endpoint.as_deref())
}

/// Whether an environment has credentials of its own that do not end by themselves. Of whoever has others, an identity or a
/// login, a plan does not tell what pods should have.
fn lasts(environment: &BTreeMap<String, String>) -> bool {
    ["AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY"]
        .iter()
        .any(|name| environment.contains_key(*name))
        && !environment.contains_key("AWS_SESSION_TOKEN")
}

/// Lets the services run as the compute says now.
async fn redeploy(id: &ComputeId, installer: &Installer, attachment: &Attachment) -> Result<(), Error> {
    let cluster = cluster(id, installer, attachment);
    for name in cluster.services().await? {
        cluster.redeploy(&name).await?;
    }
    Ok(())
}

/// Services whose create was finished once. What an interrupted create has left is known to no state and goes with the
/// compute.
async fn held_services(cluster: &KubernetesCluster) -> Result<Vec<String>, Error> {
    let mut held = Vec::new();
    for name in cluster.services().await? {
        let service = cluster.service(&name).await?;
        if service.is_some_and(|service| deploy::committed_before(&service).is_some()) {
            held.push(name);
        }
    }
    Ok(held)
}

/// An attachment as its document and its cluster tell. A cluster that cannot be asked is an error.
async fn read(
    context: &mut Context<Provider>,
    id: &ComputeId,
    compute: &Revision<ComputeBody>,
) -> Result<AksAttachment, Diagnostics> {
    let failed = || format!("Cannot read attachment {}", id.name);
    let attachment = Attachment::read(&compute.body.configured);
    let place = place(id, &compute.body).or_explain(failed())?;
    let installer = installer(id, &place, &context.data()).await.or_explain(failed())?;
    let owner = installer.owner().await.map_err(|error| explained(failed(), &error.into()))?;
    let is_ours = owner.as_ref().map(|(uid, _)| *uid == place.uid || !compute.header.committed);
    let found = match is_ours {
        Some(true) => Some(installer.found().await.or_explain(failed())?),
        Some(false) => {
            return Err(explain(failed(), &elsewhere(id, &installer)).into());
        }
        None => {
            context.warn(gone(id, &place, "If it was emptied by hand, apply installs everything anew."));
            None
        }
    };
    // What cannot be told now, offline or before another apply, is no difference.
    let storage = storage(&context.data(), id, &attachment).ok().filter(lasts);
    let complete = |found: &Found| found.wrong.is_empty() && found.reads_storage_with(storage.as_ref());
    if let Some(found) = found.as_ref().filter(|found| !found.wrong.is_empty()) {
        context.warn(not_as_applied(&format!("Compute {}", id.name), &found.wrong.join("; ")));
    }
    let status = match &found {
        Some(found) if !complete(found) => status::INCOMPLETE,
        Some(found) if found.running.is_none() => status::STOPPED,
        Some(_) if compute.header.committed => status::RUNNING,
        _ => status::INCOMPLETE,
    };
    Ok(shown(id, (&place.connection, &place.namespace), &attachment, found.as_ref(), status))
}

/// An error as a diagnostic. That of routers which do not get ready has the failure's whole story.
fn explained(summary: String, error: &InstallError) -> Diagnostic {
    let InstallError::NotReady(not_ready) = error else { return explain(summary, error) };
    let NotReady { namespace, progress, failure, timed_out } = &**not_ready;
    let mut detail = format!("The router in namespace {namespace} does not get ready: {progress}.");
    if let Some(failure) = failure {
        detail = format!("{detail}\n\n{}", failure::explain(failure));
    }
    if *timed_out {
        detail.push_str("\n\nIf it only needs more time, raise the operation's time in the `timeouts` block.");
    }
    Diagnostic::error(summary, detail).at_attribute("router")
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    format!("{}.", first.chain(characters).collect::<String>().trim_end_matches('.'))
}
