# Where things run. Without a value for any of these it is this machine; kubernetes.tfvars shows those for a cluster.

variable "storage_url" {
  description = "Root of the workspace. For a cluster one that its pods reach, such as az://container/prefix. Default: the folder .azureml."
  type        = string
  default     = null
}

variable "registry" {
  description = "Registry that has the environment's image. Needed for a cluster."
  type        = string
  default     = null
}

variable "cluster" {
  description = "The cluster that serves, as arguments of the connection and of azureml_aks_attachment. Without it this machine does."
  type = object({
    kubeconfig_path  = string
    context          = optional(string)
    namespace        = optional(string)
    create_namespace = optional(bool)
    cluster_purpose  = optional(string)
    external_url     = optional(string)
    storage_endpoint = optional(string)
    router = optional(object({
      image        = optional(string)
      replicas     = optional(number)
      service_type = optional(string)
      node_port    = optional(number)
      cpu_cores    = optional(number)
    }))
  })
  default = null
}
