# Replacing both keys of an endpoint without locking anybody out.
#
#   terraform init
#   terraform apply                                                  # both keys have version 1
#   terraform apply -var primary_key_version=2                       # a new primary key; the old one is valid for an hour more
#   # ... callers that hold the primary key change over ...
#   terraform apply -var primary_key_version=2 -var secondary_key_version=2
#
# No replica restarts, and no request with a valid key fails. `azureml-fe endpoint keys echo --directory ...` prints both.

terraform {
  required_version = ">= 1.11"

  required_providers {
    azureml = {
      source = "openazureml/azureml"
    }
  }
}

provider "azureml" {}

variable "primary_key_version" {
  description = "Raise it to replace the primary key."
  type        = number
  default     = 1
}

variable "secondary_key_version" {
  description = "Raise it to replace the secondary key."
  type        = number
  default     = 1
}

resource "azureml_workspace" "this" {
  name        = "keys"
  storage_url = "file://${abspath(path.module)}/.azureml"
}

resource "azureml_local_compute" "this" {
  name         = "local"
  workspace_id = azureml_workspace.this.id
}

resource "azureml_environment" "plain" {
  name             = "plain"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = "# the score script needs nothing but Python\n"
}

resource "azureml_endpoint" "echo" {
  name       = "echo"
  compute_id = azureml_local_compute.this.id

  primary_key_version   = var.primary_key_version
  secondary_key_version = var.secondary_key_version

  # Seconds that a replaced key stays valid.
  key_overlap = 3600
}

resource "azureml_endpoint_version" "echo" {
  name        = "echo"
  endpoint_id = azureml_endpoint.echo.id

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.plain.id
  }

  num_replicas = 1
}

# The keys for another provider's write-only argument, such as a secret of a vault. They enter neither plan nor state.
ephemeral "azureml_endpoint_keys" "echo" {
  endpoint_id = azureml_endpoint.echo.id
}

output "scoring_uri" {
  description = "Where the version answers."
  value       = azureml_endpoint.echo.scoring_uri
}

output "compute_directory" {
  description = "What `azureml-fe endpoint keys echo --directory` takes."
  value       = azureml_local_compute.this.directory
}
