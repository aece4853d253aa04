//! An endpoint with two versions that are called all the time.

use acceptance_local::{ENDPOINT, Project, Seen, Watch, score_script, version};

use crate::Stack;

/// What callers send together, in a second.
const RATE: u32 = 60;
/// Each has at most one request on its way.
pub const CALLERS: u32 = 6;

/// The versions `blue`, which is the default, and `green`, behind two routers. Change a part and apply again.
pub struct Duel {
    /// Everything below the endpoint.
    pub stack: Stack,
    /// Replicas of `blue`.
    pub replicas: u32,
    /// Percentage of `green`.
    pub share: u32,
    /// Versions of the primary and the secondary key.
    pub keys: [u32; 2],
    project: Option<Project>,
}

impl Duel {
    /// Applied, on the cluster that there is; none if there is none.
    pub fn find(name: &str) -> Option<Self> {
        let mut stack = Stack::find(name)?;
        stack.make_namespace();
        stack.routers = 2;
        let mut duel = Self { stack, replicas: 1, share: 40, keys: [1, 1], project: None };
        let project = duel.stack.project_of(&duel.render());
        for version in ["blue", "green"] {
            write_code(&project, version, 1);
        }
        project.apply().ok();
        duel.project = Some(project);
        duel.stack.kubectl().wait_for_pods("router", 2);
        Some(duel)
    }

    /// The project.
    pub fn project(&self) -> &Project {
        self.project.as_ref().expect("it is made with the duel")
    }

    /// Writes the code of a version, whose answers name the version and this number.
    pub fn write_code(&self, version: &str, number: u32) {
        write_code(self.project(), version, number);
    }

    /// Applies the parts as they are now.
    #[track_caller]
    pub fn apply(&self) {
        self.project().configure(&self.render());
        self.project().apply().ok();
    }

    /// The endpoint's primary and secondary key.
    pub fn secrets(&self) -> [String; 2] {
        let written = std::fs::read_to_string(self.project().path().join("keys")).expect("the keys");
        let mut lines = written.lines().map(str::to_owned);
        std::array::from_fn(|_| lines.next().expect("a key"))
    }

    /// Starts calling, with the primary key.
    pub fn watch(&self) -> Watch {
        Watch::start(&self.project().endpoint_uri(), &self.secrets()[0], CALLERS, RATE)
    }

    /// Asserts that callers have seen nothing wrong so far, and waits until some more of them have got an answer.
    #[track_caller]
    pub fn assert_well(&self, watch: &Watch, after: &str) -> Seen {
        let seen = watch.see(u64::from(RATE));
        let all = watch.so_far();
        assert!(all.wrong.is_empty(), "{after}: {:?}\n{}", all.wrong, self.stack.kubectl().last_words("router"));
        seen
    }

    /// Destroys everything.
    pub fn finish(mut self) {
        let project = self.project.take().expect("it is made with the duel");
        self.stack.finish(project);
    }

    fn render(&self) -> String {
        let Self { stack, replicas, share, keys: [primary, secondary], .. } = self;
        let small = "cpu_cores = 0.01\n  memory_gb = 0.1\n  max_request_wait_time = 30000";
        let blue = version("blue", &format!("num_replicas = {replicas}\n  is_default = true\n  {small}"));
        let green = version("green", &format!("traffic_percentile = {share}\n  {small}"));
        format!(
            r#"{base}
resource "azureml_endpoint" "this" {{
  name                  = "{ENDPOINT}"
  compute_id            = azureml_aks_attachment.this.id
  primary_key_version   = {primary}
  secondary_key_version = {secondary}
}}
{blue}{green}
ephemeral "azureml_endpoint_keys" "this" {{
  endpoint_id = azureml_endpoint.this.id
}}

resource "terraform_data" "keys" {{
  triggers_replace = [azureml_endpoint.this.primary_key_version, azureml_endpoint.this.secondary_key_version]

  provisioner "local-exec" {{
    command = "umask 077; printf '%s\\n' \"$PRIMARY\" \"$SECONDARY\" > keys"
    environment = {{
      PRIMARY   = ephemeral.azureml_endpoint_keys.this.primary_key
      SECONDARY = ephemeral.azureml_endpoint_keys.this.secondary_key
    }}
  }}
}}
"#,
            base = stack.base(),
        )
    }
}

/// A request takes some time, so that there are some on their way whenever something happens.
fn write_code(project: &Project, version: &str, number: u32) {
    let script = score_script(version, number).replace("    return", "    time.sleep(0.02)\n    return");
    project.write(&format!("{version}/score.py"), format!("import time\n\n\n{script}"));
}
