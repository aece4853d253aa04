data "azureml_model" "diabetes" {
  workspace_id = data.azureml_workspace.shared.id
  name         = "diabetes"
}
