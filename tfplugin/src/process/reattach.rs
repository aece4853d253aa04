//! `-debug`: a provider that a person started, and how the host is told of it.

use serde_json::json;

use super::handshake::{Address, PROTOCOL_VERSION};

/// The value of `TF_REATTACH_PROVIDERS` that leads a host to the provider `source` (`host/namespace/name`) at `address`.
///
/// `Test` keeps the host from ending a provider that it did not start.
pub(crate) fn value(source: &str, pid: u32, address: &Address) -> String {
    json!({
        source: {
            "Protocol": "grpc",
            "ProtocolVersion": PROTOCOL_VERSION,
            "Pid": pid,
            "Test": true,
            "Addr": { "Network": address.network(), "String": address.to_string() },
        }
    })
    .to_string()
}

/// What is printed for the person: the variable in the form that their shell takes.
pub(crate) fn instructions(value: &str) -> String {
    if cfg!(windows) {
        return format!(
            "Provider started. To attach Terraform, set this in its environment (PowerShell):\n\n\
             \t$env:TF_REATTACH_PROVIDERS='{value}'\n\n"
        );
    }
    // A single quote ends a quoted word of the shell, so it is written outside the quotes.
    let value = value.replace('\'', r"'\''");
    format!(
        "Provider started. To attach Terraform, set this in its environment:\n\n\
         \tTF_REATTACH_PROVIDERS='{value}'\n\nPress Ctrl-C to end it.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_what_the_host_parses() {
        let value = value("registry.terraform.io/acme/thing", 7, &Address::Unix("/tmp/p".into()));
        assert_eq!(
            value,
            r#"{"registry.terraform.io/acme/thing":{"Protocol":"grpc","ProtocolVersion":6,"Pid":7,"Test":true,"Addr":{"Network":"unix","String":"/tmp/p"}}}"#
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_quote_in_the_path_does_not_end_the_shells_word() {
        assert!(instructions("a'b").contains(r"TF_REATTACH_PROVIDERS='a'\''b'"));
    }
}
