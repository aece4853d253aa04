# The two treatments are compared with the control, which has what they leave.
traffic = {
  lasso  = 10
  forest = 30
}
default_version = "ridge"
