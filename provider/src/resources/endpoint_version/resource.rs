//! What terraform's operations do.

use serving::service::{Kind, Service, Template, Version};
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::model::EndpointVersion;
use super::plan::{planned_id, same_declaration};
use super::{document, plan};
use crate::cluster::deploy::Unfinished;
use crate::cluster::endpoint::{self, VersionChange};
use crate::cluster::{Cluster, EndpointVersionId, Error};
use crate::deployment::failure::{self, Doing};
use crate::deployment::service::{catalogue, cluster, limits};
use crate::deployment::{self, prepare};
use crate::diagnostics::{OrExplain as _, explain, sentence};
use crate::provider::Settings;
use crate::workspace::Catalogue;

/// `azureml_endpoint_version`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointVersionResource;

#[async_trait]
impl Resource for EndpointVersionResource {
    type Data = Settings;
    type Model = EndpointVersion;
    const NAME: &'static str = "azureml_endpoint_version";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &EndpointVersion) -> Result<(), Diagnostics> {
        plan::check(config).into_result()
    }

    async fn plan(&self, context: &mut Context<Settings>, plan: &mut Plan<EndpointVersion>) -> Result<(), Diagnostics> {
        plan::plan(plan, &context.data()).await?;
        let Some(planned) = &plan.planned else { return Ok(()) };
        if let Ok(id) = planned_id(planned) {
            let prior = plan.prior.as_ref().map(|prior| &prior.deployment);
            deployment::plan::warn_of_shortage(context, prior, &planned.deployment, &id.endpoint.compute).await;
        }
        Ok(())
    }

    async fn create(
        &self,
        context: &mut Context<Settings>,
        planned: EndpointVersion,
    ) -> Result<EndpointVersion, Diagnostics> {
        let id = planned_id(&planned)?;
        let cluster = cluster(&id.endpoint.compute, &context.data(), "endpoint_id").await?;
        let catalogue = catalogue(&id.endpoint.compute.workspace, &context.data())?;
        let service = document_of(&*cluster, &id, "create").await?;
        let held = catalogue.hold_blobs().await.or_explain(cannot("create", &id))?;
        let template = template(context, &*cluster, &catalogue, &planned).await?;
        held.check().or_explain(cannot("create", &id))?;
        let wanted = document::created(&planned, template, &context.data().owner);
        let is_adopted = is_adopted(&id, service.versions.get(&id.name), &wanted)?;
        let change = change(&id, &planned, wanted, &catalogue);
        let created = if is_adopted {
            endpoint::adopt_version(&*cluster, &change, &limits(context)).await
        } else {
            endpoint::create_version(&*cluster, &change, &limits(context)).await
        };
        drop(held);
        finish(context, &*cluster, &id, created, planned, Doing::Create).await
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        state: EndpointVersion,
    ) -> Result<Option<EndpointVersion>, Diagnostics> {
        let id: EndpointVersionId = state.id.require("id")?.parse().or_explain("Invalid id of a version")?;
        let failed = || cannot("read", &id);
        let Some(cluster) = crate::cluster::open(&id.endpoint.compute, &context.data()).await.or_explain(failed())?
        else {
            return Ok(None);
        };
        let service = cluster.service(&id.endpoint.name).await.or_explain(failed())?;
        let Some(service) = service.filter(|service| service.kind == Kind::Endpoint) else { return Ok(None) };
        // One that is destroyed may serve on, until the traffic is another.
        let present = service.versions.get(&id.name).filter(|version| version.retiring_until.is_none());
        if present.is_none_or(|version| !document::is_meant(version, &state)) {
            return Ok(None);
        }
        match cluster.observe(&id.endpoint.name).await {
            Ok(status) => {
                let version = status.and_then(|mut status| status.versions.remove(&id.name));
                if let Some(version) = version {
                    failure::warnings(&what(&id), &version).for_each(|warning| context.warn(warning));
                }
            }
            // The compute's own plan says it.
            Err(Error::NotRunning { .. }) => {}
            Err(error) => {
                let detail = format!("{} Its attributes are read from its document.", sentence(&error));
                context.warn(Diagnostic::warning(format!("Cannot ask for the replicas of {}", what(&id)), detail));
            }
        }
        shown(&*cluster, &id, &service, &state).await
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: EndpointVersion,
        planned: EndpointVersion,
    ) -> Result<EndpointVersion, Diagnostics> {
        if same_declaration(&prior, &planned) && planned.state.is_known() {
            // Only what exists in the configuration alone has changed, such as time limits.
            return Ok(planned);
        }
        let id = planned_id(&planned)?;
        let cluster = cluster(&id.endpoint.compute, &context.data(), "endpoint_id").await?;
        let catalogue = catalogue(&id.endpoint.compute.workspace, &context.data())?;
        let service = document_of(&*cluster, &id, "update").await?;
        let Some(present) = service.versions.get(&id.name) else {
            let detail = "It was removed after the plan was made. Run terraform apply again, which creates it.";
            return Err(Diagnostics::error(cannot("update", &id), detail));
        };
        let held = catalogue.hold_blobs().await.or_explain(cannot("update", &id))?;
        let template = template(context, &*cluster, &catalogue, &planned).await?;
        held.check().or_explain(cannot("update", &id))?;
        let wanted = document::updated(&planned, template, present);
        let change = change(&id, &planned, wanted, &catalogue);
        let updated = endpoint::update_version(&*cluster, &change, &limits(context)).await;
        drop(held);
        let model = finish(context, &*cluster, &id, updated, planned, Doing::Update).await?;
        crate::tidy::tidy(&catalogue).await;
        Ok(model)
    }

    async fn delete(&self, context: &mut Context<Settings>, state: EndpointVersion) -> Result<(), Diagnostics> {
        let id: EndpointVersionId = state.id.require("id")?.parse().or_explain("Invalid id of a version")?;
        let compute = &id.endpoint.compute;
        let Some(cluster) = crate::cluster::open(compute, &context.data()).await.or_explain(cannot("delete", &id))?
        else {
            return Ok(());
        };
        let catalogue = catalogue(&compute.workspace, &context.data())?;
        let limits = limits(context);
        let is_meant = |version: &Version| document::is_meant(version, &state);
        endpoint::remove_version(&*cluster, &catalogue, (&id.endpoint.name, &id.name), is_meant, &limits)
            .await
            .map_err(|reason| failure::stopped(&what(&id), Doing::Delete, &reason))?;
        crate::tidy::tidy(&catalogue).await;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<EndpointVersion, Diagnostics> {
        let id: EndpointVersionId = id.parse().or_explain("Invalid import id of a version")?;
        Ok(EndpointVersion { id: id.to_string().into(), ..EndpointVersion::default() })
    }
}

fn what(id: &EndpointVersionId) -> String {
    format!("version {} of endpoint {}", id.name, id.endpoint.name)
}

fn cannot(verb: &str, id: &EndpointVersionId) -> String {
    format!("Cannot {verb} {}", what(id))
}

/// The endpoint's document, which must be there.
async fn document_of(cluster: &dyn Cluster, id: &EndpointVersionId, verb: &str) -> Result<Service, Diagnostics> {
    let found = endpoint::find(cluster, &id.endpoint.name).await;
    found.map_err(|error| explain(cannot(verb, id), &error).into())
}

/// Makes what replicas are made of. Call with blobs held.
async fn template(
    context: &Context<Settings>,
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    planned: &EndpointVersion,
) -> Result<Template, Diagnostics> {
    let source = prepare::source(&planned.deployment).await?;
    let prepared = prepare::template(cluster, catalogue, &planned.deployment, &source);
    context.bounded("preparing what the replicas need", prepared).await?
}

/// Whether what is there is what this create was to make; an error if it is somebody else's. What is destroyed already, or
/// an unfinished create of the same owner, may be overwritten.
fn is_adopted(id: &EndpointVersionId, present: Option<&Version>, wanted: &Version) -> Result<bool, Diagnostics> {
    let Some(present) = present.filter(|present| present.retiring_until.is_none()) else { return Ok(false) };
    let (before, asked) = (document::configured(present), document::configured(wanted));
    if before.owner == asked.owner {
        if !present.committed {
            return Ok(false);
        }
        if present.former.is_none() && !before.changed && before.spec == asked.spec {
            return Ok(true);
        }
    }
    let detail = format!(
        "It belongs to {}. Choose another name, or take it over with: terraform import <address> '{id}'",
        before.owner
    );
    Err(Diagnostic::error(format!("Version {id} already exists"), detail).at_attribute("name").into())
}

fn change<'a>(
    id: &'a EndpointVersionId,
    planned: &EndpointVersion,
    wanted: Version,
    catalogue: &'a Catalogue,
) -> VersionChange<'a> {
    VersionChange {
        endpoint: &id.endpoint.name,
        name: &id.name,
        wanted,
        declares_traffic: !planned.traffic_percentile.is_null() || planned.is_default == Attr::Known(true),
        catalogue,
    }
}

/// The outcome of a create or an update, and what is in the state after it.
async fn finish(
    context: &mut Context<Settings>,
    cluster: &dyn Cluster,
    id: &EndpointVersionId,
    outcome: Result<Service, Unfinished>,
    planned: EndpointVersion,
    doing: Doing,
) -> Result<EndpointVersion, Diagnostics> {
    match outcome {
        Ok(service) => Ok(shown(cluster, id, &service, &planned).await?.unwrap_or(planned)),
        Err(unfinished) => {
            if let Some(left) = &unfinished.left
                && let Some(model) = shown(cluster, id, left, &planned).await?
            {
                context.save(&model);
            }
            Err(failure::unfinished(&what(id), doing, &unfinished).into())
        }
    }
}

/// The model of a version in a document, with the state of its replicas.
async fn shown(
    cluster: &dyn Cluster,
    id: &EndpointVersionId,
    service: &Service,
    known: &EndpointVersion,
) -> Result<Option<EndpointVersion>, Diagnostics> {
    let Some(mut model) = document::version(id, service, known) else { return Ok(None) };
    let is_finished = || service.versions.get(&id.name).is_some_and(|version| document::is_finished(service, version));
    model.state = match cluster.observe(&id.endpoint.name).await {
        Ok(status) => document::observed_state(service, &id.name, status.as_ref()),
        // Nothing is known of the replicas; what was seen last stays.
        Err(error) if !matches!(error, Error::NotRunning { .. }) && known.state.is_known() && is_finished() => {
            known.state.clone()
        }
        Err(_) => document::observed_state(service, &id.name, None),
    };
    Ok(Some(model))
}
