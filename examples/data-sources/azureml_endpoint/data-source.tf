data "azureml_endpoint" "churn" {
  id = "file:///srv/azureml/production/computes/local/endpoints/churn"
}

output "shares" {
  value = { for name, version in data.azureml_endpoint.churn.versions : name => version.served_percentile }
}
