//! The router's own tokens: issued and verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use super::{Invalid, Issued, MAX_TOKEN_BYTES, Settings, SigningKey, SigningKeys, TOKEN_TYPE, audience, provider};
use crate::service::Kind;

/// Claims of an own token.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Kind of the service.
    pub kind: Kind,
    /// Its name.
    pub service: &'a str,
    /// Who asks.
    pub subject: &'a str,
    /// Seconds; the settings' usual lifetime if none are given.
    pub lifetime: Option<u64>,
}

/// Why no token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The lifetime is out of bounds.
    #[error("the lifetime of a token must be from {min} to {max} seconds, not {lifetime}")]
    Lifetime {
        /// What was asked for.
        lifetime: u64,
        /// Shortest.
        min: u64,
        /// Longest.
        max: u64,
    },
    /// There is no key.
    #[error("there is no signing key")]
    NoKey,
    /// The key is damaged.
    #[error("the signing key is damaged")]
    BadKey,
}

/// Issues a token for a service. `random` tells tokens apart (`jti`).
pub fn issue(
    keys: &SigningKeys,
    settings: &Settings,
    order: &Order<'_>,
    now: Timestamp,
    random: [u8; 16],
) -> Result<Issued, IssueError> {
    let (min, max) = (settings.min_lifetime_seconds, settings.max_lifetime_seconds);
    let lifetime = order.lifetime.unwrap_or(settings.lifetime_seconds);
    if !(min..=max).contains(&lifetime) {
        return Err(IssueError::Lifetime { lifetime, min, max });
    }
    let lifetime = i64::try_from(lifetime).unwrap_or(i64::MAX / 4);
    let key = keys.active(now).ok_or(IssueError::NoKey)?;
    let now = now.as_second();
    let claims = Claims {
        iss: settings.issuer.clone(),
        sub: order.subject.to_owned(),
        aud: audience(order.kind, order.service),
        iat: now,
        nbf: now,
        exp: now + lifetime,
        jti: crate::hex(&random),
    };
    let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::EdDSA) };
    provider::install();
    let seed = key.seed().ok_or(IssueError::BadKey)?;
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&seed));
    Ok(Issued {
        access_token: token.map_err(|_| IssueError::BadKey)?,
        token_type: TOKEN_TYPE.to_owned(),
        expiry_on: claims.exp,
        // Early enough that a caller who is told so has a quarter of the lifetime to get the next one.
        refresh_after: now + lifetime / 4 * 3 + lifetime % 4,
    })
}

impl SigningKey {
    fn seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        if self.seed.len() != 64 || !self.seed.is_ascii() {
            return None;
        }
        for (byte, place) in seed.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(self.seed.get(place..place + 2)?, 16).ok()?;
        }
        Some(seed)
    }

    /// The public key.
    fn public(&self) -> Option<Vec<u8>> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.seed()?).ok()?;
        Some(pair.public_key().as_ref().to_vec())
    }
}

/// What the router verifies own tokens with.
#[derive(Debug, Default)]
pub struct Verifier {
    issuer: String,
    skew: i64,
    keys: Vec<(SigningKey, DecodingKey)>,
}

/// A good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it is for, see [`audience`].
    pub audience: String,
    /// Unix seconds of its issue.
    pub issued: i64,
    /// Unix seconds until which it is good, the clock skew and the end of its key considered.
    pub until: i64,
}

impl Verifier {
    /// Keys that are damaged are left out.
    #[must_use]
    pub fn new(keys: &SigningKeys, settings: &Settings) -> Self {
        provider::install();
        let public = |key: &SigningKey| Some((key.clone(), DecodingKey::from_ed_der(&key.public()?)));
        Self {
            issuer: settings.issuer.clone(),
            skew: i64::try_from(settings.clock_skew_seconds).unwrap_or(0),
            keys: keys.keys.iter().filter_map(public).collect(),
        }
    }

    /// Whether a token is one of these keys', and good now. Whose audience it is, is for the caller to look at.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Verified, Invalid> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid::Malformed)?;
        if header.alg != Algorithm::EdDSA {
            return Err(Invalid::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Invalid::Malformed);
        }
        let id = header.kid.as_deref().ok_or(Invalid::UnknownKey)?;
        let known = self.keys.iter().find(|(key, _)| key.id == id && key.accepted(now));
        let (key, public) = known.ok_or(Invalid::UnknownKey)?;
        let claims: Claims = super::access::decode(token, public, Algorithm::EdDSA)?;
        let (now, skew) = (now.as_second(), self.skew);
        if claims.iss != self.issuer {
            return Err(Invalid::Issuer);
        }
        if now - skew >= claims.exp {
            return Err(Invalid::Expired);
        }
        if now + skew < claims.nbf {
            return Err(Invalid::NotYet);
        }
        let end = claims.exp.saturating_add(skew);
        let until = key.accepted_until.map_or(end, |until| until.as_second().min(end));
        Ok(Verified { audience: claims.aud, issued: claims.iat, until })
    }

    /// The public keys, as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> String {
        let keys = self.keys.iter().filter_map(|(key, public)| {
            let x = URL_SAFE_NO_PAD.encode(public.try_get_as_bytes().ok()?);
            Some(serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id, "x": x,
            }))
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use ring::hmac;
    use serde_json::{Value, json};

    use super::super::tests::part;
    use super::*;
    use crate::token::RANDOM_BYTES;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn keys(byte: u8) -> SigningKeys {
        SigningKeys::default().rotated(&Settings::default(), at(0), &[byte; RANDOM_BYTES])
    }

    fn order(lifetime: Option<u64>) -> Order<'static> {
        Order { kind: Kind::Webservice, service: "diabetes", subject: "owner", lifetime }
    }

    fn token(keys: &SigningKeys) -> String {
        issue(keys, &Settings::default(), &order(None), at(0), [5; 16]).expect("issued").access_token
    }

    fn verify(token: &str, now: i64) -> Result<Verified, Invalid> {
        Verifier::new(&keys(1), &Settings::default()).verify(token.as_bytes(), at(now))
    }

    /// A token's parts, decoded.
    fn read(token: &str) -> (Value, Value) {
        let part = |index| {
            let text = token.split('.').nth(index).expect("a part");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
        };
        (part(0), part(1))
    }

    #[test]
    fn an_issued_token_has_every_claim_and_the_originals_fields() {
        let issued = issue(&keys(1), &Settings::default(), &order(Some(600)), at(0), [5; 16]).expect("issued");
        let (header, claims) = read(&issued.access_token);
        assert_eq!(header, json!({ "typ": "JWT", "alg": "EdDSA", "kid": "01".repeat(12) }));
        let start = at(0).as_second();
        assert_eq!(
            claims,
            json!({
                "iss": "azureml-fe", "sub": "owner", "aud": "/api/v1/service/diabetes",
                "iat": start, "nbf": start, "exp": start + 600, "jti": "05".repeat(16),
            })
        );
        let answer = serde_json::to_value(&issued).expect("JSON");
        assert_eq!(
            answer,
            json!({
                "accessToken": issued.access_token, "tokenType": "Bearer",
                "expiryOn": start + 600, "refreshAfter": start + 450,
            })
        );
        assert!(!format!("{issued:?}").contains(&issued.access_token));
    }

    #[test]
    fn lifetimes_are_bounded() {
        let issue = |lifetime| issue(&keys(1), &Settings::default(), &order(lifetime), at(0), [5; 16]);
        assert_eq!(issue(None).expect("issued").expiry_on, at(3_600).as_second());
        for lifetime in [0, 59, 86_401, u64::MAX] {
            let bounds = IssueError::Lifetime { lifetime, min: 60, max: 86_400 };
            assert_eq!(issue(Some(lifetime)), Err(bounds));
        }
    }

    #[test]
    fn a_token_is_good_from_its_start_to_its_end_but_for_the_clock_skew() {
        let token = token(&keys(1));
        let good = Verified {
            audience: "/api/v1/service/diabetes".into(),
            issued: at(0).as_second(),
            until: at(3_660).as_second(),
        };
        assert_eq!(
            (verify(&token, 0), verify(&token, -60), verify(&token, 3_659)),
            (Ok(good.clone()), Ok(good.clone()), Ok(good))
        );
        assert_eq!((verify(&token, -61), verify(&token, 3_660)), (Err(Invalid::NotYet), Err(Invalid::Expired)));
    }

    #[test]
    fn the_token_of_a_replaced_key_is_good_until_the_key_is_over() {
        let settings = Settings { rotation_seconds: 1_000, overlap_seconds: 90_000, ..Settings::default() };
        let order = order(Some(86_400));
        let token = issue(&keys(1), &settings, &order, at(999), [5; 16]).expect("issued").access_token;
        let rotated = keys(1).rotated(&settings, at(5_000), &[2; RANDOM_BYTES]);
        let verifier = Verifier::new(&rotated, &settings);
        let good = verifier.verify(token.as_bytes(), at(80_000)).expect("good");
        assert_eq!(good.until, at(87_459).as_second());
        let over = Settings { overlap_seconds: 10, ..settings };
        let rotated = keys(1).rotated(&over, at(5_000), &[2; RANDOM_BYTES]);
        let verifier = Verifier::new(&rotated, &over);
        assert_eq!(verifier.verify(token.as_bytes(), at(5_000)).expect("good").until, at(5_070).as_second());
        assert_eq!(verifier.verify(token.as_bytes(), at(5_070)), Err(Invalid::UnknownKey));
    }

    #[test]
    fn tokens_of_others_and_forged_ones_are_invalid() {
        assert_eq!(verify(&token(&keys(2)), 0), Err(Invalid::UnknownKey));
        let good = token(&keys(1));
        let (header, claims) = read(&good);
        let parts: Vec<&str> = good.split('.').collect();
        let forged =
            |header: &Value, claims: &Value, signature: &str| format!("{}.{}.{signature}", part(header), part(claims));
        let mut longer = claims.clone();
        longer["exp"] = json!(at(1_000_000).as_second());
        assert_eq!(verify(&forged(&header, &longer, parts[2]), 0), Err(Invalid::Signature));
        for none in ["none", "None", "NONE"] {
            let header = json!({ "alg": none, "kid": header["kid"] });
            assert_eq!(verify(&forged(&header, &claims, ""), 0), Err(Invalid::Malformed));
        }
        let confused = json!({ "alg": "HS256", "kid": header["kid"] });
        let text = format!("{}.{}", part(&confused), part(&claims));
        let public = keys(1).keys[0].public().expect("a key");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), text.as_bytes());
        assert_eq!(verify(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag)), 0), Err(Invalid::Algorithm));
        let critical = json!({ "alg": "EdDSA", "kid": header["kid"], "crit": ["b64"], "b64": false });
        assert_eq!(verify(&forged(&critical, &claims, parts[2]), 0), Err(Invalid::Malformed));
        let unnamed = json!({ "alg": "EdDSA" });
        assert_eq!(verify(&forged(&unnamed, &claims, parts[2]), 0), Err(Invalid::UnknownKey));
        let other = Settings { issuer: "another".into(), ..Settings::default() };
        let theirs = issue(&keys(1), &other, &order(None), at(0), [5; 16]).expect("issued").access_token;
        assert_eq!(verify(&theirs, 0), Err(Invalid::Issuer));
        for end in 0..good.len() {
            assert!(verify(&good[..end], 0).is_err());
        }
        assert_eq!(verify(&"a".repeat(MAX_TOKEN_BYTES + 1), 0), Err(Invalid::Malformed));
    }
}
