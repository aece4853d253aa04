//! Endpoints that change under constant load: no request fails, none is misrouted, and after an apply has returned none sees
//! what was in force before it.

use std::cell::Cell;

use acceptance_local::{Project, Seen, Split, Watch, score_script, traffic, write_code};

const CALLERS: u32 = 4;
const REQUESTS_PER_SECOND: u32 = 500;
/// Requests that are looked at after each apply.
const LOOK: u64 = 150;

/// Shares that come one after the other, in hundredths of a percent.
const SHARES: [(u16, u16); 5] = [(2_000, 8_000), (10_000, 0), (9_000, 1_000), (0, 10_000), (3_333, 6_667)];

/// One, or as many as `AZUREML_ACCEPTANCE_LOAD_ROUNDS` says: of five traffic changes, one replacement of each key, and every
/// kind of swap; every second round also replaces a version's code.
fn rounds() -> u32 {
    std::env::var("AZUREML_ACCEPTANCE_LOAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A project under load.
struct Scene {
    project: Project,
    watch: Watch,
    threads: u64,
    applies: Cell<u32>,
    keys: Cell<u32>,
}

impl Scene {
    fn of(split: &Split) -> Self {
        let project = split.project();
        project.apply().ok();
        let threads = 2;
        project.set_threads(threads);
        let (uri, key) = project.endpoint_access();
        let watch = Watch::start(&uri, &key, CALLERS, REQUESTS_PER_SECOND);
        let scene = Self { project, watch, threads: threads.into(), applies: Cell::new(0), keys: Cell::new(1) };
        assert!(scene.watch.see(LOOK).wrong.is_empty(), "{:?}", scene.watch.so_far());
        scene
    }

    /// Applies once, and looks at what is served as soon as that has returned.
    #[track_caller]
    fn apply(&self, split: &Split, shares: &[(&str, u16)]) -> Seen {
        split.write(&self.project);
        self.apply_what_is_written(shares)
    }

    #[track_caller]
    fn apply_what_is_written(&self, shares: &[(&str, u16)]) -> Seen {
        self.project.apply().ok();
        self.applies.set(self.applies.get() + 1);
        self.project.assert_shares(shares);
        let seen = self.watch.see(LOOK);
        assert!(seen.wrong.is_empty(), "{seen:?}");
        for (version, share) in shares {
            let (count, all) = (seen.of(version), seen.answered());
            assert!(*share > 0 || count == 0, "{version} has no share: {seen:?}");
            // Each thread deals its own requests, and requests in flight at both ends belong to other spans.
            let slack = 2 * self.threads + 2 * u64::from(CALLERS);
            let off = (count * 10_000).abs_diff(all * u64::from(*share));
            assert!(off <= slack * 10_000, "{version} has not {share} of 10,000: {seen:?}");
        }
        let told: u64 = shares.iter().map(|(version, _)| seen.of(version)).sum();
        assert_eq!(told, seen.answered(), "others than {shares:?} answered: {seen:?}");
        seen
    }

    /// Arguments of the endpoint with the next version of each key; replaces them in `split` while callers keep the old one
    /// and then another.
    fn replace_keys(&self, split: &Split, shares: &[(&str, u16)]) -> String {
        self.keys.set(self.keys.get() + 1);
        let version = self.keys.get();
        let primary = format!("key_overlap = 600\n primary_key_version = {version}");
        let both = format!("{primary}\n secondary_key_version = {version}");
        for (arguments, takes_secondary) in [(primary, false), (both.clone(), true)] {
            self.apply(&Split { endpoint: arguments, ..split.clone() }, shares);
            let (primary, secondary) = self.project.endpoint_keys();
            self.watch.set_key(if takes_secondary { &secondary } else { &primary });
        }
        both
    }

    /// Stops the load, and asserts that nothing went wrong at any time.
    fn end(self, what: &str) {
        self.project.assert_no_changes();
        let all = self.watch.stop();
        eprintln!("{what}: {} applies, {} requests, {:?} wrong", self.applies.get(), all.answered(), all.wrong);
        assert!(all.wrong.is_empty(), "{:?}", all.wrong);
    }
}

fn percent(share: u16) -> String {
    serving::traffic::BasisPoints(share).to_string()
}

/// Each version declares its share.
fn declared(endpoint: &str, versions: &[(&str, u16)]) -> Split {
    let version =
        |(name, share): &(&str, u16)| ((*name).to_owned(), format!("traffic_percentile = {}", percent(*share)));
    Split { versions: versions.iter().map(version).collect(), endpoint: endpoint.to_owned(), ..Split::default() }
}

/// The split is one object; the versions of the first list are there, those of the second get requests.
fn assigned(endpoint: &str, versions: &[&str], shares: &[(&str, u16)]) -> Split {
    let versions = versions.iter().map(|name| ((*name).to_owned(), String::new())).collect();
    let shares: Vec<_> = shares.iter().map(|(name, share)| (*name, percent(*share))).collect();
    let shares: Vec<_> = shares.iter().map(|(name, share)| (*name, share.as_str())).collect();
    Split { versions, endpoint: endpoint.to_owned(), traffic: traffic(&shares), ..Split::default() }
}

const SWAPPED: [(&str, u16); 2] = [("blue", 2_000), ("green", 8_000)];

const CREATE_FIRST: &str = "lifecycle {\n create_before_destroy = true\n }";

#[test]
fn shares_keys_and_versions_change_without_a_failed_or_misrouted_request() {
    let scene = Scene::of(&declared("", &[("blue", 10_000), ("green", 0)]));
    let mut endpoint = String::new();
    let (mut blue_code, mut shares) = (1, [("blue", 10_000), ("green", 0)]);
    for round in 0..rounds() {
        for (blue, green) in SHARES {
            shares = [("blue", blue), ("green", green)];
            scene.apply(&declared(&endpoint, &shares), &shares);
        }
        endpoint = scene.replace_keys(&declared(&endpoint, &shares), &shares);
        if round % 2 == 0 {
            blue_code += 1;
            write_code(&scene.project, "blue", blue_code);
            let seen = scene.apply(&declared(&endpoint, &shares), &shares);
            assert!(
                seen.answers.keys().all(|(name, code)| name != "blue" || *code == u64::from(blue_code)),
                "{seen:?}"
            );
        }
        // A version comes and goes in the applies that make room for it and take its share over.
        let three = [("blue", 2_000), ("green", 3_000), ("red", 5_000)];
        scene.apply(&declared(&endpoint, &three), &three);
        scene.apply(&declared(&endpoint, &SWAPPED), &SWAPPED);
        for create_first in ["", CREATE_FIRST] {
            let both = declared(&endpoint, &[("blue", 10_000), ("green", 0)]).with_each(create_first);
            scene.apply(&both, &[("blue", 10_000), ("green", 0)]);
            scene.apply(&declared(&endpoint, &[("green", 10_000)]).with_each(create_first), &[("green", 10_000)]);
        }
        scene.apply(&declared(&endpoint, &[("blue", 10_000), ("green", 0)]), &[("blue", 10_000), ("green", 0)]);
    }
    scene.end("shares of versions");
}

#[test]
fn a_split_that_is_one_object_changes_and_its_versions_are_swapped_without_a_failed_or_misrouted_request() {
    let both = ["blue", "green"];
    let scene = Scene::of(&assigned("", &both, &[("blue", 10_000)]));
    let mut endpoint = String::new();
    let mut shares = [("blue", 10_000), ("green", 0)];
    for round in 0..rounds() {
        for (blue, green) in SHARES {
            shares = [("blue", blue), ("green", green)];
            scene.apply(&assigned(&endpoint, &both, &shares), &shares);
        }
        endpoint = scene.replace_keys(&assigned(&endpoint, &both, &shares), &shares);
        if round % 2 == 0 {
            write_code(&scene.project, "green", round + 2);
            let seen = scene.apply(&assigned(&endpoint, &both, &shares), &shares);
            let code = u64::from(round + 2);
            assert!(seen.answers.keys().all(|(name, seen)| name != "green" || *seen == code), "{seen:?}");
        }
        for create_first in ["", CREATE_FIRST] {
            let split = |versions: &[&str], shares: &[(&str, u16)]| {
                assigned(&endpoint, versions, shares).with_each(create_first)
            };
            scene.apply(&split(&both, &[("blue", 10_000)]), &[("blue", 10_000), ("green", 0)]);
            // The old version goes in the apply in which its traffic goes.
            scene.apply(&split(&["green"], &[("green", 10_000)]), &[("green", 10_000)]);
            // One comes in the apply in which it gets traffic, while the other one goes.
            scene.apply(&split(&["blue"], &[("blue", 10_000)]), &[("blue", 10_000)]);
        }
        // A version that gets another name is a new one, made before or after the old one goes.
        for (create_first, before, after) in [("", "blue", "blue-2"), (CREATE_FIRST, "blue-2", "blue")] {
            let only = assigned(&endpoint, &["blue"], &[("blue", 10_000)]).with_each(create_first).render();
            let named = |name: &str| only.replace("= \"blue\"\n", &format!("= \"{name}\"\n"));
            assert!(before == "blue" || named(before) != only, "{only}");
            scene.project.configure(&named(before));
            scene.apply_what_is_written(&[(before, 10_000)]);
            scene.project.configure(&named(after));
            scene.project.write("blue/score.py", score_script(after, 1));
            scene.apply_what_is_written(&[(after, 10_000)]);
        }
        scene.apply(&assigned(&endpoint, &both, &[("blue", 10_000)]), &[("blue", 10_000), ("green", 0)]);
    }
    scene.end("one object");
}
