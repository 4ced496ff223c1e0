//! Certificates as authorities hand them out, and as operators put them into files.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use yunzhan_e2e::{Options, Server};

/// The PEM texts of an authority and of a server's certificate that it signed; writes the server's key.
fn issue(key_file: &Path) -> (String, String) {
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "Test Authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let server = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
    let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
    std::fs::write(key_file, key.serialize_pem()).unwrap();
    (root, server)
}

#[tokio::test]
async fn what_phones_will_not_like_is_told_by_check_at_the_start_and_at_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let (root, own) = issue(&key);
    std::fs::write(&chain, &own).unwrap();
    let config = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n",
        chain.display().to_string(),
        key.display().to_string()
    );
    let server = Server::start(Options::default().configured(&config)).await;
    let missing = "the certificate of its signer (Test Authority) is missing";
    server.said(0, missing).await;
    let checked = server.run(&["check"]).await;
    let found: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((checked.code, &found["ok"]), (0, &Value::Bool(true)), "{found}");
    assert!(found["warnings"][0].as_str().unwrap().contains(missing), "{found}");

    let added = server.run(&["env", "add", "shop", "--host", "other.example"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    std::fs::write(&chain, format!("{root}{own}")).unwrap();
    let seen = server.lines_said();
    server.signal("HUP");
    server.said(seen, "stand in a wrong order").await;
    server.said(seen, "no certificate is for other.example").await;
    assert!(!server.log().lines().skip(seen).any(|line| line.contains(missing)));
}
