terraform {
  required_providers {
    azureml = {
      source = "openazureml/azureml"
    }
  }
}

provider "azureml" {
  # Names who creates objects; an object of another owner is never taken over by accident.
  owner = "ml-platform"

  # Clusters for azureml_aks_attachment, and the account of workspaces in object storage, with the identity of the environment.
  kubernetes = {
    prod = { kubeconfig_path = "~/.kube/config", context = "prod" }
  }
  storage = { account_name = "mlprod" }
}
