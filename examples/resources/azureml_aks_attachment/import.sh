terraform import azureml_aks_attachment.prod az://mlprod/workspaces/prod/computes/prod
