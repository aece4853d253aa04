# Gets 90 %: its own 20 % and the 70 % that nothing claims.
resource "azureml_endpoint_version" "ridge" {
  name        = "ridge"
  endpoint_id = azureml_endpoint.churn.id
  model_ids   = [azureml_model.diabetes.version_id]

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.sklearn.id
  }

  num_replicas            = 2
  traffic_percentile      = 20
  is_default              = true
  is_control_version_type = true
}

resource "azureml_endpoint_version" "forest" {
  name        = "forest"
  endpoint_id = azureml_endpoint.churn.id
  model_ids   = ["${azureml_model.diabetes.id}/1"]

  inference_config = {
    source_directory = "${path.module}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.sklearn.id
  }

  num_replicas       = 1
  traffic_percentile = 10
}
