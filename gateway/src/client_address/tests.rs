//! Lists of addresses as proxies, and those who would like to be somebody else, write them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use super::*;

const PEER: &str = "10.0.0.1:443";

fn trusted() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "2001:db8:ff::/48"].map(|text| text.parse().unwrap()))
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn who(peer: &str, lines: &[(&'static str, &str)]) -> String {
    client(peer.parse().unwrap(), &headers(lines), &trusted()).address.to_string()
}

fn x(list: &str) -> String {
    who(PEER, &[("x-forwarded-for", list)])
}

fn f(list: &str) -> String {
    who(PEER, &[("forwarded", list)])
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let claim = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6")];
    assert_eq!(who("203.0.113.7:5000", &claim), "203.0.113.7:5000");
    assert_eq!(who("[2001:db8::7]:5000", &claim), "[2001:db8::7]:5000");
    assert_eq!(who(PEER, &[]), PEER);
    let nobody = TrustedProxies::default();
    let seen = client(PEER.parse().unwrap(), &headers(&claim), &nobody);
    assert_eq!(seen.address.to_string(), PEER);
}

#[test]
fn the_client_is_the_right_most_address_that_is_no_proxy() {
    for (list, wanted) in [
        ("203.0.113.7", "203.0.113.7:0"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7:0"),
        ("6.6.6.6,203.0.113.7,10.9.9.9, 10.1.1.1", "203.0.113.7:0"),
        ("127.0.0.1, 203.0.113.7", "203.0.113.7:0"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2:0"),
        ("203.0.113.7:5000", "203.0.113.7:5000"),
        ("[2001:db8::7]:5000, 10.1.1.1:80", "[2001:db8::7]:5000"),
        ("[2001:db8::7]", "[2001:db8::7]:0"),
        ("2001:db8::7", "[2001:db8::7]:0"),
        ("203.0.113.7, 2001:db8:ff::1", "203.0.113.7:0"),
        ("::ffff:203.0.113.7", "203.0.113.7:0"),
        ("203.0.113.7, ::ffff:10.1.1.1", "203.0.113.7:0"),
        (" \t203.0.113.7\t ", "203.0.113.7:0"),
        (",203.0.113.7,, ,", "203.0.113.7:0"),
    ] {
        assert_eq!(x(list), wanted, "{list:?}");
    }
}

#[test]
fn what_cannot_be_read_ends_the_walk_at_who_vouched_for_it() {
    for list in [
        "",
        ",,,",
        "unknown",
        "_hidden",
        "203.0.113.7, unknown",
        "203.0.113.7, _secret",
        "203.0.113.7 6.6.6.6",
        "203.0.113.7;6.6.6.6",
        "203.0.113.07",
        "203.0.113",
        "3405803783",
        "0xcb007107",
        "203.0.113.7:70000",
        "203.0.113.7:",
        "[2001:db8::7",
        "2001:db8::7]",
        "[203.0.113.7]",
        "[fe80::1%3]:80",
        "fe80::1%eth0",
        "client.example",
        "\"203.0.113.7\"",
        "203.0.113.7\u{a0}",
        "２０３.0.113.7",
    ] {
        assert_eq!(x(list), PEER, "{list:?}");
    }
    assert_eq!(x("203.0.113.7, unknown, 10.1.1.1"), "10.1.1.1:0");
    assert_eq!(x("6.6.6.6, garbage, 203.0.113.7, 10.1.1.1"), "203.0.113.7:0");
}

#[test]
fn several_lines_are_one_list() {
    let lines = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "203.0.113.7, 10.2.2.2"),
        ("x-forwarded-for", "10.1.1.1"),
    ];
    assert_eq!(who(PEER, &lines), "203.0.113.7:0");
    let lines = [("forwarded", "for=6.6.6.6, for=203.0.113.7"), ("forwarded", "for=10.1.1.1")];
    assert_eq!(who(PEER, &lines), "203.0.113.7:0");
    let lines = [("forwarded", "for=\"6.6.6.6"), ("forwarded", "for=203.0.113.7")];
    assert_eq!(who(PEER, &lines), "203.0.113.7:0");
}

#[test]
fn ten_thousand_entries_cost_no_more_than_a_few() {
    let proxies = "10.1.1.1, ".repeat(10_000);
    assert_eq!(x(&format!("6.6.6.6, {proxies}10.2.2.2")), "10.1.1.1:0");
    assert_eq!(x(&format!("{}203.0.113.7", "6.6.6.6, ".repeat(10_000))), "203.0.113.7:0");
    assert_eq!(x(&format!("6.6.6.6{}", ",".repeat(10_000))), PEER);
    assert_eq!(
        f(&format!("for=6.6.6.6, {}for=10.2.2.2", "for=10.1.1.1, ".repeat(10_000))),
        "10.1.1.1:0"
    );
    assert_eq!(f(&"\\\"".repeat(10_000)), PEER);
}

#[test]
fn forwarded_says_the_same_in_other_words() {
    for (list, wanted) in [
        ("for=203.0.113.7", "203.0.113.7:0"),
        ("For=203.0.113.7;proto=https;by=203.0.113.43", "203.0.113.7:0"),
        ("proto=http; host=\"a, b; for=6.6.6.6\" ;for=203.0.113.7", "203.0.113.7:0"),
        ("for=\"203.0.113.7:5000\"", "203.0.113.7:5000"),
        ("for=203.0.113.7:5000", "203.0.113.7:5000"),
        ("for=\"[2001:db8::7]:5000\"", "[2001:db8::7]:5000"),
        ("for=\"[2001:db8::7]\"", "[2001:db8::7]:0"),
        ("for=[2001:db8::7]", "[2001:db8::7]:0"),
        ("for=\"[::ffff:203.0.113.7]\"", "203.0.113.7:0"),
        ("for=\"203.0.113\\.7\"", "203.0.113.7:0"),
        ("for=6.6.6.6, for=203.0.113.7,for=10.1.1.1", "203.0.113.7:0"),
        ("for=\"6.6.6.6, for=203.0.113.7", "203.0.113.7:0"),
        ("host=\"\\\",for=6.6.6.6\", for=203.0.113.7", "203.0.113.7:0"),
    ] {
        assert_eq!(f(list), wanted, "{list:?}");
    }
    for list in [
        "",
        "for=unknown",
        "for=_gazonk",
        "for=\"_gazonk:80\"",
        "for=6.6.6.6;for=203.0.113.7",
        "for=203.0.113.7 x=y",
        "for=203.0.113.7;",
        "for=\"203.0.113.7",
        "for=203.0.113.7\"",
        "for=\"203.0.113.7\\\"",
        "proto=https",
        "203.0.113.7",
        "for",
    ] {
        assert_eq!(f(list), PEER, "{list:?}");
    }
}

#[test]
fn the_header_that_nearly_every_proxy_writes_goes_before_the_other() {
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(who(PEER, &both), "203.0.113.7:0");
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "garbage")];
    assert_eq!(who(PEER, &both), PEER);
}

#[test]
fn the_scheme_is_the_one_that_was_written_beside_the_client() {
    let scheme = |peer: &str, lines: &[(&'static str, &str)]| {
        client(peer.parse().unwrap(), &headers(lines), &trusted()).is_https
    };
    let (list, proto) = ("x-forwarded-for", "x-forwarded-proto");
    for (lines, wanted) in [
        (&[(proto, "https")][..], Some(true)),
        (&[(proto, "HTTP")], Some(false)),
        (&[(proto, "gopher")], None),
        (&[(list, "203.0.113.7"), (proto, "https")], Some(true)),
        (&[(list, "203.0.113.7, 10.1.1.1"), (proto, "https")], Some(true)),
        (&[(list, "203.0.113.7, 10.1.1.1"), (proto, "https, http")], Some(true)),
        (&[(list, "6.6.6.6, 203.0.113.7, 10.1.1.1"), (proto, "https, http, http")], Some(false)),
        (&[(list, "203.0.113.7")], None),
        (&[("forwarded", "for=203.0.113.7;proto=https, for=10.1.1.1;proto=http")], Some(true)),
        (&[("forwarded", "proto=https;for=6.6.6.6, for=203.0.113.7")], None),
    ] {
        assert_eq!(scheme(PEER, lines), wanted, "{lines:?}");
    }
    assert_eq!(scheme("203.0.113.7:1", &[(proto, "https")]), None);
}

#[test]
fn lists_are_appended_to_and_never_written_over() {
    let value = |value: HeaderValue| value.to_str().unwrap().to_owned();
    let next = |peer: &str, lines: &[(&'static str, &str)]| {
        value(forwarded_for(&headers(lines), peer.parse().unwrap(), &trusted()))
    };
    let lines = [("x-forwarded-for", "6.6.6.6, 203.0.113.7"), ("x-forwarded-for", "10.1.1.1")];
    assert_eq!(next(PEER, &lines), "6.6.6.6, 203.0.113.7, 10.1.1.1, 10.0.0.1");
    assert_eq!(next("203.0.113.7:5000", &lines), "203.0.113.7");
    assert_eq!(next("[::ffff:203.0.113.7]:5000", &lines), "203.0.113.7");
    assert_eq!(next("[::ffff:10.0.0.1]:5000", &lines[1..]), "10.1.1.1, 10.0.0.1");
    assert_eq!(next(PEER, &[]), "10.0.0.1");

    let next = |peer: &str, lines: &[(&'static str, &str)]| {
        forwarded(&headers(lines), peer.parse().unwrap(), &trusted()).map(value)
    };
    let lines = [("forwarded", "for=203.0.113.7;proto=https")];
    assert_eq!(next(PEER, &lines).unwrap(), "for=203.0.113.7;proto=https, for=10.0.0.1");
    let wanted = "for=203.0.113.7;proto=https, for=\"[2001:db8:ff::1]\"";
    assert_eq!(next("[2001:db8:ff::1]:1", &lines).unwrap(), wanted);
    assert_eq!(next("203.0.113.7:1", &lines), None);
    assert_eq!(next(PEER, &[]), None);
}

#[test]
fn a_network_is_an_address_with_a_prefix() {
    let holds = |network: &str, address: &str| {
        let network = network.parse::<Network>().unwrap();
        TrustedProxies::new([network]).contains(address.parse().unwrap())
    };
    for (network, address, wanted) in [
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ("10.0.0.0/8", "::a00:1", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("0.0.0.0/0", "203.0.113.7", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "203.0.113.7", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::", false),
        ("::1", "::1", true),
        ("::ffff:10.0.0.0/104", "10.1.1.1", true),
    ] {
        assert_eq!(holds(network, address), wanted, "{network} {address}");
    }
    for text in
        ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "10.0.0/8", "a/8", "10.0.0.0/8/8"]
    {
        assert_eq!(text.parse::<Network>(), Err(NotANetwork::Form), "{text:?}");
    }
    assert_eq!("10.0.0.1/8".parse::<Network>(), Err(NotANetwork::BitsBehindPrefix));
}
