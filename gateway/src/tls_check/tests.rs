//! Chains as authorities hand them out, and as people paste them together.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// Root, intermediate and server, signed in this order.
struct Authority {
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    server: CertificateDer<'static>,
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Authority {
    fn new() -> Self {
        let [root_key, intermediate_key, server_key] =
            [(); 3].map(|()| KeyPair::generate().unwrap());
        let root_params = authority("Root");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let intermediate_params = authority("Intermediate R3");
        let intermediate = intermediate_params.signed_by(&intermediate_key, &root_issuer).unwrap();
        let intermediate_issuer = Issuer::new(intermediate_params, intermediate_key);
        let names = ["shop.example", "*.tea.example", "203.0.113.7"];
        let mut server = params("shop.example", &names);
        server.not_before = rcgen::date_time_ymd(2026, 1, 1);
        server.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let server = server.signed_by(&server_key, &intermediate_issuer).unwrap();
        let [root, intermediate, server] = [root, intermediate, server].map(|it| it.der().clone());
        Self { root, intermediate, server }
    }
}

/// 2026-01-01, and so many days.
fn day(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600 + days * DAY_S))
}

#[test]
fn a_full_chain_has_nothing_to_find_with_its_root_or_without() {
    let Authority { root, intermediate, server } = Authority::new();
    assert_eq!(inspect(&[server.clone(), intermediate.clone()], day(10)), []);
    assert_eq!(inspect(&[server, intermediate, root], day(10)), []);
}

#[test]
fn a_chain_without_its_middle_is_told_with_the_signers_name() {
    let Authority { root, server, .. } = Authority::new();
    let wanted = [Finding::LacksIntermediate { issuer: Some("Intermediate R3".into()) }];
    assert_eq!(inspect(std::slice::from_ref(&server), day(10)), wanted);
    assert_eq!(inspect(&[server, root], day(10)), wanted, "the root alone closes no gap");
    assert!(wanted[0].to_string().contains("signer (Intermediate R3) is missing"));
}

#[test]
fn a_self_signed_certificate_needs_nobody() {
    let key = KeyPair::generate().unwrap();
    let own = params("own", &["shop.example"]).self_signed(&key).unwrap().der().clone();
    assert_eq!(inspect(&[own], day(10)), []);
}

#[test]
fn any_order_is_served_in_the_right_one() {
    let Authority { root, intermediate, server } = Authority::new();
    let right = vec![server.clone(), intermediate.clone(), root.clone()];
    assert_eq!(sorted(right.clone()), (right.clone(), false));
    for wrong in [
        vec![root.clone(), intermediate.clone(), server.clone()],
        vec![intermediate.clone(), server.clone(), root.clone()],
        vec![server.clone(), root.clone(), intermediate.clone()],
    ] {
        assert_eq!(sorted(wrong), (right.clone(), true));
    }
    let two = vec![intermediate.clone(), server.clone()];
    assert_eq!(sorted(two), (vec![server.clone(), intermediate.clone()], true));
    let gap = vec![root.clone(), server.clone()];
    assert_eq!(sorted(gap), (vec![server.clone(), root.clone()], true));
    let strange = Authority::new().root;
    let with_strange = vec![server.clone(), strange.clone(), intermediate.clone()];
    assert_eq!(sorted(with_strange).0[..2], right[..2]);
}

#[test]
fn what_is_no_certificate_changes_nothing() {
    let server = Authority::new().server;
    let odd = vec![CertificateDer::from(vec![0x30, 0]), server];
    assert_eq!(sorted(odd.clone()), (odd.clone(), false));
    assert_eq!(inspect(&odd, day(10)), []);
    assert_eq!((sorted(Vec::new()), inspect(&[], day(0))), ((Vec::new(), false), Vec::new()));
}

#[test]
fn the_end_is_told_before_and_after_it_came() {
    let Authority { intermediate, server, .. } = Authority::new();
    let chain = [server, intermediate];
    let before = UnixTime::since_unix_epoch(Duration::from_secs(day(0).as_secs() - 3600));
    assert_eq!(inspect(&chain, before), [Finding::NotYetValid { number: 1, days: 1 }]);
    assert_eq!(inspect(&chain, day(75)), []);
    assert_eq!(inspect(&chain, day(80)), [Finding::ExpiresSoon { number: 1, days: 10 }]);
    assert_eq!(inspect(&chain, day(95)), [Finding::Expired { number: 1, days: 5 }]);
}

#[test]
fn a_certificate_of_a_week_is_not_always_about_to_end() {
    let week = (0, 7 * DAY_S);
    assert_eq!(judge(1, week, DAY_S), None);
    assert_eq!(judge(1, week, 4 * DAY_S), None);
    assert_eq!(judge(1, week, 5 * DAY_S), Some(Finding::ExpiresSoon { number: 1, days: 2 }));
}

#[test]
fn hosts_are_held_against_the_names() {
    let chain = [Authority::new().server];
    for (host, wanted) in [
        ("shop.example", true),
        ("SHOP.example", true),
        ("green.tea.example", true),
        ("203.0.113.7", true),
        ("tea.example", false),
        ("a.green.tea.example", false),
        ("shop.example.evil.example", false),
        ("203.0.113.8", false),
        ("no host", false),
    ] {
        assert_eq!(covers(&chain, host), wanted, "{host}");
    }
}
