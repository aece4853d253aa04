terraform import azureml_endpoint_traffic.churn file:///srv/azureml/production/computes/local/endpoints/churn/traffic
