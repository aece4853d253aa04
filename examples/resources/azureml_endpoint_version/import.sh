terraform import azureml_endpoint_version.ridge file:///srv/azureml/production/computes/local/endpoints/churn/versions/ridge
