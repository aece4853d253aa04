//! A registry that does not let the cluster pull.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use acceptance_kubernetes::Told;

use super::Healthy;

/// Answers every request as a registry does that wants to know who asks. Says when it listens.
const REGISTRY: &str = r#"
import http.server

class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"errors": [{"code": "DENIED", "message": "the subscription has expired"}]}'
        self.send_response(401)
        self.send_header("www-authenticate", 'Basic realm="registry"')
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 80), Registry)
print("listens", flush=True)
server.serve_forever()
"#;

/// The registry, where the node reaches it. Of this port alone it is clear that there is no TLS.
const ADDRESS: &str = "127.0.0.1:80";

struct Registry(Child);

impl Registry {
    /// On the node that the repository starts; none on another cluster, whose nodes do not see this machine's loopback.
    fn start() -> Option<Self> {
        let enter = std::env::var("ENTER").ok().filter(|enter| !enter.is_empty())?;
        let mut command = Command::new(enter);
        let mut program =
            command.args(["python3", "-c", REGISTRY]).stdout(Stdio::piped()).spawn().expect("the registry starts");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("a pipe")).read_line(&mut line).expect("its word");
        assert_eq!(line.trim(), "listens");
        Some(Self(program))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

#[test]
fn a_registry_that_refuses_the_cluster_is_told_with_its_answer_and_the_argument_for_its_credentials() {
    let Some(mut healthy) = Healthy::find("denied") else { return };
    let Some(_registry) = Registry::start() else { return };
    let right = healthy.stack.site.images.clone();
    let image = format!("{ADDRESS}/azureml-fe:1");
    healthy.stack.attachment = "timeouts { update = \"30s\" }".into();
    healthy.stack.site.images.insert("azureml-fe".into(), image.clone());
    healthy.project.configure(&healthy.stack.render());
    let expected = ["does not get ready", &image, "no basic auth credentials", "image_pull_secret"];
    Told::by_apply(&healthy.project, &expected).at("router");
    healthy.answers();

    healthy.stack.kubectl().run(&[
        "create",
        "secret",
        "docker-registry",
        "pull",
        "--docker-username=team",
        "--docker-password=an-old-password",
        &format!("--docker-server={ADDRESS}"),
    ]);
    healthy.stack.attachment.push_str("\n  image_pull_secret = \"pull\"");
    healthy.project.configure(&healthy.stack.render());
    let expected = ["does not get ready", &image, "401 Unauthorized", "image_pull_secret"];
    Told::by_apply(&healthy.project, &expected).without(&["an-old-password"]).at("router");
    healthy.answers();
    healthy.stack.attachment = String::new();
    healthy.stack.site.images = right;
    healthy.recovers();
    healthy.finish();
}
