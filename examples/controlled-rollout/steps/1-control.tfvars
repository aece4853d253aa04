# Everything goes to the default, whatever share it claims.
traffic         = {}
default_version = "ridge"
