//! What terraform's operations do.

use serving::service::{Kind, Service};
use serving::traffic::Assignment;
use tfplugin::{Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::model::EndpointTraffic;
use super::plan::planned_id;
use super::{document, plan};
use crate::cluster::wait::Stopped;
use crate::cluster::{EndpointId, TrafficId, endpoint};
use crate::deployment::failure::{self, Doing};
use crate::deployment::service::{catalogue, cluster, limits};
use crate::diagnostics::{OrExplain as _, explain};
use crate::provider::Settings;

/// `azureml_endpoint_traffic`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointTrafficResource;

#[async_trait]
impl Resource for EndpointTrafficResource {
    type Data = Settings;
    type Model = EndpointTraffic;
    const NAME: &'static str = "azureml_endpoint_traffic";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &EndpointTraffic) -> Result<(), Diagnostics> {
        plan::check(config).into_result()
    }

    async fn plan(&self, _: &mut Context<Settings>, plan: &mut Plan<EndpointTraffic>) -> Result<(), Diagnostics> {
        plan::plan(plan);
        Ok(())
    }

    async fn create(
        &self,
        context: &mut Context<Settings>,
        planned: EndpointTraffic,
    ) -> Result<EndpointTraffic, Diagnostics> {
        plan::check(&planned).into_result()?;
        let id = planned_id(&planned)?;
        let wanted = document::assignment(&planned);
        let cluster = cluster(&id.0.compute, &context.data(), "endpoint_id").await?;
        let service = endpoint::find(&*cluster, &id.0.name).await;
        let service = service.map_err(|error| explain(cannot("create", &id.0), &error))?;
        if service.assignment.as_ref().is_some_and(|present| *present != wanted) {
            let detail = format!(
                "Another azureml_endpoint_traffic declares it. Remove that one, or take it over with: terraform import \
                 <address> '{id}'"
            );
            return Err(Diagnostic::error(
                format!("The traffic of endpoint {} is declared already", id.0.name),
                detail,
            )
            .at_attribute("endpoint_id")
            .into());
        }
        let service = assign(context, &id.0, Some(&wanted), Doing::Create).await?;
        Ok(document::traffic(&id, &service, &planned).unwrap_or(planned))
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        state: EndpointTraffic,
    ) -> Result<Option<EndpointTraffic>, Diagnostics> {
        let id: TrafficId = state.id.require("id")?.parse().or_explain("Invalid id of an endpoint's traffic")?;
        let failed = || cannot("read", &id.0);
        let Some(cluster) = crate::cluster::open(&id.0.compute, &context.data()).await.or_explain(failed())? else {
            return Ok(None);
        };
        let service = cluster.service(&id.0.name).await.or_explain(failed())?;
        let Some(service) = service.filter(|service| service.kind == Kind::Endpoint) else { return Ok(None) };
        Ok(document::traffic(&id, &service, &state))
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        _: EndpointTraffic,
        planned: EndpointTraffic,
    ) -> Result<EndpointTraffic, Diagnostics> {
        plan::check(&planned).into_result()?;
        let id = planned_id(&planned)?;
        let wanted = document::assignment(&planned);
        let service = assign(context, &id.0, Some(&wanted), Doing::Update).await?;
        Ok(document::traffic(&id, &service, &planned).unwrap_or(planned))
    }

    async fn delete(&self, context: &mut Context<Settings>, state: EndpointTraffic) -> Result<(), Diagnostics> {
        let id: TrafficId = state.id.require("id")?.parse().or_explain("Invalid id of an endpoint's traffic")?;
        let Some(cluster) =
            crate::cluster::open(&id.0.compute, &context.data()).await.or_explain(cannot("delete", &id.0))?
        else {
            return Ok(());
        };
        let service = cluster.service(&id.0.name).await.or_explain(cannot("delete", &id.0))?;
        if service.is_none_or(|service| service.assignment.is_none()) {
            return Ok(());
        }
        assign(context, &id.0, None, Doing::Delete).await.map(drop)
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<EndpointTraffic, Diagnostics> {
        let id: TrafficId = id.parse().or_explain("Invalid import id of an endpoint's traffic")?;
        Ok(EndpointTraffic { id: id.to_string().into(), ..EndpointTraffic::default() })
    }
}

fn cannot(verb: &str, id: &EndpointId) -> String {
    format!("Cannot {verb} the traffic of endpoint {}", id.name)
}

async fn assign(
    context: &Context<Settings>,
    id: &EndpointId,
    assignment: Option<&Assignment>,
    doing: Doing,
) -> Result<Service, Diagnostics> {
    let cluster = cluster(&id.compute, &context.data(), "endpoint_id").await?;
    let catalogue = catalogue(&id.compute.workspace, &context.data())?;
    let assigned = endpoint::assign(&*cluster, &catalogue, &id.name, assignment, &limits(context)).await;
    let what = format!("the traffic of endpoint {}", id.name);
    let service = assigned.map_err(|reason: Stopped| failure::stopped(&what, doing, &reason))?;
    crate::tidy::tidy(&catalogue).await;
    Ok(service)
}
