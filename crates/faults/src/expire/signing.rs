//! JSON Web Tokens: signing them (HS256, RFC 7515), and reading when a token expires (`exp`, RFC 7519). Checking signatures is
//! up to the broker.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use ungraceful_rig::broker::target::Secret;

/// The placeholder for the ClientID in a claim.
const CLIENT_ID: &str = "{client_id}";

/// Signs tokens for clients.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The key, shared with the broker.
    pub key: Secret,
    /// Claims beside `sub`, `iat` and `exp`, which they may override. `{client_id}` in a string is replaced.
    pub claims: Map<String, Value>,
}

impl Signer {
    /// A token for this client, valid from `issued_s` until before `expires_s`, in seconds since 1970.
    #[must_use]
    pub fn token(&self, client_id: &str, issued_s: u64, expires_s: u64) -> Secret {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(client_id));
        claims.insert("iat".to_owned(), json!(issued_s));
        claims.insert("exp".to_owned(), json!(expires_s));
        claims.extend(self.claims.iter().map(|(name, value)| (name.clone(), filled(value, client_id))));
        let header = json!({ "alg": "HS256", "typ": "JWT" }).to_string();
        let signed = format!(
            "{}.{}",
            encoded(header.as_bytes()),
            encoded(Value::Object(claims).to_string().as_bytes())
        );
        let signature = encoded(&signature(self.key.reveal(), &signed));
        Secret::new(format!("{signed}.{signature}"))
    }
}

fn filled(value: &Value, client_id: &str) -> Value {
    match value {
        Value::String(text) => json!(text.replace(CLIENT_ID, client_id)),
        Value::Array(values) => values.iter().map(|value| filled(value, client_id)).collect(),
        other => other.clone(),
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// HMAC-SHA-256 (RFC 2104).
fn signature(key: &[u8], signed: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length");
    mac.chain_update(signed).finalize().into_bytes().to_vec()
}

/// The `exp` of a JSON Web Token, in seconds since 1970; absent for a token without one, or for another kind of token.
#[must_use]
pub fn expires_s(token: &[u8]) -> Option<u64> {
    let claims = token.split(|byte| *byte == b'.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    // Some issuers write 1.7e9 or 1700000000.5; fractions of a second are cut off.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cut, and saturates at 0 and at the end of time"
    )]
    let cut = |seconds: f64| seconds as u64;
    claims["exp"].as_u64().or_else(|| claims["exp"].as_f64().map(cut))
}

/// The token with its last character replaced by one that no token has: a broker that accepts it checks no tokens.
#[must_use]
pub fn spoilt(token: &Secret) -> Secret {
    let mut bytes = token.reveal().to_vec();
    bytes.pop();
    bytes.push(b'!');
    Secret::new(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use ungraceful_rig::broker::target::Secret;

    use super::{Signer, encoded, expires_s, signature, spoilt};

    fn signer(claims: &Value) -> Signer {
        Signer { key: Secret::new("key"), claims: claims.as_object().unwrap().clone() }
    }

    #[test]
    fn signatures_match_known_test_vectors() {
        let signed = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                      eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ";
        let signature = encoded(&signature(b"your-256-bit-secret", signed));
        assert_eq!(signature, "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c");
        // RFC 4231, test case 6: a key longer than a block.
        let text = "Test Using Larger Than Block-Size Key - Hash Key First";
        let long = super::signature(&[0xAA; 131], text);
        assert_eq!(long[..4], [0x60, 0xE4, 0x31, 0x59]);
    }

    #[test]
    fn a_token_contains_client_lifetime_and_extra_claims() {
        let claims =
            json!({ "aud": ["broker"], "scope": ["write:{client_id}"], "sub": "device-{client_id}" });
        let token = signer(&claims).token("c7", 100, 160);
        assert_eq!(expires_s(token.reveal()), Some(160));
        let text = String::from_utf8(token.reveal().to_vec()).unwrap();
        let part = text.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let expected = json!({
            "sub": "device-c7", "iat": 100, "exp": 160, "aud": ["broker"], "scope": ["write:c7"],
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn a_token_without_exp_has_no_end() {
        for other in
            ["", "opaque", "a.b.c", "e30.e30.e30", &format!("e30.{}.x", encoded(b"{\"exp\":\"soon\"}"))]
        {
            assert_eq!(expires_s(other.as_bytes()), None, "{other}");
        }
        let float = format!("e30.{}.x", encoded(b"{\"exp\":1700000000.9}"));
        assert_eq!(expires_s(float.as_bytes()), Some(1_700_000_000));
    }

    #[test]
    fn a_spoilt_token_differs_but_has_the_same_claims() {
        let token = signer(&json!({})).token("c", 1, 2);
        let spoilt = spoilt(&token);
        assert_ne!(spoilt, token);
        assert_eq!(spoilt.reveal().len(), token.reveal().len());
        assert_eq!(expires_s(spoilt.reveal()), Some(2));
    }
}
