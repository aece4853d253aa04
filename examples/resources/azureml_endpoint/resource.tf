resource "azureml_endpoint" "churn" {
  name       = "churn"
  compute_id = azureml_local_compute.this.id

  # One caller stays on one version.
  sticky = {
    header = "x-customer-id"
  }

  # Bump to replace the primary key; the old one stays valid for a day.
  primary_key_version = 1
  key_overlap         = 86400
}
