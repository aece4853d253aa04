# Three versions of a model behind one URL, moved from the first to the third without a failed request.
#
# Train the models once, then apply the steps one after the other:
#
#   python train.py
#   terraform init
#   terraform apply -var-file steps/1-control.tfvars   # ridge answers everything
#   terraform apply -var-file steps/2-canary.tfvars    # 5 % of the requests see the forest
#   terraform apply -var-file steps/3-compare.tfvars   # ridge 60 %, lasso 10 %, forest 30 %
#   terraform apply -var-file steps/4-full.tfvars      # the forest is the default and answers everything
#
# Going back is applying an earlier step. Each step is one apply, in which only the percentages change: no replica restarts.

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

variable "traffic" {
  description = "Percentage of the requests by version. What is not given to any version goes to the default."
  type        = map(number)
  default     = {}
}

variable "default_version" {
  description = "The version that gets what no version claims."
  type        = string
  default     = "ridge"
}

resource "azureml_workspace" "this" {
  name        = "rollout"
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

resource "azureml_environment" "sklearn" {
  name             = "sklearn"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = file("${path.module}/requirements.txt")
}

resource "azureml_model" "diabetes" {
  for_each = toset(["ridge", "lasso", "forest"])

  name         = each.key
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/models/${each.key}.joblib"
}

resource "azureml_endpoint" "diabetes" {
  name       = "diabetes"
  compute_id = local.compute_id

  # A patient sees the same version for as long as its percentage does not shrink.
  sticky = {
    header = "x-patient-id"
  }
}

resource "azureml_endpoint_version" "this" {
  for_each = azureml_model.diabetes

  name        = each.key
  endpoint_id = azureml_endpoint.diabetes.id
  model_ids   = [each.value.version_id]

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.sklearn.id
  }

  num_replicas = 1

  traffic_percentile      = lookup(var.traffic, each.key, 0)
  is_default              = each.key == var.default_version
  is_control_version_type = each.key == "ridge"
}

output "scoring_uri" {
  description = "Where the versions answer; the response's header azureml-model-deployment says which one did."
  value       = azureml_endpoint.diabetes.scoring_uri
}

output "compute_directory" {
  description = "What `azureml-fe endpoint show diabetes --watch --directory` takes, of a local compute."
  value       = one(azureml_local_compute.this[*].directory)
}
