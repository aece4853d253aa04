//! The attributes about authentication.

use serving::name::Noun;
use tfplugin::{Attribute, Schema};

use super::MAX_OVERLAP_SECONDS;

/// Adds the attributes.
#[must_use]
pub fn attributes(all: Schema, noun: Noun) -> Schema {
    let noun = noun.as_str();
    let modes = all
        .attribute(
            "auth_enabled",
            Attribute::bool(format!(
                "Whether callers must send one of the {noun}'s two keys, as `Authorization: Bearer <key>`. Default true, \
                 unless `token_auth_enabled` is. Without either, anybody who reaches the router may score."
            ))
            .optional()
            .computed(),
        )
        .attribute(
            "token_auth_enabled",
            Attribute::bool(format!(
                "Whether callers must send a token that the router has issued for the {noun}, as `Authorization: Bearer \
                 <token>`, instead of a key."
            ))
            .default(false),
        )
        .attribute(
            "key_overlap",
            Attribute::number(format!(
                "Seconds that a replaced key stays valid, so that callers have time to change over. From 0 to \
                 {MAX_OVERLAP_SECONDS}."
            ))
            .default(0_i64),
        );
    keys(modes, noun)
}

fn keys(mut all: Schema, noun: &str) -> Schema {
    for (slot, other) in [("primary", "secondary"), ("secondary", "primary")] {
        let (min, max) = (serving::validate::KEY_LENGTH.start(), serving::validate::KEY_LENGTH.end());
        all = all
            .attribute(
                format!("{slot}_key_wo"),
                Attribute::string(format!(
                    "The {slot} key: {min} to {max} letters, digits and `-._~+/=`, other than the {other} one. Never stored \
                     by Terraform. Taken when the {noun} is created and when `{slot}_key_version` changes. Without it, a key \
                     is generated."
                ))
                .optional()
                .sensitive()
                .write_only(),
            )
            .attribute(
                format!("{slot}_key_version"),
                Attribute::number(format!(
                    "A change replaces the {slot} key, without a restart, while the {other} one keeps working. From 1. The \
                     {noun} begins with 1, and keeps its number when this is not set."
                ))
                .optional()
                .computed()
                .use_state_for_unknown(),
            );
    }
    all
}
