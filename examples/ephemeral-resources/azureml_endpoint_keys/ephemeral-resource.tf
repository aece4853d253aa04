ephemeral "azureml_endpoint_keys" "churn" {
  endpoint_id = azureml_endpoint.churn.id
}
