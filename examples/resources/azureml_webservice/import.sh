terraform import azureml_webservice.diabetes file:///srv/azureml/production/computes/local/services/diabetes
