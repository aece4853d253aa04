//! Terraform and the provider, killed or interrupted at many points of create, update and destroy: the next run of the
//! same command finishes the job, nothing is lost and nothing made twice.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance_local::{DOUBLE, Load, Project, Signal, Stack, Target, post, processes_of};
use serde_json::{Value, json};

/// Who gets which signal.
type Victim = (Target, Signal);

/// A moment: its name, and whether it has come. The second argument is how many revisions the model had before the run.
type Moment = (&'static str, fn(&Path, usize) -> bool);

const COMPUTE: &str = "ws/local/local";

const CREATE: [Moment; 6] = [
    ("the workspace is begun", |root, _| root.join("ws/workspace/1.json").exists()),
    ("the router program is copied", |root, _| names(&root.join(COMPUTE).join("bin")).len() > 1),
    ("the supervisor starts", |root, _| root.join(COMPUTE).join("supervisor.lock").exists()),
    ("the virtual environment is built", |root, _| {
        names(&root.join("ws/venvs")).iter().any(|name| !name.starts_with('.'))
    }),
    ("the service is declared", |root, _| document(root).is_some()),
    ("a scorer starts", |root, _| !names(&root.join(COMPUTE).join("sockets")).is_empty()),
];

const UPDATE: [Moment; 6] = [
    ("the run has begun", |root, _| root.join(".terraform.tfstate.lock.info").exists()),
    ("the next model version is begun", |root, before| names(&root.join("ws/models/model")).len() > before),
    ("the next code is unpacked", |root, _| names(&root.join(COMPUTE).join("apps")).len() > 1),
    ("the next key is stored", |root, _| names(&root.join(COMPUTE).join("keys/double")).len() > 2),
    ("the change is declared", |root, _| document(root).is_some_and(|document| document["committed"] == json!(false))),
    ("the first of the new scorers starts", |root, _| {
        let sockets = names(&root.join(COMPUTE).join("sockets"));
        sockets
            .iter()
            .map(|name| name.rsplit('-').nth(1).map(str::to_owned))
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            > 1
    }),
];

const DESTROY: [Moment; 6] = [
    ("the service is undeclared", |root, _| document(root).is_none()),
    ("the service's keys are removed", |root, _| names(&root.join(COMPUTE).join("keys/double")).is_empty()),
    ("the model is removed", |root, before| names(&root.join("ws/models/model")).len() != before),
    ("the router stops", |root, _| !root.join(COMPUTE).join("admin.sock").exists()),
    ("the compute's folder is removed", |root, _| !root.join(COMPUTE).join("services").exists()),
    ("the workspace is removed", |root, _| names(&root.join("ws")).len() < 6),
];

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A folder that is there, and everything in it.
fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| files_below(&entry.path()));
    path.symlink_metadata().map(|_| path.to_owned()).into_iter().chain(below).collect()
}

fn document(root: &Path) -> Option<Value> {
    let content = std::fs::read(root.join(COMPUTE).join(serving::layout::document("double"))).ok()?;
    Some(serde_json::from_slice(&content).expect("a document is replaced as a whole, so it is never half written"))
}

/// Up to 50 ms, another one in every run, so that a moment is hit before, in and after its writes.
fn lag() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % 50)
}

/// Runs a command and sends the signal when the moment has come. Tells what it did.
fn interrupt(project: &Project, command: &str, (name, moment): Moment, (target, signal): Victim) -> (bool, String) {
    let before = names(&project.path().join("ws/models/model")).len();
    let mut run = project.start([command, "-auto-approve", "-input=false", "-no-color"]);
    let came = run.until(|| moment(project.path(), before));
    let lag = lag();
    std::thread::sleep(lag);
    let hit = came && run.signal(target, signal);
    let output = run.wait();
    restore_state(project.path());
    let told = format!("{command}: {signal:?} to {target:?} {} ms after {name:?}, hit: {hit}", lag.as_millis());
    eprintln!("{told}");
    (hit, format!("{told}\n{output}"))
}

/// Terraform empties its state file before it writes it, so a kill between the two leaves an empty one. As a person would,
/// takes the backup then, if the run began with a state.
fn restore_state(root: &Path) {
    let (state, backup) = (root.join("terraform.tfstate"), root.join("terraform.tfstate.backup"));
    let whole = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap_or_default()).is_ok();
    if state.exists() && !whole(&state) && whole(&backup) {
        eprintln!("terraform was killed while it wrote its state, so the backup is taken");
        std::fs::copy(&backup, &state).expect("copied");
    }
}

#[track_caller]
fn finish(project: &Project, command: &str, story: &str) -> String {
    let outcome = project.terraform([command, "-auto-approve", "-input=false", "-no-color"]);
    assert!(outcome.success, "the next {command} failed:\n{}\n\nafter {story}", outcome.text);
    format!("{story}\n\nand the next {command}:\n{}", outcome.text)
}

fn configuration(round: u32) -> Stack {
    Stack {
        environment: format!("environment_variables = {{ ROUND = \"{round}\" }}"),
        webservice: format!("num_replicas = {}\n primary_key_version = {}", 1 + round % 2, 1 + round),
        ..Stack::default()
    }
}

fn write(project: &Project, round: u32) {
    project.configure(&configuration(round).render());
    project.write("model.txt", format!("model {round}\n"));
    project.write("src/score.py", DOUBLE.replace("2 *", &format!("{} *", 2 + round)));
}

/// Everything is there once and is what `round` configures; `updates` is how often it was changed before.
#[track_caller]
fn assert_whole(project: &Project, round: u32, updates: usize, story: &str) {
    let plan = project.plan();
    assert_eq!(plan.code, Some(0), "the plan is not empty:\n{}\n\nafter {story}", plan.text);
    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), r#"{"x": 1}"#);
    let wanted = json!({"model": format!("model {round}"), "result": 2 + round});
    let body = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    assert_eq!((answer.status, &body), (200, &wanted), "after {story}");

    let processes = processes_of(project.path());
    let count = |part: &str| processes.iter().filter(|process| process.command.contains(part)).count();
    let replicas = usize::try_from(1 + round % 2).expect("small");
    assert_eq!(
        [count(" supervise "), count(" route "), count("azureml_scorer"), processes.len()],
        [1, 1, replicas, replicas + 2],
        "{processes:?}\n\nafter {story}"
    );
    assert_eq!(project.attributes("azureml_model.this")["version"], json!(updates + 1), "after {story}");
    assert_eq!(project.attributes("azureml_environment.this")["version"], json!(updates + 1), "after {story}");
    let compute = project.compute_directory();
    assert_eq!(names(&compute.join("apps")).len(), 1, "after {story}");
    assert_eq!(names(&compute.join("keys/double")).len(), 2, "after {story}");
    let environments: Vec<_> = names(&project.path().join("ws/venvs"));
    assert_eq!(environments.iter().filter(|name| !name.starts_with('.')).count(), 1, "{environments:?}\nafter {story}");
    // A killed build leaves its folder until something is tidied up, which a change does.
    let left = environments.iter().any(|name| name.starts_with(".build-"));
    assert!(updates == 0 || !left, "{environments:?}\nafter {story}");
}

/// The primary key and its version, as the document in force names them.
fn stored_primary(root: &Path) -> Option<Value> {
    let generation = document(root)?["auth"]["keys"].as_u64()?;
    let keys = std::fs::read(root.join(COMPUTE).join(serving::layout::keys("double", generation))).ok()?;
    Some(serde_json::from_slice::<Value>(&keys).expect("whole keys")["primary"].clone())
}

fn round(number: usize, victim: Victim) -> [bool; 3] {
    let moment = |moments: [Moment; 6]| moments[number % 6];
    let project = Project::new("");
    write(&project, 0);
    project.terraform(["init", "-input=false"]).ok();

    let (created, story) = interrupt(&project, "apply", moment(CREATE), victim);
    let story = finish(&project, "apply", &story);
    assert_whole(&project, 0, 0, &story);

    // The old and the new replicas answer whoever dies; the secondary key stays.
    let uri = project.scoring_uri();
    let load = Load::start(&uri, &project.keys("double").1, r#"{"x": 1}"#, 2, 50);
    write(&project, 1);
    let (updated, story) = interrupt(&project, "apply", moment(UPDATE), victim);
    let stored = stored_primary(project.path()).expect("keys");
    let story = finish(&project, "apply", &story);
    assert_whole(&project, 1, 1, &story);
    if stored["version"] == json!(2) {
        assert_eq!(stored_primary(project.path()), Some(stored), "the key was replaced twice, after {story}");
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty() && tally.answered() > 0, "{tally:?}\n\nafter {story}");

    let (destroyed, story) = interrupt(&project, "destroy", moment(DESTROY), victim);
    let story = finish(&project, "destroy", &story);
    assert!(processes_of(project.path()).is_empty(), "{:?}\n\nafter {story}", processes_of(project.path()));
    let left = files_below(&project.path().join("ws"));
    assert!(left.is_empty(), "the workspace's folder is still there: {left:#?}\n\nafter {story}");
    [created, updated, destroyed]
}

/// Six rounds, or as many as `AZUREML_ACCEPTANCE_KILL_ROUNDS` says, each at another moment of every command. Six more meet the
/// next victim at each moment.
fn rounds(victims: &[Victim]) {
    let count = std::env::var("AZUREML_ACCEPTANCE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let hits = (0..count).map(|number| round(number, victims[(number + number / 6) % victims.len()]));
    let hits = hits.fold([0, 0, 0], |sum: [usize; 3], hit| std::array::from_fn(|at| sum[at] + usize::from(hit[at])));
    // A run may end before its moment's lag has passed; most do not.
    assert!(hits.iter().all(|hit| *hit * 2 >= count), "only {hits:?} of {count} interruptions hit");
}

#[test]
fn what_a_killed_terraform_or_provider_leaves_is_finished_by_the_next_run() {
    rounds(&[(Target::Provider, Signal::KILL), (Target::Terraform, Signal::KILL), (Target::Group, Signal::KILL)]);
}

#[test]
fn what_ctrl_c_or_a_termination_leaves_is_finished_by_the_next_run() {
    rounds(&[(Target::Group, Signal::INT), (Target::Terraform, Signal::TERM), (Target::Provider, Signal::TERM)]);
}
