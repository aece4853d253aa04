ephemeral "azureml_webservice_token" "diabetes" {
  webservice_id = azureml_webservice.diabetes.id
  lifetime      = 600
}
