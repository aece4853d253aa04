use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serving::admin::{Failure, FailureReason, ReplicaState, ReplicaStatus, ServiceStatus, VersionStatus};
use serving::service::{
    Auth, AuthMode, CodeRef, EnvironmentRef, KeySlot, Kind, Rollout, SCHEMA_VERSION, Scale, Version,
};

use super::*;
use crate::cluster::{ReplicaLog, Router};
use crate::workspace::WorkspaceId;

/// A cluster in memory whose router serves every document at once, except that entry scripts decide about replicas.
#[derive(Debug, Default)]
struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<String, Service>,
    keys: BTreeMap<u64, Keys>,
    /// Every document that was written.
    written: Vec<Service>,
    /// App roots that were swept away and not prepared again.
    unprepared: bool,
    sweeps: usize,
}

/// Replicas with this script fail for good, those with [`SLOW`] never get ready.
const BROKEN: &str = "broken.py";
const SLOW: &str = "slow.py";

impl Memory {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("a lock")
    }

    fn document(&self) -> Option<Service> {
        self.state().documents.get("double").cloned()
    }

    fn key_generations(&self) -> Vec<u64> {
        self.state().keys.keys().copied().collect()
    }
}

#[async_trait]
impl Cluster for Memory {
    fn id(&self) -> &'static str {
        "memory"
    }

    fn replicas(&self) -> crate::cluster::Replicas {
        crate::cluster::Replicas::Processes
    }

    async fn router(&self) -> Result<Router, Error> {
        Ok(Router::Running { version: "1".into() })
    }

    async fn base_url(&self) -> Result<String, Error> {
        Ok("http://127.0.0.1:1".into())
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        Ok(self.state().documents.keys().cloned().collect())
    }

    async fn service(&self, name: &str) -> Result<Option<Service>, Error> {
        Ok(self.state().documents.get(name).cloned())
    }

    async fn put_service(&self, service: &Service, expected: Option<u64>) -> Result<(), Error> {
        let mut state = self.state();
        let found = state.documents.get(&service.name).map(|service| service.generation);
        if found != expected {
            return Err(Error::Conflict { service: service.name.clone(), expected, found });
        }
        if state.unprepared {
            return Err(Error::Unprepared { revision: "r".into() });
        }
        state.written.push(service.clone());
        state.documents.insert(service.name.clone(), service.clone());
        Ok(())
    }

    async fn delete_service(&self, name: &str) -> Result<(), Error> {
        self.state().documents.remove(name);
        Ok(())
    }

    async fn forget_service(&self, _: &str, _: bool) -> Result<(), Error> {
        self.state().keys.clear();
        Ok(())
    }

    async fn keys(&self, _: &str, generation: u64) -> Result<Option<Keys>, Error> {
        Ok(self.state().keys.get(&generation).cloned())
    }

    async fn issue_token(&self, _: &Service, _: Option<u64>) -> Result<serving::token::Issued, Error> {
        Err(Error::NoSigningKeys { compute: self.id().to_owned() })
    }

    async fn put_keys(&self, _: &str, keys: &Keys) -> Result<u64, Error> {
        let mut state = self.state();
        let generation = state.keys.keys().max().unwrap_or(&0) + 1;
        state.keys.insert(generation, keys.clone());
        Ok(generation)
    }

    async fn retire_keys(&self, _: &str, keep: u64) -> Result<(), Error> {
        self.state().keys.retain(|generation, _| *generation == keep);
        Ok(())
    }

    async fn prepare(&self, _: &Catalogue, _: &Template) -> Result<(), Error> {
        self.state().unprepared = false;
        Ok(())
    }

    async fn observe(&self, name: &str) -> Result<Option<ServiceStatus>, Error> {
        let Some(service) = self.document().filter(|service| service.name == name) else { return Ok(None) };
        let template = &service.versions[name].template;
        let script = template.code.entry_script.as_str();
        let ready = script != BROKEN && script != SLOW;
        let failure = Failure {
            reason: FailureReason::InitFailed,
            message: "init() raised".into(),
            traceback: None,
            exit_code: Some(3),
            log_tail: Vec::new(),
            count: 1,
            terminal: script == BROKEN,
        };
        let state = if ready { ReplicaState::Ready } else { ReplicaState::Starting };
        let revision = template.revision();
        let replica = ReplicaStatus { id: "r".into(), revision: revision.clone(), pid: 1, state, restarts: 0 };
        let version = VersionStatus {
            revision,
            desired_replicas: 1,
            updated_replicas: u32::from(ready),
            available_replicas: 1,
            replicas: vec![replica],
            failure: (!ready).then_some(failure),
            diverted: false,
            drifted: None,
        };
        Ok(Some(ServiceStatus {
            accepted_generation: service.generation,
            served_generation: service.generation,
            refused: None,
            versions: BTreeMap::from([(name.to_owned(), version)]),
        }))
    }

    async fn logs(&self, _: &str, _: usize) -> Result<Vec<ReplicaLog>, Error> {
        Ok(Vec::new())
    }

    async fn sweep(&self) -> Result<(), Error> {
        self.state().sweeps += 1;
        Ok(())
    }
}

fn catalogue() -> Catalogue {
    let workspace: WorkspaceId = "file:///nonexistent/ws".parse().expect("a URL");
    Catalogue::open(&workspace, &crate::storage::Storage::default()).expect("opened")
}

fn wanted(script: &str) -> Service {
    let template = Template {
        models: Vec::new(),
        code: CodeRef { digest: "sha256:0".into(), directory: "src".into(), entry_script: script.into() },
        environment: EnvironmentRef {
            id: "e".into(),
            version: 1,
            hash: "h".into(),
            build_key: "b".into(),
            prefix: None,
            image: None,
        },
        environment_variables: BTreeMap::new(),
        pod: None,
        unknown: BTreeMap::new(),
    };
    let version = Version {
        sequence: 1,
        committed: true,
        declared: serving::traffic::Declaration::default(),
        settled: None,
        retiring_until: None,
        former: None,
        scale: Scale::Fixed(1),
        replica_max_concurrent_requests: 1,
        max_request_wait_time: 500,
        scoring_timeout_ms: 60_000,
        template,
        rollout: Rollout::default(),
        configured: Value::Null,
        unknown: BTreeMap::new(),
    };
    Service {
        schema_version: SCHEMA_VERSION,
        generation: 1,
        name: "double".into(),
        kind: Kind::Webservice,
        workspace: "file:///nonexistent/ws".into(),
        owner: "me".into(),
        committed: false,
        description: None,
        tags: BTreeMap::new(),
        properties: BTreeMap::new(),
        created_time: now(),
        updated_time: now(),
        auth: Auth { mode: AuthMode::Key, keys: None },
        versions: BTreeMap::from([("double".to_owned(), version)]),
        sticky: None,
        assignment: None,
        configured: serde_json::Value::Null,
        served: None,
        unknown: BTreeMap::new(),
    }
}

fn keys(version: u64) -> Keys {
    let slot = |name: &str| KeySlot { key: format!("{name}-{version}"), version };
    Keys { primary: slot("primary"), secondary: slot("secondary"), replaced: Vec::new() }
}

fn patient() -> Limits {
    Limits::new(Duration::from_hours(1), CancellationToken::new())
}

async fn created(cluster: &Memory) -> Service {
    create(cluster, &catalogue(), wanted("score.py"), &keys(1), None, &patient()).await.expect("created")
}

fn change<'a>(present: &Service, wanted: Service, keys: Vec<Keys>, catalogue: &'a Catalogue) -> Change<'a> {
    Change { present: present.clone(), wanted, keys, catalogue }
}

#[tokio::test]
async fn a_create_commits_last_and_leaves_one_generation_of_keys() {
    let cluster = Memory::default();
    let service = created(&cluster).await;
    assert!(service.committed);
    assert_eq!(cluster.document(), Some(service.clone()));
    let written: Vec<bool> = cluster.state().written.iter().map(|service| service.committed).collect();
    assert_eq!(written, [false, true]);
    assert_eq!((service.auth.keys, cluster.key_generations()), (Some(1), vec![1]));
}

#[tokio::test]
async fn a_create_that_fails_leaves_nothing() {
    let cluster = Memory::default();
    let failed =
        create(&cluster, &catalogue(), wanted(BROKEN), &keys(1), None, &patient()).await.expect_err("it fails");
    assert!(matches!(&failed.reason, Stopped::Failed { version, .. } if version == "double"), "{failed}");
    assert_eq!((failed.left, cluster.document(), cluster.key_generations()), (None, None, Vec::new()));
}

#[tokio::test]
async fn the_router_gives_up_on_init_before_the_time_of_the_create_is_over() {
    let cluster = Memory::default();
    let limits = Limits::new(Duration::from_secs(5), CancellationToken::new());
    let failed = create(&cluster, &catalogue(), wanted(SLOW), &keys(1), None, &limits).await.expect_err("it fails");
    assert!(matches!(&failed.reason, Stopped::TimedOut { failure: Some(_), .. }), "{failed}");
    let init = cluster.state().written[0].versions["double"].rollout.progress_deadline_seconds;
    assert!((1..5).contains(&init), "{init}");
    assert_eq!(cluster.document(), None);
}

#[tokio::test]
async fn an_interrupted_create_is_continued_by_the_next() {
    let cluster = Memory::default();
    let limits = patient();
    limits.cancel.cancel();
    let stopped = create(&cluster, &catalogue(), wanted(SLOW), &keys(1), None, &limits).await.expect_err("interrupted");
    let left = stopped.left.expect("the intent");
    assert!(matches!(stopped.reason, Stopped::Cancelled { .. }) && !left.committed);
    assert_eq!(committed_before(&left), None);
    let service = create(&cluster, &catalogue(), wanted("score.py"), &keys(1), Some(*left.clone()), &patient())
        .await
        .expect("created");
    assert!(service.committed && service.generation > left.generation);
    assert_eq!(cluster.key_generations(), [service.auth.keys.expect("keys")]);
}

#[tokio::test]
async fn the_configured_progress_deadline_is_what_is_committed() {
    let cluster = Memory::default();
    let limits = Limits::new(Duration::from_mins(1), CancellationToken::new());
    let service = create(&cluster, &catalogue(), wanted("score.py"), &keys(1), None, &limits).await.expect("created");
    assert_eq!(service.versions["double"].rollout, Rollout::default());
}

#[tokio::test]
async fn an_update_that_fails_puts_back_what_was_committed_with_its_keys() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    let (catalogue, limits) = (catalogue(), patient());
    let failed = update(&cluster, change(&before, wanted(BROKEN), vec![keys(2)], &catalogue), &limits).await;
    let failed = failed.expect_err("it fails");
    assert!(failed.rolled_back);
    let left = failed.left.expect("what serves");
    assert_eq!(cluster.document().as_ref(), Some(&*left));
    assert!(left.committed && left.generation > before.generation);
    assert_eq!((&left.versions, &left.auth, &left.unknown), (&before.versions, &before.auth, &before.unknown));
    assert_eq!(cluster.key_generations(), [1]);
}

#[tokio::test]
async fn an_interrupted_update_remembers_what_was_committed_and_the_next_one_can_still_go_back_to_it() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    let (catalogue, limits) = (catalogue(), patient());
    limits.cancel.cancel();
    let stopped = update(&cluster, change(&before, wanted(SLOW), Vec::new(), &catalogue), &limits).await;
    let left = stopped.expect_err("interrupted").left.expect("the change");
    assert!(!left.committed);
    assert_eq!(committed_before(&left), Some(before.clone()));
    // Written and read, as a file would be.
    let left = Service::read(&left.write()).expect("a document");
    assert_eq!(committed_before(&left), Some(before.clone()));

    let failed = update(&cluster, change(&left, wanted(BROKEN), Vec::new(), &catalogue), &patient()).await;
    let back = failed.expect_err("it fails").left.expect("what serves");
    assert_eq!(back.versions, before.versions);
    assert!(back.committed && back.unknown.is_empty());
}

#[tokio::test]
async fn new_keys_come_into_force_one_after_the_other() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    let catalogue = catalogue();
    let first = Keys { primary: keys(2).primary, secondary: keys(1).secondary, replaced: Vec::new() };
    let steps = vec![first, keys(2)];
    let after =
        update(&cluster, change(&before, wanted("score.py"), steps, &catalogue), &patient()).await.expect("updated");
    let generations: Vec<_> = cluster.state().written.iter().map(|service| service.auth.keys).collect();
    assert_eq!(generations, [Some(1), Some(1), Some(2), Some(3), Some(3)]);
    assert_eq!((after.auth.keys, cluster.key_generations()), (Some(3), vec![3]));
}

#[tokio::test]
async fn a_change_of_numbers_does_not_wait_for_replicas_that_fail() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    // They began to fail after the create.
    let mut failing = before.clone();
    failing.generation += 1;
    let version = failing.versions.get_mut("double").expect("a version");
    version.template.code.entry_script = BROKEN.into();
    cluster.put_service(&failing, Some(before.generation)).await.expect("put");
    let mut numbers = failing.clone();
    numbers.versions.get_mut("double").expect("a version").scoring_timeout_ms = 1;
    let catalogue = catalogue();
    let after = update(&cluster, change(&failing, numbers, Vec::new(), &catalogue), &patient()).await.expect("updated");
    assert_eq!(after.versions["double"].scoring_timeout_ms, 1);
}

#[tokio::test]
async fn a_document_that_somebody_else_changed_is_not_overwritten() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    let mut other = before.clone();
    other.generation += 1;
    cluster.put_service(&other, Some(before.generation)).await.expect("put");
    let catalogue = catalogue();
    let failed = update(&cluster, change(&before, wanted("score.py"), Vec::new(), &catalogue), &patient()).await;
    assert!(matches!(failed.expect_err("refused").reason, Stopped::Cluster(Error::Conflict { .. })));
    assert_eq!(cluster.document(), Some(other));
}

#[tokio::test]
async fn what_was_swept_away_is_prepared_again() {
    let cluster = Memory::default();
    let before = created(&cluster).await;
    cluster.state().unprepared = true;
    let mut next = before.clone();
    next.generation += 1;
    put(&cluster, &catalogue(), &next, Some(before.generation)).await.expect("put");
    assert_eq!(cluster.document(), Some(next));
}

#[tokio::test]
async fn a_removal_takes_document_and_keys_and_sweeps() {
    let cluster = Memory::default();
    created(&cluster).await;
    let sweeps = cluster.state().sweeps;
    remove(&cluster, "double", false, &patient()).await.expect("removed");
    remove(&cluster, "double", false, &patient()).await.expect("removed again");
    assert_eq!((cluster.document(), cluster.key_generations()), (None, Vec::new()));
    assert!(cluster.state().sweeps > sweeps);
}
