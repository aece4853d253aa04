# Exactly one of twenty requests goes to the forest; ridge keeps the rest.
traffic = {
  forest = 5
}
default_version = "ridge"
