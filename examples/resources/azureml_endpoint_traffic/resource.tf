# The versions have neither traffic_percentile nor is_default.
resource "azureml_endpoint_traffic" "churn" {
  endpoint_id = azureml_endpoint.churn.id

  traffic = {
    (azureml_endpoint_version.ridge.name)  = 95
    (azureml_endpoint_version.forest.name) = 5
  }
}
