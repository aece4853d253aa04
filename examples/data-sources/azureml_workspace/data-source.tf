data "azureml_workspace" "shared" {
  storage_url = "file:///srv/azureml/production"
}
