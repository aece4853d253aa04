//! The webservice's keys as users get them.

use acceptance_local::Project;

/// Both keys of the webservice, through the ephemeral resource that users have, written to a file.
pub const KEYS: &str = r#"
ephemeral "azureml_webservice_keys" "this" {
  webservice_id = azureml_webservice.this.id
}

resource "terraform_data" "keys" {
  input = azureml_webservice.this.id

  provisioner "local-exec" {
    command = "umask 077; printf %s \"$KEY\" > key"
    environment = { KEY = ephemeral.azureml_webservice_keys.this.primary_key }
  }
}
"#;

/// The primary key that [`KEYS`] has written.
pub fn key(project: &Project) -> String {
    std::fs::read_to_string(project.path().join("key")).expect("the key")
}
