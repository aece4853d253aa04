terraform import azureml_model.diabetes file:///srv/azureml/production/models/diabetes
