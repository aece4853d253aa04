resource "azureml_local_compute" "this" {
  name         = "local"
  workspace_id = azureml_workspace.this.id

  # Without a port, a free one is chosen at create and kept.
  port = 8080
}
