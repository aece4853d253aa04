//! What a service gives away to whoever is in the cluster: nothing.

use acceptance_kubernetes::Stack;

#[test]
fn a_scorer_answers_only_its_router_and_has_no_token_of_the_cluster() {
    let Some(stack) = Stack::find("hop") else { return };
    stack.make_namespace();
    let project = stack.project();
    project.apply().ok();
    let kubectl = stack.kubectl();
    let scorer = kubectl.pods("scorer").remove(0);
    let inside = |script: &str| kubectl.run(&["exec", &scorer, "--container", "scorer", "--", "python", "-c", script]);
    let ask = |path: &str, secret: &str| {
        inside(&format!(
            "import http.client\n\
             connection = http.client.HTTPConnection('127.0.0.1', 5001)\n\
             connection.request('POST' if '{path}' == '/score' else 'GET', '{path}', body='{{\"x\": 1}}' if '{path}' == '/score' else None, \
             headers={secret})\n\
             print(connection.getresponse().status)"
        ))
    };
    assert_eq!(ask("/score", "{}").trim(), "403");
    assert_eq!(ask("/score", "{'x-azureml-hop': 'guessed'}").trim(), "403");
    assert_eq!(ask("/swagger.json", "{}").trim(), "403");
    assert_eq!(ask("/", "{}").trim(), "200", "the cluster's own probes");
    let secret = "{'x-azureml-hop': open('/var/run/azureml/hop/secret').read()}";
    assert_eq!(ask("/score", secret).trim(), "200");

    let token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount'))";
    assert_eq!(inside(token).trim(), "False");
    stack.finish(project);
}

#[test]
fn a_router_can_read_what_it_serves_and_no_plain_key_and_no_credential_of_the_storage() {
    let Some(stack) = Stack::find("rights") else { return };
    stack.make_namespace();
    let project = stack.project();
    project.apply().ok();
    let kubectl = stack.kubectl();
    let may = |verb: &str, what: &str| {
        let identity = format!("system:serviceaccount:{}:azureml-fe", kubectl.namespace());
        kubectl.succeeds(&["auth", "can-i", verb, what, "--as", &identity, "--quiet"])
    };
    for (verb, what) in [("watch", "pods"), ("list", "configmaps"), ("get", "secret/azureml-fe-access")] {
        assert!(may(verb, what), "{verb} {what}");
    }
    let keys = kubectl.list("secrets", "app.kubernetes.io/component=keys");
    let keys = format!("secret/{}", keys[0]["metadata"]["name"].as_str().expect("a name"));
    for (verb, what) in [
        ("get", keys.as_str()),
        ("get", "secret/azureml-storage"),
        ("list", "secrets"),
        ("create", "pods"),
        ("delete", "pods"),
        ("patch", "configmaps"),
        ("create", "secrets"),
    ] {
        assert!(!may(verb, what), "{verb} {what}");
    }
    stack.finish(project);
}
