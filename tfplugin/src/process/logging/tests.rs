use std::sync::Arc;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(level: LevelFilter, log: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    tracing::subscriber::with_default(subscriber("provider.thing", level, lines.clone()), log);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_carries_hclogs_keys_and_the_fields_of_its_spans() {
    let lines = logged(LevelFilter::INFO, || {
        let span = tracing::info_span!("rpc", tf_rpc = "ReadResource", id = tracing::field::Empty);
        let _entered = span.enter();
        span.record("id", 7);
        tracing::warn!(attempts = 2, "slow\nanswer");
    });
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["@level"], "warn");
    assert_eq!(line["@message"], "slow\nanswer");
    assert_eq!(line["@module"], "provider.thing");
    assert_eq!(line["tf_rpc"], "ReadResource");
    assert_eq!(line["id"], 7);
    assert_eq!(line["attempts"], 2);
    let timestamp = line["@timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<jiff::Timestamp>().is_ok());
    assert_eq!(timestamp.len(), "2026-01-02T15:04:05.000000Z".len());
}

#[test]
fn only_the_level_asked_for_is_logged_and_libraries_only_warn() {
    let lines = logged(LevelFilter::DEBUG, || {
        tracing::trace!("too much");
        tracing::debug!("wanted");
        tracing::debug!(target: "h2::frame", "noise");
        tracing::warn!(target: "h2::frame", "trouble");
    });
    let messages: Vec<_> = lines.iter().map(|line| line["@message"].clone()).collect();
    assert_eq!(messages, ["wanted", "trouble"]);
}

#[test]
fn a_long_text_is_cut_and_says_by_how_much() {
    let text = "é".repeat(TEXT_LIMIT);
    let lines = logged(LevelFilter::INFO, || tracing::info!(text));
    let written = lines[0]["text"].as_str().unwrap();
    assert!(written.len() < TEXT_LIMIT + 100);
    assert!(written.ends_with(&format!("({TEXT_LIMIT} bytes left out)")), "{}", &written[TEXT_LIMIT..]);
}

#[test]
fn the_providers_own_variable_goes_before_the_common_ones() {
    let variables = [("TF_LOG", "error"), ("TF_LOG_PROVIDER", "info"), ("TF_LOG_PROVIDER_MY_THING", "debug")];
    let level_of = |count: usize| {
        let environment = variables[..count].iter().copied().collect();
        level(&environment, "my-thing")
    };
    assert_eq!(level_of(0), LevelFilter::OFF);
    assert_eq!(level_of(1), LevelFilter::ERROR);
    assert_eq!(level_of(2), LevelFilter::INFO);
    assert_eq!(level_of(3), LevelFilter::DEBUG);
}

#[test]
fn json_and_unknown_words_mean_everything() {
    assert_eq!(parse("json"), LevelFilter::TRACE);
    assert_eq!(parse("loud"), LevelFilter::TRACE);
    assert_eq!(parse("off"), LevelFilter::OFF);
}
