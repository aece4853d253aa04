terraform import azureml_workspace.this file:///srv/azureml/production
