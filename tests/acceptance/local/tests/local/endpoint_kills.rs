//! The provider, the router worker, the supervisor or a scorer is killed in the middle of a change of an endpoint: what is
//! served is a whole table at all times, and the next apply leads to what is wanted.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acceptance_local::{Project, Signal, Split, Target, Watch, processes_of, traffic, write_code};

/// Whom a round kills: the provider, or a process of the compute with this part in its command.
const VICTIMS: [&str; 4] = ["provider", " route ", " supervise ", "azureml_scorer"];

const CREATE_FIRST: &str = "lifecycle {\n create_before_destroy = true\n }";

/// A change of an endpoint.
struct Change {
    name: &'static str,
    before: Split,
    after: Split,
    /// The version whose code it changes, too.
    code_of: Option<&'static str>,
    /// What is served after it.
    shares: &'static [(&'static str, u16)],
}

impl Change {
    fn new(name: &'static str, before: Split, after: Split, shares: &'static [(&'static str, u16)]) -> Self {
        Self { name, before, after, code_of: None, shares }
    }

    fn with_code_of(self, version: &'static str) -> Self {
        Self { code_of: Some(version), ..self }
    }
}

fn percent(share: u32) -> String {
    format!("traffic_percentile = {share}")
}

fn two(blue: u32, green: u32) -> Split {
    Split::of([("blue", &*percent(blue)), ("green", &*percent(green))])
}

fn one(name: &str, share: u32) -> Split {
    Split::of([(name, &*percent(share))])
}

/// Versions beside a split that is one object, in which this one has everything.
fn whole(names: &[&str], all: &str) -> Split {
    Split {
        versions: names.iter().map(|name| ((*name).to_owned(), CREATE_FIRST.to_owned())).collect(),
        traffic: traffic(&[(all, "100")]),
        ..Split::default()
    }
}

fn keys(version: u32) -> Split {
    let endpoint = format!("key_overlap = 600\n primary_key_version = {version}\n secondary_key_version = {version}");
    Split { endpoint, ..two(70, 30) }
}

fn changes_in_place() -> [Change; 4] {
    [
        Change::new("traffic changes", two(70, 30), two(30, 70), &[("blue", 3_000), ("green", 7_000)]),
        Change::new("both keys are replaced", keys(1), keys(2), &[("blue", 7_000), ("green", 3_000)]),
        Change::new("code changes", two(70, 30), two(70, 30), &[("blue", 7_000), ("green", 3_000)])
            .with_code_of("green"),
        Change::new("a version is added", one("blue", 60), two(60, 40), &[("blue", 6_000), ("green", 4_000)]),
    ]
}

fn changes_with_a_removal() -> [Change; 4] {
    let both = ["blue", "green"];
    [
        Change::new("a version is removed", two(60, 40), one("blue", 60), &[("blue", 10_000)]),
        Change::new("shares swap and a version is removed", two(100, 0), one("green", 100), &[("green", 10_000)]),
        Change::new(
            "one object swaps and a version is removed",
            whole(&both, "blue"),
            whole(&["green"], "green"),
            &[("green", 10_000)],
        ),
        Change::new(
            "one object moves to a new version and the old one is removed",
            whole(&["blue"], "blue"),
            whole(&["green"], "green"),
            &[("green", 10_000)],
        ),
    ]
}

/// Looks at the endpoint's document until it is told to stop: each one that is ever there can be served.
fn watch_documents(project: &Project, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(document) = project.endpoint_document() {
            assert_eq!(serving::validate::service(&document), [], "{document:#?}");
            assert!(document.served.is_some(), "nothing is served: {document:#?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Applies and kills the victim when the document was changed for the first time, or when the run has begun, and up to 60 ms
/// later. Tells what it did.
fn interrupt(project: &Project, name: &str, victim: &str, at_first_write: bool) -> (bool, String) {
    let generation = || project.endpoint_document().map(|document| document.generation);
    let before = generation();
    let mut run = project.start(["apply", "-auto-approve", "-input=false", "-no-color"]);
    let begun = project.path().join(".terraform.tfstate.lock.info");
    let came = run.until(|| if at_first_write { generation() != before } else { begun.exists() });
    let lag = Duration::from_millis(RandomState::new().hash_one(()) % 60);
    std::thread::sleep(lag);
    let found = || processes_of(project.path()).into_iter().filter(|process| process.command.contains(victim));
    let hit = came
        && match victim {
            "provider" => run.signal(Target::Provider, Signal::KILL),
            // The newest, which is the one that the change has started, if it has.
            _ => {
                !run.ended()
                    && found().max_by_key(|process| process.pid).inspect(acceptance_local::Process::kill).is_some()
            }
        };
    let output = run.wait();
    let moment = if at_first_write { "the first write" } else { "the run's begin" };
    let told = format!("{name}: {victim:?} killed {} ms after {moment}, hit: {hit}", lag.as_millis());
    (hit, format!("{told}\n{output}"))
}

fn round(change: &Change, victim: &str, at_first_write: bool) -> bool {
    let project = change.before.project();
    project.apply().ok();
    let (uri, key) = project.endpoint_access();
    let watch = Watch::start(&uri, &key, 2, 100);
    let stop = AtomicBool::new(false);
    let (hit, story) = std::thread::scope(|scope| {
        scope.spawn(|| watch_documents(&project, &stop));
        change.after.write(&project);
        if let Some(version) = change.code_of {
            write_code(&project, version, 2);
        }
        let (hit, story) = interrupt(&project, change.name, victim, at_first_write);
        let outcome = project.apply();
        stop.store(true, Ordering::Relaxed);
        assert!(outcome.success, "the next apply failed:\n{}\n\nafter {story}", outcome.text);
        (hit, format!("{story}\n\nand the next apply:\n{}", outcome.text))
    });
    project.assert_shares(change.shares);
    let plan = project.plan();
    assert_eq!(plan.code, Some(0), "the plan is not empty:\n{}\n\nafter {story}", plan.text);

    let seen = watch.see(50);
    assert!(seen.wrong.is_empty(), "{seen:?}\n\nafter {story}");
    for (version, code) in seen.answers.keys() {
        assert!(change.shares.iter().any(|(name, share)| name == version && *share > 0), "{seen:?}\n\nafter {story}");
        let wanted = if change.code_of == Some(version) { 2 } else { 1 };
        assert_eq!(*code, wanted, "{version}: {seen:?}\n\nafter {story}");
    }
    let all = watch.stop();
    // Requests in flight on what is killed end with it, and none is answered by another version than its header says.
    assert!(!all.wrong.keys().any(|what| what.starts_with("200 ")), "{:?}\n\nafter {story}", all.wrong);
    assert!(victim != "provider" || all.wrong.is_empty(), "{:?}\n\nafter {story}", all.wrong);
    eprintln!("{}; {} answers, {:?}", story.lines().next().unwrap_or_default(), all.answered(), all.wrong);
    hit
}

/// Four rounds, or as many as `AZUREML_ACCEPTANCE_KILL_ROUNDS` says; 16 meet every victim in every change.
fn rounds(changes: &[Change; 4]) {
    let count = std::env::var("AZUREML_ACCEPTANCE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let hits = (0..count).filter(|number: &usize| {
        let (change, victim) = (number % 4, (number + number / 4) % 4);
        round(&changes[change], VICTIMS[victim], number % 3 != 2)
    });
    let hits = hits.count();
    // A run may end before its moment's lag has passed; most do not.
    assert!(hits * 2 >= count, "only {hits} of {count} kills hit");
}

#[test]
fn a_kill_during_a_change_in_place_leaves_a_whole_table_and_the_next_apply_finishes_it() {
    rounds(&changes_in_place());
}

#[test]
fn a_kill_during_a_swap_or_removal_leaves_a_whole_table_and_the_next_apply_finishes_it() {
    rounds(&changes_with_a_removal());
}
