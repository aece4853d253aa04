terraform import azureml_local_compute.this file:///srv/azureml/production/computes/local
