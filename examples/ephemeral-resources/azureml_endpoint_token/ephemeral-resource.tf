ephemeral "azureml_endpoint_token" "diabetes" {
  endpoint_id = azureml_endpoint.diabetes.id
  lifetime    = 600
}
