terraform import azureml_endpoint.churn file:///srv/azureml/production/computes/local/endpoints/churn
