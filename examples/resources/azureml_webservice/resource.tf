resource "azureml_webservice" "diabetes" {
  name       = "diabetes"
  compute_id = azureml_local_compute.this.id
  model_ids  = [azureml_model.diabetes.version_id]

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.sklearn.id
  }

  num_replicas                    = 2
  replica_max_concurrent_requests = 1
  scoring_timeout_ms              = 60000

  # Bump to replace the primary key; the secondary one keeps working.
  primary_key_version = 1
}
