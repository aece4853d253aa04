resource "azureml_model" "diabetes" {
  name         = "diabetes"
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/model/ridge.joblib"

  # The newest two versions stay, and every version that a service names.
  keep_versions = 2
}
