output "replicas" {
  # 20 requests/s of 10 s each, one at a time, at 70 % utilization: 286
  value = provider::azureml::required_replicas(20, 10, 1, 70)
}
