//! The certificate that a Terraform host makes for itself: P-521, self-signed, its own authority.
//!
//! Written byte by byte because the certificate library in use has no P-521.

use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{Signature, SigningKey};

const ECDSA_SHA512: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP521R1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// A certificate for `localhost` (DER) of the key, with that serial number.
pub(super) fn self_signed(key: &SigningKey, serial: [u8; 8]) -> Vec<u8> {
    let algorithm = sequence(&[ECDSA_SHA512]);
    let name = sequence(&[&tagged(0x31, &[&sequence(&[COMMON_NAME, &tagged(0x0c, &[b"localhost"])])])]);
    let validity = sequence(&[&tagged(0x17, &[b"200101000000Z"]), &tagged(0x17, &[b"491231235959Z"])]);
    let point = key.verifying_key().to_sec1_point(false);
    let public_key = sequence(&[&sequence(&[EC_PUBLIC_KEY, SECP521R1]), &tagged(0x03, &[&[0], point.as_bytes()])]);
    let authority = sequence(&[BASIC_CONSTRAINTS, TRUE, &tagged(0x04, &[&sequence(&[TRUE])])]);
    let names = sequence(&[SUBJECT_ALT_NAME, &tagged(0x04, &[&sequence(&[&tagged(0x82, &[b"localhost"])])])]);
    let body = sequence(&[
        &tagged(0xa0, &[&tagged(0x02, &[&[2]])]),
        // A leading byte keeps the number positive.
        &tagged(0x02, &[&[1], &serial]),
        &algorithm,
        &name,
        &validity,
        &name,
        &public_key,
        &tagged(0xa3, &[&sequence(&[&authority, &names])]),
    ]);
    let signature: Signature = key.sign(&body);
    sequence(&[&body, &algorithm, &tagged(0x03, &[&[0], signature.to_der().as_bytes()])])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}

/// One element of DER: tag, length, content.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    match significant {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            element.extend(long);
        }
    }
    element.extend(content);
    element
}
