//! Access tokens of other issuers: whose they are, whether they are good, and what they are good for.

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Invalid, Issuer, MAX_TOKEN_BYTES, provider};

/// Keys of one issuer that are looked at.
const MAX_KEYS: usize = 128;
/// Accepted algorithms: those by which who can verify cannot sign.
const ACCEPTED: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A token whose signature was not looked at yet: nothing in it can be trusted, but it tells which key to verify it with.
#[derive(Debug)]
pub struct Presented<'t> {
    token: &'t [u8],
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
}

/// Claims of a good token.
#[derive(Debug, Deserialize)]
pub struct Claims {
    iss: String,
    aud: OneOrMany,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    /// Who it was issued to.
    #[serde(default)]
    pub sub: Option<String>,
    #[serde(default)]
    roles: OneOrMany,
    #[serde(default)]
    groups: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn any_of(&self, accepted: &[String]) -> bool {
        match self {
            Self::One(value) => accepted.contains(value),
            Self::Many(values) => values.iter().any(|value| accepted.contains(value)),
        }
    }
}

/// What a good token is good for, by one entry of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It is for another audience.
    OtherAudience,
    /// It is for this router, but its bearer may not ask for this service.
    Forbidden,
    /// A token of the service is issued to its bearer.
    Allowed,
}

impl<'t> Presented<'t> {
    /// Reads what a token says of itself.
    pub fn read(token: &'t [u8]) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }

        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid::Malformed)?;
        if !ACCEPTED.contains(&header.alg) {
            return Err(Invalid::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Invalid::Malformed);
        }
        let named: Named = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Invalid::Malformed)?;
        Ok(Self { token, algorithm: header.alg, key_id: header.kid, issuer: named.iss })
    }

    /// The issuer that it claims to be of.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Verifies signature and times. [`Invalid::UnknownKey`] if the set has no such key: a newer set might.
    pub fn verify(&self, keys: &KeySet, skew_seconds: u64, now: Timestamp) -> Result<Claims, Invalid> {
        let key = keys.find(self.key_id.as_deref(), self.algorithm)?;
        let claims: Claims = decode(self.token, &key.public, self.algorithm)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this age are far below 2^52")]
        let (now, skew) = (now.as_second() as f64, skew_seconds as f64);
        if claims.iss != self.issuer {
            return Err(Invalid::Issuer);
        }
        if now - skew >= claims.exp {
            return Err(Invalid::Expired);
        }
        if claims.nbf.is_some_and(|from| now + skew < from) {
            return Err(Invalid::NotYet);
        }
        Ok(claims)
    }
}

/// Verifies the signature with this key and no other algorithm than this one.
pub(super) fn decode<T: DeserializeOwned>(token: &[u8], key: &DecodingKey, algorithm: Algorithm) -> Result<T, Invalid> {
    let mut validation = Validation::new(algorithm);
    // Times and names are compared by the caller, which is given the time.
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation.required_spec_claims.clear();
    jsonwebtoken::decode(token, key, &validation).map(|data| data.claims).map_err(|error| {
        use jsonwebtoken::errors::ErrorKind;

        match error.kind() {
            ErrorKind::InvalidSignature => Invalid::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Invalid::Algorithm,
            _ => Invalid::Malformed,
        }
    })
}

impl Claims {
    /// What an issuer's entry in the configuration says of the bearer and this service.
    #[must_use]
    pub fn decide(&self, issuer: &Issuer, service: &str) -> Decision {
        if !self.aud.any_of(&issuer.audiences) {
            return Decision::OtherAudience;
        }
        let everybody = issuer.subjects.is_empty() && issuer.roles.is_empty() && issuer.groups.is_empty();
        let named = self.sub.as_ref().is_some_and(|subject| issuer.subjects.contains(subject))
            || self.roles.any_of(&issuer.roles)
            || self.groups.any_of(&issuer.groups);
        let service_named = issuer.services.is_empty() || issuer.services.iter().any(|name| name == service);
        if (everybody || named) && service_named { Decision::Allowed } else { Decision::Forbidden }
    }
}

/// The keys of an issuer that can verify something here.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that are of no use here (of another kind, for encryption, symmetric) are left out.
    /// `None` if it is not such a set, or nothing of it is of use.
    #[must_use]
    pub fn read(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }

        provider::install();
        let set: Set = serde_json::from_slice(json).ok()?;
        let keys: Vec<Key> = set.keys.into_iter().take(MAX_KEYS).filter_map(Key::read).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Invalid> {
        let mut named = self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Err(Invalid::UnknownKey);
        }
        let mut usable = named.filter(|key| key.algorithms.contains(&algorithm));
        match (usable.next(), usable.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(Invalid::Algorithm),
            // Which of several is not for the token's bearer to let us try out.
            (Some(_), Some(_)) => Err(Invalid::UnknownKey),
        }
    }
}

impl Key {
    fn read(json: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
            || !jwk.common.key_operations.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => ACCEPTED[..6].to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
            _ => return None,
        };
        if let Some(only) = jwk.common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { id: jwk.common.key_id, algorithms, public })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::Kind;
    use crate::token::{Order, RANDOM_BYTES, Settings, SigningKeys, Verifier, issue};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    /// An issuer with one Ed25519 key: its keys, and a token of it for the audience `/api/v1/service/api`.
    fn issuer() -> (KeySet, String) {
        let settings = Settings { issuer: "https://issuer".into(), ..Settings::default() };
        let keys = SigningKeys::default().rotated(&settings, now(), &[7; RANDOM_BYTES]);
        let order = Order { kind: Kind::Webservice, service: "api", subject: "me", lifetime: None };
        let token = issue(&keys, &settings, &order, now(), [0; 16]).expect("issued").access_token;
        let set = KeySet::read(Verifier::new(&keys, &settings).jwks().as_bytes()).expect("keys");
        (set, token)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn a_good_token_is_verified_within_its_times_and_the_clock_skew() {
        let (keys, token) = issuer();
        let presented = Presented::read(token.as_bytes()).expect("readable");
        assert_eq!(presented.issuer(), "https://issuer");
        let verify = |seconds| presented.verify(&keys, 60, at(seconds)).map(|claims| claims.sub);
        assert_eq!(verify(0), Ok(Some("me".to_owned())));
        assert_eq!(
            (verify(-61), verify(3_659), verify(3_660)),
            (Err(Invalid::NotYet), verify(0), Err(Invalid::Expired))
        );
    }

    #[test]
    fn what_is_cut_off_or_changed_is_invalid() {
        let (keys, token) = issuer();
        for end in 0..token.len() {
            let cut = &token.as_bytes()[..end];
            assert!(Presented::read(cut).and_then(|presented| presented.verify(&keys, 0, now())).is_err(), "{end}");
        }
        assert!(Presented::read(&vec![b'a'; MAX_TOKEN_BYTES + 1]).is_err());
        let mut parts: Vec<&str> = token.split('.').collect();
        let header = super::super::tests::part(&json!({ "alg": "none", "kid": "x" }));
        parts[0] = &header;
        assert!(Presented::read(parts.join(".").as_bytes()).is_err());
    }

    #[test]
    fn only_keys_that_can_verify_a_signature_are_taken_of_a_set() {
        let (x, none) = ("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", json!("x"));
        let set = |keys: serde_json::Value| KeySet::read(json!({ "keys": keys }).to_string().as_bytes());
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a" });
        let with = |name: &str, value: serde_json::Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        assert_eq!(set(json!([none, good, { "kty": "oct", "k": "AAAA" }])).map(|set| set.keys.len()), Some(1));
        for bad in [
            json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }),
            with("use", json!("enc")),
            with("key_ops", json!(["sign"])),
            with("alg", json!("RS256")),
            with("crv", json!("Ed448")),
            json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        ] {
            assert!(set(json!([bad])).is_none(), "{bad}");
        }
        assert!(KeySet::read(b"<html>").is_none());
    }

    #[test]
    fn a_token_without_a_key_id_is_verified_only_where_there_is_one_key_for_it() {
        let key = |id: &str| json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": id });
        let set = |keys| KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("keys");
        assert!(set(json!([key("a")])).find(None, Algorithm::EdDSA).is_ok());
        assert!(set(json!([key("a")])).find(None, Algorithm::ES256).is_err());
        assert!(set(json!([key("a"), key("b")])).find(None, Algorithm::EdDSA).is_err());
        assert!(set(json!([key("a"), key("b")])).find(Some("b"), Algorithm::EdDSA).is_ok());
        assert!(matches!(set(json!([key("a")])).find(Some("c"), Algorithm::EdDSA), Err(Invalid::UnknownKey)));
    }

    #[test]
    fn bearers_are_allowed_by_audience_and_by_subject_role_or_group_for_the_named_services() {
        let claims = |claims: serde_json::Value| -> Claims { serde_json::from_value(claims).expect("claims") };
        let mine = claims(json!({
            "iss": "https://i", "exp": 1, "aud": ["other", "api"], "sub": "me", "roles": "scorer", "groups": ["g1", "g2"],
        }));
        let entry = |change: fn(&mut Issuer)| {
            let mut issuer = Issuer { audiences: vec!["api".into()], ..Issuer::default() };
            change(&mut issuer);
            issuer
        };
        let decide = |change: fn(&mut Issuer)| mine.decide(&entry(change), "diabetes");
        assert_eq!(decide(|_| ()), Decision::Allowed);
        assert_eq!(decide(|issuer| issuer.audiences = vec!["apis".into()]), Decision::OtherAudience);
        assert_eq!(decide(|issuer| issuer.subjects = vec!["you".into()]), Decision::Forbidden);
        assert_eq!(decide(|issuer| issuer.subjects = vec!["you".into(), "me".into()]), Decision::Allowed);
        assert_eq!(decide(|issuer| issuer.roles = vec!["scorer".into()]), Decision::Allowed);
        assert_eq!(decide(|issuer| issuer.groups = vec!["g3".into()]), Decision::Forbidden);
        let either = |issuer: &mut Issuer| (issuer.subjects, issuer.groups) = (vec!["you".into()], vec!["g2".into()]);
        assert_eq!(decide(either), Decision::Allowed);
        assert_eq!(decide(|issuer| issuer.services = vec!["digits".into()]), Decision::Forbidden);
        assert_eq!(decide(|issuer| issuer.services = vec!["diabetes".into()]), Decision::Allowed);
    }
}
