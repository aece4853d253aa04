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
}
