terraform import azureml_environment.sklearn file:///srv/azureml/production/environments/sklearn
