//! Connections to a server with a certificate that the test made.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{Ours, config_of, make_shop};
use crate::config::{self, MysqlTls};
use crate::sql::testing::Server;
use crate::sql::{Consistency, Who};

/// A server with a certificate for the loopback, and the file of the authority that signed it.
async fn server() -> Option<(Server, tempfile::TempDir)> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("a name").signed_by(&key, &authority);
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    write("ca.pem", authority.pem());
    let chain = write("chain.pem", certificate.expect("a certificate").pem());
    let key = write("key.pem", key.serialize_pem());
    let options = [format!("--ssl-cert={chain}"), format!("--ssl-key={key}")];
    let server = Server::start(1, &[&options[0], &options[1]]).await?;
    make_shop(&server).await;
    Some((server, folder))
}

/// Opens the engine, writes and reads, and says whether the connections are encrypted.
async fn cipher_with(server: &Server, config: &config::Sql) -> yunzhan_base::Result<bool> {
    let ours = Ours::try_open(config).await?;
    ours.put(Some(Who(1)), 1, 1).await?;
    assert_eq!(ours.get(Consistency::Own(Who(1)), 1).await?, 1);
    // As the server counts it since it began.
    let before = handshakes(server).await;
    ours.split.shared.primary().mysql()?.renew_connections();
    ours.put(Some(Who(1)), 1, 2).await?;
    Ok(handshakes(server).await > before)
}

async fn handshakes(server: &Server) -> u64 {
    let asked = "SELECT CAST(VARIABLE_VALUE AS CHAR) FROM information_schema.GLOBAL_STATUS
        WHERE VARIABLE_NAME = 'SSL_FINISHED_ACCEPTS'";
    server.ask(asked).await.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_as_the_configuration_says() {
    let Some((server, folder)) = server().await else { return };
    let plain = config_of(&[&server]);
    assert!(!cipher_with(&server, &plain).await.expect("plain"));
    let off = config::Sql { mysql_tls: Some(MysqlTls::Off), ..plain.clone() };
    assert!(!cipher_with(&server, &off).await.expect("plain"));
    // Nobody but the authority that the test made has signed the certificate.
    let verify = config::Sql { mysql_tls: Some(MysqlTls::Verify), ..plain.clone() };
    let refused = cipher_with(&server, &verify).await.expect_err("an unknown authority");
    assert!(refused.to_string().contains("see to its certificate"), "{refused}");
    let ca = folder.path().join("ca.pem");
    let verify = config::Sql { mysql_ca: Some(ca), ..verify };
    // A plain connection is no way out.
    let only_tls = ["ALTER USER shop REQUIRE SSL"];
    server.run_sql(&only_tls).await;
    cipher_with(&server, &plain).await.expect_err("a plain connection");
    assert!(cipher_with(&server, &verify).await.expect("a good certificate"));
    let required = config::Sql { mysql_tls: Some(MysqlTls::Required), ..plain.clone() };
    assert!(cipher_with(&server, &required).await.expect("whoever it is"));
    let url = plain.mysql_url.as_ref().and_then(yunzhan_base::Secret::expose_str).expect("text");
    let by_url = format!("{url}?require_ssl=true&verify_ca=false");
    let by_url = config::Sql { mysql_url: Some(by_url.as_str().into()), ..plain.clone() };
    assert!(cipher_with(&server, &by_url).await.expect("as the address says"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_name_and_a_server_without_one_are_refused() {
    let Some((server, folder)) = server().await else { return };
    let ca = Some(folder.path().join("ca.pem"));
    let tls = Some(MysqlTls::Verify);
    let verify = config::Sql { mysql_tls: tls, mysql_ca: ca, ..config_of(&[&server]) };
    let url = verify.mysql_url.as_ref().and_then(yunzhan_base::Secret::expose_str).expect("text");
    let other = url.replace("127.0.0.1", "localhost");
    let other = config::Sql { mysql_url: Some(other.as_str().into()), ..verify.clone() };
    let refused = Ours::try_open(&other).await.err().expect("another name").to_string();
    assert!(refused.contains("no TLS with the database server localhost"), "{refused}");
    let Some(bare) = Server::start(2, &["--skip-ssl"]).await else { return };
    make_shop(&bare).await;
    let verify = config::Sql { mysql_url: config_of(&[&bare]).mysql_url, ..verify };
    let refused = Ours::try_open(&verify).await.err().expect("no certificate").to_string();
    assert!(refused.contains("no TLS with the database server"), "{refused}");
    assert!(!refused.contains("password"), "{refused}");
}
