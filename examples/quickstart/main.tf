terraform {
  required_version = ">= 1.11"

  required_providers {
    azureml = {
      source = "openazureml/azureml"
    }
  }
}

provider "azureml" {
  kubernetes = var.cluster == null ? null : {
    cluster = {
      kubeconfig_path = var.cluster.kubeconfig_path
      context         = var.cluster.context
    }
  }
}

# Unless the variables say otherwise, everything that Terraform makes lives below .azureml/.
resource "azureml_workspace" "this" {
  name        = "quickstart"
  storage_url = coalesce(var.storage_url, "file://${abspath(path.module)}/.azureml")
  registry    = var.registry
}

# The embedded default: router and scorers as processes of this machine.
resource "azureml_local_compute" "this" {
  count = var.cluster == null ? 1 : 0

  name         = "local"
  workspace_id = azureml_workspace.this.id
}

# Or router and scorers as pods. What is served does not know the difference.
resource "azureml_aks_attachment" "this" {
  count = var.cluster == null ? 0 : 1

  name             = "cluster"
  workspace_id     = azureml_workspace.this.id
  connection       = "cluster"
  namespace        = var.cluster.namespace
  create_namespace = var.cluster.create_namespace
  cluster_purpose  = var.cluster.cluster_purpose
  external_url     = var.cluster.external_url
  storage_endpoint = var.cluster.storage_endpoint
  router           = var.cluster.router
}

locals {
  compute_id = one(concat(azureml_local_compute.this[*].id, azureml_aks_attachment.this[*].id))
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
  compute_id = local.compute_id
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
  description = "Where a local compute keeps its logs, and what `azureml-fe --directory` takes."
  value       = one(azureml_local_compute.this[*].directory)
}
