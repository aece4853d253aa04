//! A cluster whose API server is away. A program of its own, because nothing else can be done with the cluster meanwhile.

#![allow(missing_docs, reason = "a test crate")]

use std::process::Command;

use acceptance_kubernetes::Duel;

/// Stops or starts the API server of the node that the tests run on.
struct ApiServer {
    program: String,
    state: String,
}

impl ApiServer {
    /// None on other clusters.
    fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { program: variable("NODE_UP")?, state: variable("NODE_STATE")? })
    }

    fn order(&self, order: &str) {
        let mut command = Command::new(&self.program);
        let status = command.args(["apiserver", order, "--state", &self.state]).status().expect("node-up starts");
        assert!(status.success(), "node-up apiserver {order}");
    }
}

/// So that a test that fails meanwhile leaves a whole node.
struct Outage<'a>(&'a ApiServer);

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        self.0.order("start");
    }
}

#[test]
fn no_request_fails_while_the_api_server_is_away_and_what_changes_after_is_served() {
    let Some(server) = ApiServer::find() else { return };
    let Some(duel) = Duel::find("outage") else { return };
    let kubectl = duel.stack.kubectl();
    let routers = kubectl.pods("router");
    let watch = duel.watch();
    duel.assert_well(&watch, "at first");

    server.order("stop");
    let outage = Outage(&server);
    let told = duel.project().plan();
    assert!(!told.success, "a cluster that is away is never guessed at: {}", told.text);
    // Half a minute of requests at their rate.
    watch.see(30 * 60);
    drop(outage);
    let all = watch.so_far();
    assert!(all.wrong.is_empty(), "{all:?}");

    acceptance_local::eventually("the API server", || kubectl.succeeds(&["get", "pods"]).then_some(()));
    duel.write_code("blue", 2);
    duel.apply();
    let seen = duel.assert_well(&watch, "new code after the outage");
    assert!(!seen.answers.contains_key(&("blue".to_owned(), 1)), "{seen:?}");
    assert_eq!(kubectl.pods("router"), routers, "an outage restarts no router");
    assert!(watch.stop().wrong.is_empty());
    duel.finish();
}
