# Blue/green: the new version starts beside the old one, the traffic moves in one step, the old version goes.
#
#   terraform init
#   terraform apply                                             # blue answers
#   terraform apply -var 'colours=["blue", "green"]'            # green runs, and answers requests that are pinned to it:
#   #   curl -H 'azureml-model-deployment: green' ...
#   terraform apply -var 'colours=["blue", "green"]' -var live=green   # green answers everything
#   terraform apply -var 'colours=["green"]' -var live=green    # blue is gone
#
# The last two may be one apply: a version that is destroyed serves until the traffic has moved.

terraform {
  required_version = ">= 1.11"

  required_providers {
    azureml = {
      source = "openazureml/azureml"
    }
  }
}

provider "azureml" {}

variable "colours" {
  description = "The versions that run."
  type        = set(string)
  default     = ["blue"]
}

variable "live" {
  description = "The version that has the traffic."
  type        = string
  default     = "blue"
}

resource "azureml_workspace" "this" {
  name        = "bluegreen"
  storage_url = "file://${abspath(path.module)}/.azureml"
}

resource "azureml_local_compute" "this" {
  name         = "local"
  workspace_id = azureml_workspace.this.id
}

resource "azureml_environment" "plain" {
  name             = "plain"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = "# the score scripts need nothing but Python\n"
}

resource "azureml_endpoint" "greeting" {
  name       = "greeting"
  compute_id = azureml_local_compute.this.id
}

resource "azureml_endpoint_version" "this" {
  for_each = var.colours

  name        = each.key
  endpoint_id = azureml_endpoint.greeting.id

  inference_config = {
    source_directory = "${path.module}/${each.key}"
    entry_script     = "score.py"
    environment_id   = azureml_environment.plain.id
  }

  num_replicas = 2
}

# The whole split, changed in one step. The versions themselves declare none of it.
resource "azureml_endpoint_traffic" "greeting" {
  endpoint_id = azureml_endpoint.greeting.id

  traffic = {
    (azureml_endpoint_version.this[var.live].name) = 100
  }
}

output "scoring_uri" {
  description = "Where the live version answers."
  value       = azureml_endpoint.greeting.scoring_uri
}

output "compute_directory" {
  description = "What `azureml-fe endpoint show greeting --directory` takes."
  value       = azureml_local_compute.this.directory
}
