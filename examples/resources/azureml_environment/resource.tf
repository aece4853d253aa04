resource "azureml_environment" "sklearn" {
  name             = "sklearn"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = file("${path.module}/requirements.txt")

  environment_variables = {
    OMP_NUM_THREADS = "1"
  }
}
