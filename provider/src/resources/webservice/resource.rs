//! What terraform's operations do.

use serving::admin::ServiceStatus;
use serving::service::Service;
use tfplugin::{Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::model::Webservice;
use super::plan::{planned_id, same_declaration};
use super::{document, plan};
use crate::access::present_keys;
use crate::cluster::deploy::{self, Change};
use crate::cluster::wait::Stopped;
use crate::cluster::{Cluster, Error, ServiceId};
use crate::deployment::failure::{self, Doing};
use crate::deployment::schema::state;
use crate::deployment::service::{self, Claim, catalogue, check_rules, cluster, limits};
use crate::deployment::{self, prepare};
use crate::diagnostics::{OrExplain as _, explain, sentence};
use crate::provider::Settings;

/// `azureml_webservice`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceResource;

#[async_trait]
impl Resource for WebserviceResource {
    type Data = Settings;
    type Model = Webservice;
    const NAME: &'static str = "azureml_webservice";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &Webservice) -> Result<(), Diagnostics> {
        plan::check(config).into_result()
    }

    async fn plan(&self, context: &mut Context<Settings>, plan: &mut Plan<Webservice>) -> Result<(), Diagnostics> {
        plan::plan(plan, &context.data()).await?;
        let Some(planned) = &plan.planned else { return Ok(()) };
        if let Ok(id) = planned_id(planned) {
            let prior = plan.prior.as_ref().map(|prior| &prior.deployment);
            deployment::plan::warn_of_shortage(context, prior, &planned.deployment, &id.compute).await;
        }
        Ok(())
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Webservice) -> Result<Webservice, Diagnostics> {
        let id = planned_id(&planned)?;
        let name = id.name.clone();
        let cluster = cluster(&id.compute, &context.data(), "compute_id").await?;
        let catalogue = catalogue(&id.compute.workspace, &context.data())?;
        let source = prepare::source(&planned.deployment).await?;
        let config: Webservice = context.config_model()?;
        let owner = context.data().owner.clone();
        let limits = limits(context);

        let present = cluster.service(&name).await.or_explain(cannot("create", &name))?;
        let held = catalogue.hold_blobs().await.or_explain(cannot("create", &name))?;
        let template = context
            .bounded(
                "preparing what the replicas need",
                prepare::template(&*cluster, &catalogue, &planned.deployment, &source),
            )
            .await??;
        held.check().or_explain(cannot("create", &name))?;
        let mut wanted = document::service(&id, &owner, &planned, template);
        service::set_spec(&mut wanted);
        check_rules(&wanted)?;
        let service = match service::claim(&format!("Webservice {id}"), &id.to_string(), present, &wanted)? {
            Claim::Adopted(service) => *service,
            Claim::Create(unfinished) => {
                let keys = planned.access.first_keys(&config.access)?;
                let created =
                    deploy::create(&*cluster, &catalogue, wanted, &keys, unfinished.map(|service| *service), &limits);
                match created.await {
                    Ok(service) => service,
                    Err(unfinished) => {
                        if let Some(left) = &unfinished.left {
                            context.save(&shown(&*cluster, &id, left, &planned).await?.0);
                        }
                        return Err(
                            failure::unfinished(&format!("webservice {name}"), Doing::Create, &unfinished).into()
                        );
                    }
                }
            }
        };
        drop(held);
        Ok(shown(&*cluster, &id, &service, &planned).await?.0)
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        state: Webservice,
    ) -> Result<Option<Webservice>, Diagnostics> {
        let id: ServiceId = state.id.require("id")?.parse().or_explain("Invalid id of a webservice")?;
        let name = id.name.clone();
        let failed = || format!("Cannot read webservice {name}");
        let Some(cluster) = crate::cluster::open(&id.compute, &context.data()).await.or_explain(failed())? else {
            return Ok(None);
        };
        let Some(service) = cluster.service(&name).await.or_explain(failed())? else { return Ok(None) };
        if service.kind != serving::service::Kind::Webservice {
            let detail = format!("{id} is an endpoint. Choose another name for the webservice.");
            return Err(Diagnostics::error(failed(), detail));
        }
        if !service::is_meant(&service, &state.created_time) {
            return Ok(None);
        }
        let (model, status) = shown(&*cluster, &id, &service, &state).await?;
        match status {
            Ok(status) => {
                for version in status.versions.values() {
                    failure::warnings(&format!("webservice {name}"), version).for_each(|warning| context.warn(warning));
                }
                if let Some(reason) = status.refused {
                    let detail = format!("It serves the last good one. The reason: {reason}.");
                    context.warn(Diagnostic::warning(format!("The router refuses the document of {name}"), detail));
                }
            }
            // The compute's own plan says it.
            Err(Error::NotRunning { .. }) => {}
            Err(error) => {
                let detail = format!("{} Its attributes are read from its document.", sentence(&error));
                context.warn(Diagnostic::warning(format!("Cannot ask for the replicas of webservice {name}"), detail));
            }
        }
        Ok(Some(model))
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: Webservice,
        planned: Webservice,
    ) -> Result<Webservice, Diagnostics> {
        if same_declaration(&prior, &planned) && planned.state.is_known() {
            // Only what exists in the configuration alone has changed, such as time limits.
            return Ok(planned);
        }
        let id = planned_id(&planned)?;
        let name = id.name.clone();
        let failed = || cannot("update", &name);
        let cluster = cluster(&id.compute, &context.data(), "compute_id").await?;
        let catalogue = catalogue(&id.compute.workspace, &context.data())?;
        let source = prepare::source(&planned.deployment).await?;
        let config: Webservice = context.config_model()?;
        let limits = limits(context);
        let Some(present) = cluster.service(&name).await.or_explain(failed())? else {
            let detail = "It was removed after the plan was made. Run terraform apply again, which creates it.";
            return Err(Diagnostics::error(failed(), detail));
        };
        let held = catalogue.hold_blobs().await.or_explain(failed())?;
        let template = context
            .bounded(
                "preparing what the replicas need",
                prepare::template(&*cluster, &catalogue, &planned.deployment, &source),
            )
            .await??;
        held.check().or_explain(failed())?;
        let mut wanted = document::service(&id, &present.owner, &planned, template);
        carry_over(&present, &mut wanted);
        check_rules(&wanted)?;
        let before = present_keys(&*cluster, &present).await.or_explain(failed())?;
        let keys = planned.access.key_steps(&config.access, before.as_ref())?;
        let change = Change { present, wanted, keys, catalogue: &catalogue };
        let updated = deploy::update(&*cluster, change, &limits).await;
        drop(held);
        match updated {
            Ok(service) => {
                crate::tidy::tidy(&catalogue).await;
                Ok(shown(&*cluster, &id, &service, &planned).await?.0)
            }
            Err(unfinished) => {
                if let Some(left) = &unfinished.left {
                    context.save(&shown(&*cluster, &id, left, &planned).await?.0);
                }
                Err(failure::unfinished(&format!("webservice {name}"), Doing::Update, &unfinished).into())
            }
        }
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Webservice) -> Result<(), Diagnostics> {
        let id: ServiceId = state.id.require("id")?.parse().or_explain("Invalid id of a webservice")?;
        let name = &id.name;
        let Some(cluster) =
            crate::cluster::open(&id.compute, &context.data()).await.or_explain(cannot("delete", name))?
        else {
            return Ok(());
        };
        // A damaged document is removed, too.
        if let Ok(Some(present)) = cluster.service(name).await
            && !service::is_meant(&present, &state.created_time)
        {
            return Ok(());
        }
        match deploy::remove(&*cluster, name, false, &limits(context)).await {
            Ok(()) => {}
            Err(Stopped::Cluster(error)) => return Err(explain(cannot("delete", name), &error).into()),
            Err(reason) => return Err(failure::stopped(&format!("webservice {name}"), Doing::Delete, &reason).into()),
        }
        crate::tidy::tidy(&catalogue(&id.compute.workspace, &context.data())?).await;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Webservice, Diagnostics> {
        let id: ServiceId = id.parse().or_explain("Invalid import id of a webservice")?;
        Ok(Webservice { id: id.to_string().into(), ..Webservice::default() })
    }
}

/// What an update leaves as it is.
fn carry_over(present: &Service, wanted: &mut Service) {
    wanted.schema_version = present.schema_version;
    wanted.unknown.clone_from(&present.unknown);
    let before = service::configured(present);
    service::set_configured(wanted, |configured| {
        configured.spec = before.spec;
        configured.changed = true;
    });
    let name = wanted.name.clone();
    if let (Some(before), Some(after)) = (present.versions.get(&name), wanted.versions.get_mut(&name)) {
        after.sequence = before.sequence;
        after.unknown.clone_from(&before.unknown);
    }
}

fn cannot(verb: &str, name: &str) -> String {
    format!("Cannot {verb} webservice {name}")
}

/// The model of a document, with the versions of its keys and the state of its replicas; and what the router says of them.
async fn shown(
    cluster: &dyn Cluster,
    id: &ServiceId,
    service: &Service,
    known: &Webservice,
) -> Result<(Webservice, Result<ServiceStatus, Error>), Diagnostics> {
    let keys = present_keys(cluster, service).await;
    let keys = keys.or_explain(format!("Cannot read the keys of webservice {}", service.name))?;
    let mut model = document::webservice(id, service, keys.as_ref(), known);
    (model.scoring_uri, model.swagger_uri) =
        service::uris(cluster, service, (&known.scoring_uri, &known.swagger_uri)).await?;
    let status = cluster.observe(&id.name).await.map(Option::unwrap_or_default);
    model.state = match &status {
        Ok(status) => document::observed_state(service, status).into(),
        Err(_) if !service.committed => state::TRANSITIONING.into(),
        // Nothing is known of the replicas; what was seen last stays.
        Err(error) if !matches!(error, Error::NotRunning { .. }) && known.state.is_known() => known.state.clone(),
        Err(_) => state::UNHEALTHY.into(),
    };
    Ok((model, status))
}
