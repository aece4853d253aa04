ephemeral "azureml_webservice_keys" "diabetes" {
  webservice_id = azureml_webservice.diabetes.id
}
