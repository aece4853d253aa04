//! Log lines in the form that the host re-logs: one JSON object a line on stderr, in hclog's keys.

use std::fmt::Debug;
use std::io::Write;
use std::sync::Mutex;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::environment::Environment;

/// The longest text of one field, in bytes. A line must not flood the host, whatever a value holds.
const TEXT_LIMIT: usize = 64 << 10;

/// Libraries whose own tracing would drown the provider's; they log only what is wrong.
const LIBRARIES: [&str; 8] = ["h2", "hyper", "hyper_util", "rustls", "tokio_rustls", "tokio_util", "tonic", "tower"];

/// Libraries that quote what they receive, secrets too, and whose failures the provider tells itself.
const SILENT: [&str; 2] = ["kube_client", "kube_runtime"];

/// How much the provider `name` logs: `TF_LOG_PROVIDER_<NAME>`, else `TF_LOG_PROVIDER`, else `TF_LOG`, else nothing.
#[must_use]
pub fn level(environment: &Environment, name: &str) -> LevelFilter {
    let own = format!("TF_LOG_PROVIDER_{}", name.to_uppercase().replace(['-', '.'], "_"));
    [own.as_str(), "TF_LOG_PROVIDER", "TF_LOG"]
        .into_iter()
        .find_map(|variable| environment.get(variable))
        .map_or(LevelFilter::OFF, parse)
}

/// As the host reads levels: a word it does not know, and `JSON`, mean everything.
fn parse(level: &str) -> LevelFilter {
    match level.to_ascii_uppercase().as_str() {
        "OFF" => LevelFilter::OFF,
        "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Sends every log line of this process to stderr, as far as `level` lets it. Does nothing if the process already logs.
pub fn install(module: &str, level: LevelFilter) {
    if level == LevelFilter::OFF {
        return;
    }
    let _ = tracing::subscriber::set_global_default(subscriber(module, level, std::io::stderr()));
}

fn subscriber(module: &str, level: LevelFilter, writer: impl Write + Send + 'static) -> impl Subscriber + Send + Sync {
    let quiet = level.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(level)
        .with_targets(LIBRARIES.map(|library| (library, quiet)))
        .with_targets(SILENT.map(|library| (library, LevelFilter::OFF)));
    let lines = HclogLayer { module: module.to_owned(), writer: Mutex::new(writer) };
    tracing_subscriber::registry().with(lines.with_filter(targets))
}

/// Writes events with the fields of their spans around them.
struct HclogLayer<W> {
    module: String,
    writer: Mutex<W>,
}

/// The fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for HclogLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut fields = Map::new();
        attributes.record(&mut Fields(&mut fields));
        span.extensions_mut().replace(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            record.record(&mut Fields(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(outer)) = span.extensions().get() {
                fields.extend(outer.clone());
            }
        }
        event.record(&mut Fields(&mut fields));
        let message = fields.remove("message").unwrap_or_default();
        let mut line = Map::new();
        line.insert("@level".into(), name(*event.metadata().level()).into());
        line.insert("@message".into(), message);
        line.insert("@module".into(), self.module.as_str().into());
        line.insert("@timestamp".into(), now().into());
        line.insert("target".into(), event.metadata().target().into());
        line.extend(fields.into_iter().filter(|(key, _)| !key.starts_with('@')));
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        if let Ok(mut writer) = self.writer.lock() {
            // A host that no longer reads its plugin's log is no reason to fail an operation.
            let _ = writer.write_all(line.as_bytes());
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Collects fields as JSON.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = value.floor_char_boundary(TEXT_LIMIT);
        if end == value.len() {
            self.insert(field, value);
        } else {
            let left_out = value.len() - end;
            self.insert(field, format!("{}... ({left_out} bytes left out)", &value[..end]));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
