//! What terraform's operations do.

use std::sync::Arc;

use serving::admin::ServiceStatus;
use serving::service::{Keys, Service};
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, OrDiagnostic as _, Plan, Resource, Schema, ValidateContext, async_trait,
};

use super::failure::{self, Doing};
use super::model::Webservice;
use super::plan::{planned_id, same_declaration};
use super::schema::state;
use super::{checks, document, plan, prepare};
use crate::cluster::deploy::{self, Change};
use crate::cluster::keys::{self, Wanted};
use crate::cluster::wait::{Limits, Stopped};
use crate::cluster::{Cluster, Error, ServiceId};
use crate::diagnostics::{OrExplain as _, explain, sentence};
use crate::provider::Settings;
use crate::workspace::Catalogue;

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
        checks::configuration(config).into_result()
    }

    async fn plan(&self, _: &mut Context<Settings>, plan: &mut Plan<Webservice>) -> Result<(), Diagnostics> {
        plan::plan(plan).await
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Webservice) -> Result<Webservice, Diagnostics> {
        let id = planned_id(&planned)?;
        let name = id.name.clone();
        let cluster = cluster(&id).await?;
        let catalogue = open(&id)?;
        let source = prepare::source(&planned).await?;
        let (primary, secondary) = wanted_keys(context, &planned)?;
        let owner = context.data().owner.clone();
        let limits = limits(context);

        let present = cluster.service(&name).await.or_explain(cannot("create", &name))?;
        let held = catalogue.hold_blobs().await.or_explain(cannot("create", &name))?;
        let template = context
            .bounded("preparing what the replicas need", prepare::template(&catalogue, &planned, &source))
            .await??;
        let mut wanted = document::service(&id, &owner, &planned, template);
        let spec = document::spec(&wanted);
        document::set_configured(&mut wanted, |configured| configured.spec = Some(spec));
        check_rules(&wanted)?;
        let service = match claim(&id, present, &owner, &wanted)? {
            Claim::Adopted(service) => *service,
            Claim::Create(unfinished) => {
                let keys = keys::first(&primary, &secondary).or_diagnostic("Cannot make keys")?;
                let created =
                    deploy::create(&*cluster, &catalogue, wanted, &keys, unfinished.map(|service| *service), &limits);
                match created.await {
                    Ok(service) => service,
                    Err(unfinished) => {
                        if let Some(left) = &unfinished.left {
                            context.save(&shown(&*cluster, &id, left, &planned).await?.0);
                        }
                        return Err(failure::unfinished(&name, Doing::Create, &unfinished).into());
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
        let Some(cluster) = crate::cluster::open(&id.compute).await.or_explain(failed())? else { return Ok(None) };
        let Some(service) = cluster.service(&name).await.or_explain(failed())? else { return Ok(None) };
        if service.kind != serving::service::Kind::Webservice {
            let detail = format!("{id} is an endpoint. Choose another name for the webservice.");
            return Err(Diagnostics::error(failed(), detail));
        }
        let (model, status) = shown(&*cluster, &id, &service, &state).await?;
        match status {
            Ok(status) => {
                for failure in status.versions.values().filter_map(|version| version.failure.as_ref()) {
                    let summary = format!("Replicas of webservice {name} fail");
                    context.warn(Diagnostic::warning(summary, failure::explain(failure)));
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
        let cluster = cluster(&id).await?;
        let catalogue = open(&id)?;
        let source = prepare::source(&planned).await?;
        let (primary, secondary) = wanted_keys(context, &planned)?;
        let limits = limits(context);
        let Some(present) = cluster.service(&name).await.or_explain(failed())? else {
            let detail = "It was removed after the plan was made. Run terraform apply again, which creates it.";
            return Err(Diagnostics::error(failed(), detail));
        };
        let held = catalogue.hold_blobs().await.or_explain(failed())?;
        let template = context
            .bounded("preparing what the replicas need", prepare::template(&catalogue, &planned, &source))
            .await??;
        let mut wanted = document::service(&id, &present.owner, &planned, template);
        carry_over(&present, &mut wanted);
        check_rules(&wanted)?;
        let steps = match present_keys(&*cluster, &present).await? {
            Some(keys) => keys::rotate(&keys, &primary, &secondary, keys::Overlap::seconds(0)),
            None => keys::first(&primary, &secondary).map(|keys| vec![keys]),
        };
        let keys = steps.or_diagnostic("Cannot make keys")?;
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
                Err(failure::unfinished(&name, Doing::Update, &unfinished).into())
            }
        }
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Webservice) -> Result<(), Diagnostics> {
        let id: ServiceId = state.id.require("id")?.parse().or_explain("Invalid id of a webservice")?;
        let name = &id.name;
        let Some(cluster) = crate::cluster::open(&id.compute).await.or_explain(cannot("delete", name))? else {
            return Ok(());
        };
        match deploy::remove(&*cluster, name, false, &limits(context)).await {
            Ok(()) => {}
            Err(Stopped::Cluster(error)) => return Err(explain(cannot("delete", name), &error).into()),
            Err(reason) => return Err(failure::stopped(name, Doing::Delete, &reason).into()),
        }
        crate::tidy::tidy(&open(&id)?).await;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Webservice, Diagnostics> {
        let id: ServiceId = id.parse().or_explain("Invalid import id of a webservice")?;
        Ok(Webservice { id: id.to_string().into(), ..Webservice::default() })
    }
}

/// An existing document, seen by a create.
enum Claim {
    /// It is what this create was to make.
    Adopted(Box<Service>),
    /// There is none, or an unfinished one of this owner.
    Create(Option<Box<Service>>),
}

/// Whether a create may go on. `wanted` has its specification's digest.
fn claim(id: &ServiceId, present: Option<Service>, owner: &str, wanted: &Service) -> Result<Claim, Diagnostics> {
    let Some(present) = present else { return Ok(Claim::Create(None)) };
    if present.owner == owner && present.kind == wanted.kind {
        let before = document::configured(&present);
        if deploy::committed_before(&present).is_none() {
            return Ok(Claim::Create(Some(Box::new(present))));
        }
        if present.committed && !before.changed && before.spec == document::configured(wanted).spec {
            return Ok(Claim::Adopted(Box::new(present)));
        }
    }
    let detail = format!(
        "It belongs to {}. Choose another name, or take it over with: terraform import <address> '{id}'",
        present.owner
    );
    Err(Diagnostic::error(format!("Webservice {id} already exists"), detail).at_attribute("name").into())
}

/// What an update leaves as it is.
fn carry_over(present: &Service, wanted: &mut Service) {
    wanted.schema_version = present.schema_version;
    wanted.unknown.clone_from(&present.unknown);
    let before = document::configured(present);
    document::set_configured(wanted, |configured| {
        configured.spec = before.spec;
        configured.changed = true;
    });
    let name = wanted.name.clone();
    if let (Some(before), Some(after)) = (present.versions.get(&name), wanted.versions.get_mut(&name)) {
        after.sequence = before.sequence;
        after.unknown.clone_from(&before.unknown);
    }
}

fn check_rules(service: &Service) -> Result<(), Diagnostics> {
    serving::validate::service(service).iter().map(checks::violation).collect::<Diagnostics>().into_result()
}

fn cannot(verb: &str, name: &str) -> String {
    format!("Cannot {verb} webservice {name}")
}

fn limits(context: &Context<Settings>) -> Limits {
    Limits { deadline: tokio::time::Instant::from_std(context.deadline()), cancel: context.token() }
}

fn open(id: &ServiceId) -> Result<Catalogue, Diagnostics> {
    Ok(Catalogue::open(&id.compute.workspace).or_explain(format!("Cannot open workspace {}", id.compute.workspace))?)
}

async fn cluster(id: &ServiceId) -> Result<Arc<dyn Cluster>, Diagnostics> {
    let found = crate::cluster::open(&id.compute).await;
    let found = found.or_explain(format!("Cannot use compute {}", id.compute.name))?;
    found.ok_or_else(|| {
        Diagnostic::error(
            format!("Compute {} does not exist", id.compute),
            "Create it, or name one that exists, such as azureml_local_compute.<name>.id.",
        )
        .at_attribute("compute_id")
        .into()
    })
}

/// The model of a document, with the versions of its keys and the state of its replicas; and what the router says of them.
async fn shown(
    cluster: &dyn Cluster,
    id: &ServiceId,
    service: &Service,
    known: &Webservice,
) -> Result<(Webservice, Result<ServiceStatus, Error>), Diagnostics> {
    let mut model = document::webservice(id, service, known);
    match cluster.base_url().await {
        Ok(url) => (model.scoring_uri, model.swagger_uri) = document::uris(&url, &id.name),
        // Without a configuration nobody knows where the router will answer; the compute's next apply decides it.
        Err(Error::NotRunning { .. }) => {}
        Err(error) => Err(error).or_explain(format!("Cannot tell the address of {}", id.name))?,
    }
    let keys = present_keys(cluster, service).await?;
    let version = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    // 0 where the keys are gone, which the next plan repairs.
    model.primary_key_version = keys.as_ref().map_or(0, |keys| version(keys.primary.version)).into();
    model.secondary_key_version = keys.as_ref().map_or(0, |keys| version(keys.secondary.version)).into();
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

async fn present_keys(cluster: &dyn Cluster, service: &Service) -> Result<Option<Keys>, Diagnostics> {
    let Some(generation) = service.auth.keys else { return Ok(None) };
    let keys = cluster.keys(&service.name, generation).await;
    Ok(keys.or_explain(format!("Cannot read the keys of webservice {}", service.name))?)
}

/// The keys that a configuration wants. The keys themselves are in the configuration only.
fn wanted_keys(context: &Context<Settings>, planned: &Webservice) -> Result<(Wanted, Wanted), Diagnostics> {
    let config: Webservice = context.config_model()?;
    let version = |version: &Attr<i64>| version.unwrap_or(1).try_into().unwrap_or(1);
    Ok((
        Wanted { version: version(&planned.primary_key_version), key: config.primary_key_wo.known() },
        Wanted { version: version(&planned.secondary_key_version), key: config.secondary_key_wo.known() },
    ))
}
