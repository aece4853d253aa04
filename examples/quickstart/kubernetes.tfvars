# The same on a cluster:
#
#   terraform apply -var-file kubernetes.tfvars
#
# Credentials come from the environment: AZURE_STORAGE_ACCOUNT_NAME and one of those that the provider's `storage` takes,
# `docker login` or `podman login` for the registry, and the kubeconfig.

storage_url = "az://models/quickstart"
registry    = "mlprod.azurecr.io/quickstart"

cluster = {
  kubeconfig_path = "~/.kube/config"
  cluster_purpose = "DevTest"
}
