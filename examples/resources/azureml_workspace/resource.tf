resource "azureml_workspace" "this" {
  name        = "production"
  storage_url = "file:///srv/azureml/production"
}
