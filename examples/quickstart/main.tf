terraform {
  required_version = ">= 1.11"

  required_providers {
    azureml = {
      source = "openazureml/azureml"
    }
  }
}

provider "azureml" {}

# Everything that Terraform makes here lives below .azureml/.
resource "azureml_workspace" "this" {
  name        = "quickstart"
  storage_url = "file://${abspath(path.module)}/.azureml"
}

# The embedded default: router and scorers as processes of this machine.
resource "azureml_local_compute" "this" {
  name         = "local"
  workspace_id = azureml_workspace.this.id
}

resource "azureml_model" "diabetes" {
  name         = "diabetes"
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/model/ridge.joblib"
}

resource "azureml_environment" "sklearn" {
  name             = "sklearn"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = file("${path.module}/requirements.txt")
}

resource "azureml_webservice" "diabetes" {
  name       = "diabetes"
  compute_id = azureml_local_compute.this.id
  model_ids  = [azureml_model.diabetes.version_id]

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.sklearn.id
  }

  num_replicas                    = 2
  replica_max_concurrent_requests = 1
  scoring_timeout_ms              = 60000
}

output "scoring_uri" {
  description = "Where the model answers."
  value       = azureml_webservice.diabetes.scoring_uri
}

output "compute_directory" {
  description = "Where the local compute keeps its logs, and what `azureml-fe --directory` takes."
  value       = azureml_local_compute.this.directory
}
