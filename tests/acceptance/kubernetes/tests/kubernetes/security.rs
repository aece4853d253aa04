//! What a service gives away to whoever is in the cluster: nothing.

use acceptance_kubernetes::{KEYS, Stack, key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[test]
fn a_scorer_answers_only_its_router_and_has_no_token_of_the_cluster() {
    let Some(mut stack) = Stack::find("hop") else { return };
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

    // Nor does it answer any other pod of the namespace, where a network lets it come through at all.
    let address = kubectl.run(&["get", "pod", &scorer, "--output", "jsonpath={.status.podIP}"]);
    kubectl.apply(&serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "stranger" },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "stranger", "image": stack.site.image("azureml-scorer"), "command": ["sleep", "600"],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    }));
    kubectl.run(&["wait", "pod/stranger", "--for=condition=Ready", "--timeout=60s"]);
    let script = format!(
        "import http.client\n\
         connection = http.client.HTTPConnection('{address}', 5001, timeout=5)\n\
         try:\n  connection.request('POST', '/score', body='{{}}')\n  print(connection.getresponse().status)\n\
         except TimeoutError:\n  print('dropped')\n"
    );
    let answer = kubectl.run(&["exec", "stranger", "--", "python", "-c", &script]);
    assert!(["403", "dropped"].contains(&answer.trim()), "{answer}");
    kubectl.run(&["delete", "pod", "stranger", "--wait=false"]);

    let token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount'))";
    assert_eq!(inside(token).trim(), "False");

    // The level is already enforced; taking it back first lets the API server look at all pods again.
    let enforce = |level: &str| format!("pod-security.kubernetes.io/enforce={level}");
    let namespace = stack.namespace();
    kubectl.run(&["label", "--overwrite", "namespace", &namespace, &enforce("privileged")]);
    let dry = ["label", "--dry-run=server", "--overwrite", "namespace", &namespace, &enforce("restricted")];
    let said = kubectl.says(&dry);
    assert!(!said.to_lowercase().contains("warning"), "{said}");
    stack.finish(project);
}

#[test]
fn a_router_can_read_what_it_serves_and_no_plain_key_and_no_credential_of_the_storage() {
    let Some(mut stack) = Stack::find("rights") else { return };
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

#[test]
fn a_service_account_that_the_attachment_names_gets_tokens_for_the_services_it_may_call() {
    let Some(mut stack) = Stack::find("accounts") else { return };
    stack.make_namespace();
    let kubectl = stack.kubectl();
    for name in ["caller", "stranger"] {
        kubectl.run(&["create", "serviceaccount", name]);
    }
    let subject = format!("system:serviceaccount:{}:caller", stack.namespace());
    stack.attachment = format!("token_service_accounts = {{ subjects = [\"{subject}\"] }}");
    stack.webservice = "num_replicas = 1\n  token_auth_enabled = true".into();
    let project = stack.project();
    project.apply().ok();
    project.assert_no_changes();

    let uri = project.scoring_uri();
    let exchange = format!("{}/token", uri.trim_end_matches("/score"));
    let presented = |name: &str, audience: &str| {
        let token = kubectl.run(&["create", "token", name, &format!("--audience={audience}")]);
        acceptance_local::post(&exchange, token.trim(), "")
    };
    let answer = presented("caller", "azureml-fe");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let token = answer["accessToken"].as_str().expect("a token");
    assert_eq!(acceptance_local::post(&uri, token, r#"{"x": 1}"#).status, 200);
    assert_eq!(presented("stranger", "azureml-fe").status, 403);
    assert_eq!(presented("caller", "https://elsewhere.example").status, 401);
    stack.finish(project);
}

/// What a reader of the namespace may see, who may not see its Secrets.
const OBJECTS: &str = "pods,deployments,replicasets,configmaps,services,serviceaccounts,leases,roles,events,\
                       poddisruptionbudgets,networkpolicies,endpointslices";

/// The same configuration with the storage's key from an ephemeral variable, as a careful user writes it.
fn with_variable(configuration: &str) -> String {
    let line = configuration.lines().find(|line| line.contains("account_key ")).expect("the key");
    let variable = "variable \"account_key\" {\n  type      = string\n  ephemeral = true\n}\n";
    format!("{}{variable}", configuration.replace(line, "    account_key = var.account_key"))
}

#[test]
fn no_secret_is_in_specifications_variables_logs_state_or_plan() {
    let Some(mut stack) = Stack::find("secret") else { return };
    stack.make_namespace();
    stack.more = KEYS.into();
    stack.webservice = "num_replicas = 1\n  token_auth_enabled = false".into();
    let kubectl = stack.kubectl();
    let mut project = stack.project_of(&with_variable(&stack.render()));
    project.set_variable("TF_VAR_account_key", acceptance_kubernetes::ACCOUNT_KEY);
    project.apply().ok();
    let uri = project.scoring_uri();
    let key = key(&project);
    assert_eq!(acceptance_local::post(&uri, &key, r#"{"x": 1}"#).status, 200);
    assert_eq!(acceptance_local::post(&uri, "a-key-that-is-wrong-but-long-enough", r#"{"x": 1}"#).status, 401);

    // Everything secret that there is: of each Secret each value, and what it has in it.
    let mut secrets = vec![acceptance_kubernetes::ACCOUNT_KEY.to_owned()];
    for secret in kubectl.list("secrets", "app.kubernetes.io/part-of=azureml") {
        for (name, value) in secret["data"].as_object().into_iter().flatten() {
            let bytes = STANDARD.decode(value.as_str().expect("base64")).expect("base64");
            let text = String::from_utf8(bytes).expect("UTF-8");
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(json) => strings(&json, &mut secrets),
                // Endpoint and account are no secrets.
                Err(_) if name.ends_with("KEY") || name.rsplit('.').next() == Some("hop") => secrets.push(text),
                Err(_) => {}
            }
        }
    }
    assert!(secrets.contains(&key) && secrets.len() > 6, "{} secrets", secrets.len());

    project.terraform(["plan", "-input=false", "-out=test.tfplan", "-replace=azureml_webservice.this"]).ok();
    let mut places = vec![
        ("plan", project.json(["show", "-json", "test.tfplan"])),
        ("state", std::fs::read_to_string(project.path().join("terraform.tfstate")).expect("a state")),
    ];
    places.push(("objects", kubectl.run(&["get", OBJECTS, "--output", "json"])));
    let pods = [kubectl.pods("scorer"), kubectl.pods("router")].concat();
    for pod in &pods {
        places.push(("log", kubectl.run(&["logs", pod, "--all-containers"])));
    }
    let environment = ["exec", &pods[0], "--container", "scorer", "--", "cat", "/proc/1/environ"];
    places.push(("environment of the scorer", kubectl.run(&environment)));
    for (place, text) in places {
        assert!(text.len() > 40, "nothing in {place}: {text}");
        for (index, secret) in secrets.iter().enumerate() {
            assert!(!text.contains(secret), "secret {index} is in {place}");
            assert!(!text.contains(&STANDARD.encode(secret)), "secret {index} is in {place}, encoded");
        }
    }
    stack.finish(project);
}

/// All texts of a document that may be secret: long ones that are no times.
fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if text.len() >= 16 && text.parse::<jiff::Timestamp>().is_err() => {
            found.push(text.clone());
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}
