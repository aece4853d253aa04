ephemeral "azureml_webservice_logs" "diabetes" {
  webservice_id = azureml_webservice.diabetes.id
  num_lines     = 200
}
