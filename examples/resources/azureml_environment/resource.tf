resource "azureml_environment" "sklearn" {
  name             = "sklearn"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = file("${path.module}/requirements.txt")

  environment_variables = {
    OMP_NUM_THREADS = "1"
  }
}

# In a workspace with a registry: an image on a base of your own.
resource "azureml_environment" "boosted" {
  name             = "boosted"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = "lightgbm==4.6.0"

  docker = {
    base_image              = "python:3.12-slim-bookworm"
    extra_docker_file_steps = ["RUN apt-get update && apt-get install -y --no-install-recommends libgomp1"]
  }
}
