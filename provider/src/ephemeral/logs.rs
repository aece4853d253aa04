//! `azureml_webservice_logs` and `azureml_endpoint_logs`: what replicas logged.

use serving::service::Kind;
use tfplugin::schema::integer_between;
use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Nesting, Object, Opened, Schema,
    async_trait,
};

use crate::cluster::{EndpointId, ReplicaLog, ServiceId};
use crate::data_sources::endpoint::endpoint_id;
use crate::data_sources::webservice::service_id;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::ComputeId;

/// The original's default number of lines.
const LINES: usize = 5_000;
const MAX_LINES: i64 = 100_000;

/// The logs of a webservice.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceLogs;

/// The logs of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointLogs;

/// The logs of a webservice, and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct WebserviceLogsModel {
    pub webservice_id: String,
    pub num_lines: Option<usize>,
    pub replicas: Attr<Vec<ReplicaLines>>,
}

/// The logs of an endpoint, and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointLogsModel {
    pub endpoint_id: String,
    pub num_lines: Option<usize>,
    pub replicas: Attr<Vec<VersionLines>>,
}

/// The log of one replica.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct ReplicaLines {
    pub id: String,
    pub log: String,
}

/// The log of one replica of a version.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct VersionLines {
    pub version: String,
    pub id: String,
    pub log: String,
}

fn num_lines() -> Attribute {
    Attribute::number(format!("Lines of each replica, from 1 to {MAX_LINES}. Default {LINES}."))
        .optional()
        .validate(integer_between(1..=MAX_LINES))
}

fn replicas(object: Object) -> Attribute {
    let object = object
        .attribute("id", Attribute::string("Id of the replica.").computed())
        .attribute("log", Attribute::string("Its last lines.").computed());
    Attribute::nested(Nesting::List, object, "The replicas, in the order of their last line.").computed()
}

#[async_trait]
impl EphemeralResource for WebserviceLogs {
    type Data = Settings;
    type Model = WebserviceLogsModel;
    const NAME: &'static str = "azureml_webservice_logs";

    fn schema(&self) -> Schema {
        Schema::new(
            "The last lines that the replicas of a webservice logged, those of former replicas included. Logs may hold what \
             callers sent, so they never enter plan or state.",
        )
        .attribute("webservice_id", service_id("Id of the webservice."))
        .attribute("num_lines", num_lines())
        .attribute("replicas", replicas(Object::new()))
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: WebserviceLogsModel,
    ) -> Result<Opened<WebserviceLogsModel>, Diagnostics> {
        let id: ServiceId = config.webservice_id.parse().or_explain("Invalid webservice_id")?;
        let logs = read(&context.data(), &id.compute, &id.name, Kind::Webservice, config.num_lines).await?;
        let replicas: Vec<_> = logs.into_iter().map(|log| ReplicaLines { id: log.replica, log: log.text }).collect();
        Ok(WebserviceLogsModel { replicas: replicas.into(), ..config }.into())
    }
}

#[async_trait]
impl EphemeralResource for EndpointLogs {
    type Data = Settings;
    type Model = EndpointLogsModel;
    const NAME: &'static str = "azureml_endpoint_logs";

    fn schema(&self) -> Schema {
        let version = Object::new().attribute("version", Attribute::string("Name of the version.").computed());
        Schema::new(
            "The last lines that the replicas of an endpoint's versions logged, those of former replicas included. Logs may \
             hold what callers sent, so they never enter plan or state.",
        )
        .attribute("endpoint_id", endpoint_id("Id of the endpoint."))
        .attribute("num_lines", num_lines())
        .attribute("replicas", replicas(version))
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: EndpointLogsModel,
    ) -> Result<Opened<EndpointLogsModel>, Diagnostics> {
        let id: EndpointId = config.endpoint_id.parse().or_explain("Invalid endpoint_id")?;
        let logs = read(&context.data(), &id.compute, &id.name, Kind::Endpoint, config.num_lines).await?;
        let lines = |log: ReplicaLog| VersionLines { version: log.version, id: log.replica, log: log.text };
        Ok(EndpointLogsModel { replicas: logs.into_iter().map(lines).collect::<Vec<_>>().into(), ..config }.into())
    }
}

async fn read(
    settings: &Settings,
    compute: &ComputeId,
    name: &str,
    kind: Kind,
    lines: Option<usize>,
) -> Result<Vec<ReplicaLog>, Diagnostics> {
    let (noun, attribute) = match kind {
        Kind::Webservice => ("webservice", "webservice_id"),
        Kind::Endpoint => ("endpoint", "endpoint_id"),
    };
    let failed = || format!("Cannot read the logs of {noun} {name}");
    let missing = |what: String| Diagnostic::error(failed(), what).at_attribute(attribute);
    let cluster = crate::cluster::open(compute, settings).await.or_explain(failed())?;
    let cluster = cluster.ok_or_else(|| missing(format!("There is no compute {compute}.")))?;
    let logs = cluster.logs(name, lines.unwrap_or(LINES)).await.or_explain(failed())?;
    if logs.is_empty() && cluster.service(name).await.or_explain(failed())?.is_none() {
        return Err(missing(format!("There is no {noun} {name} on compute {compute}.")).into());
    }
    Ok(logs)
}
