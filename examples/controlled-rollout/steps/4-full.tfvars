# The forest is the default and has everything. The others keep running for a way back, and answer pinned requests.
traffic         = {}
default_version = "forest"
