# Run by `terraform test`, after the model was trained: applies the whole example, looks at it, destroys it.

run "the_model_is_served" {
  command = apply

  assert {
    condition     = can(regex("^http://127\\.0\\.0\\.1:[0-9]+/api/v1/service/diabetes/score$", output.scoring_uri))
    error_message = "The scoring URI is ${output.scoring_uri}, which is not the service's on this machine."
  }

  assert {
    condition     = azureml_webservice.diabetes.model_ids == tolist([azureml_model.diabetes.version_id])
    error_message = "The service does not run the registered version of the model."
  }
}

run "nothing_is_left_to_do" {
  command = plan

  # An output that a plan wants to change is unknown here, and an unknown condition fails.
  assert {
    condition     = output.scoring_uri == run.the_model_is_served.scoring_uri
    error_message = "A second plan would change where the model answers."
  }

  assert {
    condition     = azureml_model.diabetes.version == 1
    error_message = "A second plan would register the same model again."
  }
}
