//! What terraform's operations do.

use serving::service::{Kind, Service};
use tfplugin::{Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::model::Endpoint;
use super::plan::{planned_id, same_declaration};
use super::{document, plan};
use crate::access::present_keys;
use crate::cluster::wait::Stopped;
use crate::cluster::{Cluster, EndpointId, deploy, endpoint};
use crate::deployment::failure::{self, Doing};
use crate::deployment::service::{self, Claim, catalogue, check_rules, cluster, limits};
use crate::diagnostics::{OrExplain as _, explain};
use crate::provider::Settings;

/// `azureml_endpoint`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointResource;

#[async_trait]
impl Resource for EndpointResource {
    type Data = Settings;
    type Model = Endpoint;
    const NAME: &'static str = "azureml_endpoint";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &Endpoint) -> Result<(), Diagnostics> {
        plan::check(config).into_result()
    }

    async fn plan(&self, _: &mut Context<Settings>, plan: &mut Plan<Endpoint>) -> Result<(), Diagnostics> {
        plan::plan(plan)
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Endpoint) -> Result<Endpoint, Diagnostics> {
        let id = planned_id(&planned)?;
        let config: Endpoint = context.config_model()?;
        let cluster = cluster(&id.compute, &context.data(), "compute_id").await?;
        let catalogue = catalogue(&id.compute.workspace, &context.data())?;
        let present = cluster.service(&id.name).await.or_explain(cannot("create", &id.name))?;
        let mut wanted = document::service(&id, &context.data().owner, &planned);
        service::set_spec(&mut wanted);
        check_rules(&wanted)?;
        let service = match service::claim(&format!("Endpoint {id}"), &id.to_string(), present, &wanted)? {
            Claim::Adopted(service) => *service,
            Claim::Create(unfinished) => {
                let keys = planned.access.first_keys(&config.access)?;
                let unfinished = unfinished.map(|service| *service);
                let created = deploy::create(&*cluster, &catalogue, wanted, &keys, unfinished, &limits(context)).await;
                match created {
                    Ok(service) => service,
                    Err(unfinished) => {
                        if let Some(left) = &unfinished.left {
                            context.save(&shown(&*cluster, &id, left, &planned).await?);
                        }
                        return Err(failure::unfinished(&what(&id), Doing::Create, &unfinished).into());
                    }
                }
            }
        };
        shown(&*cluster, &id, &service, &planned).await
    }

    async fn read(&self, context: &mut Context<Settings>, state: Endpoint) -> Result<Option<Endpoint>, Diagnostics> {
        let id: EndpointId = state.id.require("id")?.parse().or_explain("Invalid id of an endpoint")?;
        let failed = || cannot("read", &id.name);
        let Some(cluster) = crate::cluster::open(&id.compute, &context.data()).await.or_explain(failed())? else {
            return Ok(None);
        };
        let Some(service) = cluster.service(&id.name).await.or_explain(failed())? else { return Ok(None) };
        if service.kind != Kind::Endpoint {
            let detail = format!("{} is a webservice on that compute. Choose another name for the endpoint.", id.name);
            return Err(Diagnostics::error(failed(), detail));
        }
        if !service::is_meant(&service, &state.created_time) {
            return Ok(None);
        }
        if let Ok(Some(status)) = cluster.observe(&id.name).await
            && let Some(reason) = status.refused
        {
            let detail = format!("It serves the last good one. The reason: {reason}.");
            context.warn(Diagnostic::warning(format!("The router refuses the document of {}", what(&id)), detail));
        }
        shown(&*cluster, &id, &service, &state).await.map(Some)
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: Endpoint,
        planned: Endpoint,
    ) -> Result<Endpoint, Diagnostics> {
        if same_declaration(&prior, &planned) {
            // Only what exists in the configuration alone has changed, such as time limits.
            return Ok(planned);
        }
        let id = planned_id(&planned)?;
        let config: Endpoint = context.config_model()?;
        let cluster = cluster(&id.compute, &context.data(), "compute_id").await?;
        let catalogue = catalogue(&id.compute.workspace, &context.data())?;
        let present = cluster.service(&id.name).await.or_explain(cannot("update", &id.name))?;
        let Some(present) = present.filter(|service| service.kind == Kind::Endpoint) else {
            let detail = "It was removed after the plan was made. Run terraform apply again, which creates it.";
            return Err(Diagnostics::error(cannot("update", &id.name), detail));
        };
        let wanted = document::service(&id, &present.owner, &planned);
        check_rules(&wanted)?;
        let before = present_keys(&*cluster, &present).await.or_explain(cannot("update", &id.name))?;
        let keys = planned.access.key_steps(&config.access, before.as_ref())?;
        let declare = |service: &mut Service| document::declare(service, &wanted);
        let updated = endpoint::update(&*cluster, &catalogue, &id.name, &keys, declare, &limits(context)).await;
        match updated {
            Ok(service) => shown(&*cluster, &id, &service, &planned).await,
            Err(reason) => {
                if let Ok(Some(left)) = cluster.service(&id.name).await {
                    context.save(&shown(&*cluster, &id, &left, &planned).await?);
                }
                Err(failure::stopped(&what(&id), Doing::Update, &reason).into())
            }
        }
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Endpoint) -> Result<(), Diagnostics> {
        let id: EndpointId = state.id.require("id")?.parse().or_explain("Invalid id of an endpoint")?;
        let failed = || cannot("delete", &id.name);
        let Some(cluster) = crate::cluster::open(&id.compute, &context.data()).await.or_explain(failed())? else {
            return Ok(());
        };
        let present = cluster.service(&id.name).await.or_explain(failed())?;
        if present.as_ref().is_some_and(|service| !service::is_meant(service, &state.created_time)) {
            return Ok(());
        }
        if let Some(service) = present
            && !state.force_destroy.unwrap_or(false)
        {
            let lives = service.versions.iter().filter(|(_, version)| version.retiring_until.is_none());
            let versions: Vec<&str> = lives.map(|(name, _)| name.as_str()).collect();
            if !versions.is_empty() {
                let detail = format!(
                    "It still has the versions {}, which are not part of this run. Destroy them where they were made, or \
                     apply force_destroy = true first, which destroys them with the endpoint.",
                    versions.join(", ")
                );
                return Err(Diagnostics::error(failed(), detail));
            }
        }
        match deploy::remove(&*cluster, &id.name, false, &limits(context)).await {
            Ok(()) => {}
            Err(Stopped::Cluster(error)) => return Err(explain(failed(), &error).into()),
            Err(reason) => return Err(failure::stopped(&what(&id), Doing::Delete, &reason).into()),
        }
        crate::tidy::tidy(&catalogue(&id.compute.workspace, &context.data())?).await;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Endpoint, Diagnostics> {
        let id: EndpointId = id.parse().or_explain("Invalid import id of an endpoint")?;
        Ok(Endpoint { id: id.to_string().into(), ..Endpoint::default() })
    }
}

fn what(id: &EndpointId) -> String {
    format!("endpoint {}", id.name)
}

fn cannot(verb: &str, name: &str) -> String {
    format!("Cannot {verb} endpoint {name}")
}

/// The model of a document, with the versions of its keys.
async fn shown(
    cluster: &dyn Cluster,
    id: &EndpointId,
    service: &Service,
    known: &Endpoint,
) -> Result<Endpoint, Diagnostics> {
    let keys = present_keys(cluster, service).await;
    let keys = keys.or_explain(format!("Cannot read the keys of {}", what(id)))?;
    let mut model = document::endpoint(id, service, keys.as_ref(), known);
    (model.scoring_uri, model.swagger_uri) =
        service::uris(cluster, service, (&known.scoring_uri, &known.swagger_uri)).await?;
    Ok(model)
}
