//! `azureml_webservice_logs`: what the replicas of a service logged.

use tfplugin::schema::integer_between;
use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Nesting, Object, Opened, Schema,
    async_trait,
};

use crate::cluster::ServiceId;
use crate::data_sources::webservice::service_id;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;

/// The original's default number of lines.
const LINES: usize = 5_000;
const MAX_LINES: i64 = 100_000;

/// The ephemeral resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceLogs;

/// The logs of a service.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct LogsModel {
    pub webservice_id: String,
    pub num_lines: Option<usize>,
    pub replicas: Attr<Vec<ReplicaLines>>,
}

/// The log of one replica.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct ReplicaLines {
    pub id: String,
    pub log: String,
}

#[async_trait]
impl EphemeralResource for WebserviceLogs {
    type Data = Settings;
    type Model = LogsModel;
    const NAME: &'static str = "azureml_webservice_logs";

    fn schema(&self) -> Schema {
        let replica = Object::new()
            .attribute("id", Attribute::string("Id of the replica.").computed())
            .attribute("log", Attribute::string("Its last lines.").computed());
        Schema::new(
            "The last lines that the replicas of a webservice logged, those of former replicas included. Logs may hold what \
             callers sent, so they never enter plan or state.",
        )
        .attribute("webservice_id", service_id("Id of the webservice."))
        .attribute(
            "num_lines",
            Attribute::number(format!("Lines of each replica, from 1 to {MAX_LINES}. Default {LINES}."))
                .optional()
                .validate(integer_between(1..=MAX_LINES)),
        )
        .attribute(
            "replicas",
            Attribute::nested(Nesting::List, replica, "The replicas, in the order of their last line.").computed(),
        )
    }

    async fn open(&self, _: &mut Context<Settings>, config: LogsModel) -> Result<Opened<LogsModel>, Diagnostics> {
        let id: ServiceId = config.webservice_id.parse().or_explain("Invalid webservice_id")?;
        let failed = || format!("Cannot read the logs of webservice {}", id.name);
        let missing = |what: String| Diagnostic::error(failed(), what).at_attribute("webservice_id");
        let cluster = crate::cluster::open(&id.compute).await.or_explain(failed())?;
        let cluster = cluster.ok_or_else(|| missing(format!("There is no compute {}.", id.compute)))?;
        let logs = cluster.logs(&id.name, config.num_lines.unwrap_or(LINES)).await.or_explain(failed())?;
        if logs.is_empty() && cluster.service(&id.name).await.or_explain(failed())?.is_none() {
            return Err(missing(format!("There is no webservice {id}.")).into());
        }
        let replicas: Vec<_> = logs.into_iter().map(|log| ReplicaLines { id: log.replica, log: log.text }).collect();
        Ok(LogsModel { replicas: replicas.into(), ..config }.into())
    }
}
