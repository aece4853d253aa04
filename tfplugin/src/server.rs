//! The provider service: what Terraform calls.
