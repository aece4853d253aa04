data "azureml_webservice" "diabetes" {
  id = "file:///srv/azureml/production/computes/local/services/diabetes"
}

output "scoring_uri" {
  value = data.azureml_webservice.diabetes.scoring_uri
}
