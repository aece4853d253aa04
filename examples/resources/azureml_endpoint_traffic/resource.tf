# The versions have neither traffic_percentile nor is_default.
resource "azureml_endpoint_traffic" "churn" {
  endpoint_id = azureml_endpoint.churn.id

  traffic = {
    (azureml_endpoint_version.blue.name)  = 95
    (azureml_endpoint_version.green.name) = 5
  }
}
