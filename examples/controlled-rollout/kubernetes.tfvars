# The same on a cluster:
#
#   terraform apply -var-file kubernetes.tfvars -var-file steps/1-control.tfvars
#
# Credentials come from the environment: AZURE_STORAGE_ACCOUNT_NAME and one of those that the provider's `storage` takes,
# `docker login` or `podman login` for the registry, and the kubeconfig.

storage_url = "az://models/rollout"
registry    = "mlprod.azurecr.io/rollout"

cluster = {
  kubeconfig_path = "~/.kube/config"
  cluster_purpose = "DevTest"
}
