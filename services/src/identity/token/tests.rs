//! Tokens that are ours, and all the others.

use super::*;

const NOW_S: i64 = 1_750_000_000;

fn ring(seeds: &[u8]) -> KeyRing {
    let key = |seed: &u8| SigningKey::from_seed(&Secret::new([*seed; KEY_BYTES]), 0).unwrap();
    KeyRing::new(seeds.iter().map(key).collect())
}

fn claims() -> Claims {
    Claims {
        iss: "yunzhan".into(),
        aud: "shop".into(),
        sub: "u1".into(),
        sid: "s1".into(),
        jti: "j1".into(),
        iat: NOW_S,
        exp: NOW_S + 7200,
        openid: Some("o1".into()),
        roles: vec!["editor".into()],
        anonymous: false,
    }
}

fn good() -> String {
    ring(&[1]).sign(&claims(), 0).unwrap()
}

/// The verdict of the ring with key 1, in one line.
fn check(token: &str, now_s: i64) -> String {
    match ring(&[1]).read(token, "yunzhan", LIFETIME_S, now_s) {
        Ok(claims) => format!("{} of {}", claims.sub, claims.aud),
        Err(error) => {
            format!("{}: {}", error.kind().name(), error.log_text().rsplit(": ").next().unwrap())
        }
    }
}

const LIFETIME_S: i64 = 7200;

/// Header and payload of our own choice, signed by key 1 as a server of ours would.
fn forge(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; KEY_BYTES]).unwrap();
    let signature = BASE64.encode(pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn what_we_sign_we_read() {
    assert_eq!(ring(&[1]).read(&good(), "yunzhan", LIFETIME_S, NOW_S).unwrap(), claims());
    assert!(good().len() < 600, "{}", good().len());
}

#[test]
fn time_is_held_to() {
    let token = good();
    assert_eq!(check(&token, NOW_S - 60), "u1 of shop");
    assert_eq!(
        check(&token, NOW_S - 61),
        "unauthenticated: it was issued in the future; check the servers' clocks"
    );
    assert_eq!(check(&token, NOW_S + 7199), "u1 of shop");
    let expired = "token_expired: the access token has expired; renew it with the refresh token";
    assert_eq!(check(&token, NOW_S + 7200), expired);
    assert_eq!(check(&token, i64::MAX), expired);
    let eternal = ring(&[1]).sign(&Claims { exp: i64::MAX, ..claims() }, 0).unwrap();
    assert_eq!(check(&eternal, NOW_S + 7200), expired);
}

#[test]
fn another_installation_and_another_key_are_refused() {
    let token = ring(&[1]).sign(&Claims { iss: "other".into(), ..claims() }, 0).unwrap();
    assert_eq!(check(&token, NOW_S), "unauthenticated: it was issued by another installation");
    let token = ring(&[2]).sign(&claims(), 0).unwrap();
    assert_eq!(check(&token, NOW_S), "unauthenticated: no key of this server wrote its header");
}

#[test]
fn no_header_but_ours_is_even_read() {
    let kid = ring(&[1]).keys()[0].kid.clone();
    let payload = serde_json::to_string(&claims()).unwrap();
    let ours = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#);
    assert_eq!(check(&forge(&ours, &payload), NOW_S), "u1 of shop");
    for header in [
        r#"{"alg":"none"}"#.to_owned(),
        ours.replace("EdDSA", "none"),
        ours.replace("EdDSA", "None"),
        ours.replace("EdDSA", "HS256"),
        ours.replace("EdDSA", "ES256"),
        ours.replace("EdDSA", "Ed25519"),
        ours.replace("at+jwt", "JWT"),
        ours.replace(&kid, "other"),
        ours.replace(&kid, ""),
        ours.replace(&format!(r#""kid":"{kid}","#), ""),
        ours.replace('}', r#","crit":["exp"]}"#),
        ours.replace('}', r#","jku":"https://evil.example/jwks"}"#),
        ours.replace(',', ", "),
        String::new(),
    ] {
        let verdict = check(&forge(&header, &payload), NOW_S);
        let expected = if header.is_empty() {
            "unauthenticated: it is not a token of this server"
        } else {
            "unauthenticated: no key of this server wrote its header"
        };
        assert_eq!(verdict, expected, "{header}");
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let ring = ring(&[1]);
    let payload = BASE64.encode(serde_json::to_string(&claims()).unwrap());
    let kid = &ring.keys()[0].kid;
    for header in [
        ring.keys()[0].header.clone(),
        BASE64.encode(format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"at+jwt"}}"#)),
    ] {
        let signed = format!("{header}.{payload}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &ring.keys()[0].public);
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        let verdict = check(&format!("{signed}.{}", BASE64.encode(tag)), NOW_S);
        assert!(verdict.starts_with("unauthenticated"), "{verdict}");
    }
    assert!(
        check(&format!("{}.{payload}.", ring.keys()[0].header), NOW_S)
            .starts_with("unauthenticated")
    );
}

#[test]
fn one_changed_cut_or_added_byte_is_refused() {
    let good = good();
    for position in 0..good.len() {
        for byte in [b'A', b'.', b'=', b' ', b'_'] {
            let mut changed = good.clone().into_bytes();
            if std::mem::replace(&mut changed[position], byte) != byte {
                let verdict = check(&String::from_utf8(changed).unwrap(), NOW_S);
                assert!(verdict.starts_with("unauthenticated"), "{position} {byte}: {verdict}");
            }
        }
        assert!(check(&good[..position], NOW_S).starts_with("unauthenticated"), "{position}");
    }
    for token in [
        format!("{good}="),
        format!("{good}A"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good} "),
    ] {
        assert!(check(&token, NOW_S).starts_with("unauthenticated"), "{token}");
    }
    assert!(check(&"a.".repeat(1 << 20), NOW_S).starts_with("unauthenticated"));
}

#[test]
fn the_newest_key_that_is_due_signs_and_all_verify() {
    let key = |seed: u8, signs_from_ms| {
        SigningKey::from_seed(&Secret::new([seed; KEY_BYTES]), signs_from_ms).unwrap()
    };
    let (old, new) = (key(1, 0).kid, key(2, 1000).kid);
    let ring = KeyRing::new(vec![key(2, 1000), key(1, 0)]);
    assert_eq!(ring.signer(999).unwrap().kid, old);
    assert_eq!(ring.signer(1000).unwrap().kid, new);
    for now_ms in [0, 1000] {
        let token = ring.sign(&claims(), now_ms).unwrap();
        assert!(ring.read(&token, "yunzhan", LIFETIME_S, NOW_S).is_ok());
    }
    let seedless = KeyRing::new(vec![SigningKey::from_public(ring.keys()[0].public, 0).unwrap()]);
    assert!(seedless.sign(&claims(), 0).is_err());
}

#[test]
fn the_key_set_holds_public_halves_only() {
    let text = String::from_utf8(ring(&[1]).key_set().to_vec()).unwrap();
    expect_test::expect![[r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4","x":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"}]}"#]].assert_eq(&text);
}
