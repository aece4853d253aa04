ephemeral "azureml_endpoint_token" "churn" {
  endpoint_id = azureml_endpoint.churn.id
  lifetime    = 600
}
