# The connection `prod` is one of the provider block.
resource "azureml_workspace" "prod" {
  name        = "prod"
  storage_url = "az://mlprod/workspaces/prod"
}

resource "azureml_aks_attachment" "prod" {
  name            = "prod"
  workspace_id    = azureml_workspace.prod.id
  connection      = "prod"
  namespace       = "azureml-prod"
  cluster_purpose = "FastProd"

  router = {
    replicas     = 3
    service_type = "LoadBalancer"
  }
}
