ephemeral "azureml_endpoint_logs" "churn" {
  endpoint_id = azureml_endpoint.churn.id
  num_lines   = 100
}
