//! Metrics as Prometheus reads them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use expect_test::expect;
use http::{Method, StatusCode};
use yunzhan_base::event::{
    ConnectionFailed, ConnectionFailureReason, Outcome, RequestEnded, RequestFacts, SqlOperation,
};
use yunzhan_base::{Kind, RequestId};

use super::requests::{ENVS_MAX, PAIRS_MAX, ROUTES_MAX};
use super::*;

fn request(metrics: &Metrics, route: &'static str, env: &str, status: StatusCode) {
    metrics.observe(&Event::RequestEnded(RequestEnded {
        facts: RequestFacts {
            request_id: RequestId::NONE,
            route,
            env: env.parse().ok().as_ref(),
            user: None,
            method: &Method::GET,
            path: "/",
            remote: ([127, 0, 0, 1], 1).into(),
        },
        status,
        body_bytes_sent: 0,
        duration_us: 1500,
        protocol: "h2",
        tls: false,
        error: None,
        outcome: Outcome::Complete,
    }));
}

fn counted(metrics: &Metrics, labels: &str) -> Option<u64> {
    let line = format!("yunzhan_requests_total{{{labels}}} ");
    let text = metrics.render();
    text.lines().find_map(|found| found.strip_prefix(&line)).and_then(|count| count.parse().ok())
}

fn leaked(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

#[test]
fn requests_count_by_route_environment_and_class() {
    let metrics = Metrics::new([]);
    for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::NOT_FOUND] {
        request(&metrics, "shop.list", "demo", status);
    }
    request(&metrics, "none", "", StatusCode::NOT_FOUND);
    assert_eq!(counted(&metrics, r#"route="shop.list",env="demo",class="2xx""#), Some(2));
    assert_eq!(counted(&metrics, r#"route="shop.list",env="demo",class="4xx""#), Some(1));
    assert_eq!(counted(&metrics, r#"route="none",env="",class="4xx""#), Some(1));
    let text = metrics.render();
    assert!(text.contains(r#"bucket{le="0.002",route="shop.list",tier="ordinary"} 3"#), "{text}");
}

#[test]
fn labels_are_bounded() {
    let metrics = Metrics::new([]);
    for number in 0..ENVS_MAX + 5 {
        request(&metrics, "shop.list", &format!("e{number}"), StatusCode::OK);
    }
    assert_eq!(counted(&metrics, r#"route="shop.list",env="",class="2xx""#), Some(5));
    for number in 0..ROUTES_MAX + 5 {
        request(&metrics, leaked(format!("r{number}")), "", StatusCode::OK);
    }
    let others = counted(&metrics, r#"route="other",env="",class="2xx""#).unwrap();
    assert!((5..=10).contains(&others), "{others}");
}

#[test]
fn two_bounded_labels_have_a_bounded_product() {
    let metrics = Metrics::new([]);
    let routes: Vec<_> =
        (0..=PAIRS_MAX / ENVS_MAX).map(|number| leaked(format!("r{number}"))).collect();
    for route in &routes {
        for number in 0..ENVS_MAX {
            request(&metrics, route, &format!("e{number}"), StatusCode::OK);
        }
    }
    let last = routes.last().unwrap();
    let labels = format!(r#"route="{last}",env="",class="2xx""#);
    assert_eq!(counted(&metrics, &labels), Some(ENVS_MAX as u64), "the last route is beyond");
    let series = metrics.render().lines().filter(|it| it.starts_with("yunzhan_requests")).count();
    assert!(series < 5 * (PAIRS_MAX + ROUTES_MAX), "{series}");
}

#[test]
fn a_gauge_is_read_anew_at_each_scrape() {
    let metrics = Metrics::new([]);
    let shelf = Arc::new(AtomicU32::new(2));
    let read = {
        let shelf = Arc::clone(&shelf);
        Arc::new(move || f64::from(shelf.load(Ordering::Relaxed)))
    };
    metrics.show(vec![yunzhan_base::gauge::Gauge {
        name: "shop_goods",
        help: "Goods on the shelf",
        read,
    }]);
    let shown = |count: &str| {
        let text = metrics.render();
        let lines =
            "# HELP yunzhan_shop_goods Goods on the shelf.\n# TYPE yunzhan_shop_goods gauge\n";
        assert!(text.contains(&format!("{lines}yunzhan_shop_goods {count}\n")), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    };
    shown("2.0");
    shelf.store(3, Ordering::Relaxed);
    shown("3.0");
}

/// Names and labels are read by people's dashboards: they are added to, never renamed.
#[test]
fn names_stay_as_they_are() {
    let metrics = Metrics::new([]);
    metrics.observe(&Event::ConnectionFailed(ConnectionFailed {
        remote: ([127, 0, 0, 1], 1).into(),
        tls: true,
        reason: ConnectionFailureReason::HeadTimeout,
        detail: "",
    }));
    let failed = Some(Kind::Unavailable);
    let operation = SqlOperation::Write;
    metrics.observe(&Event::SqlEnded(SqlEnded { operation, duration_us: 1, failed }));
    let text = metrics.render();
    let kept = |line: &&str| {
        line.starts_with("# TYPE")
            || line.contains("failed_total{")
            || line.contains("failures_total{")
    };
    let lines: Vec<&str> = text.lines().filter(kept).collect();
    expect![[r##"
        # TYPE yunzhan_requests counter
        # TYPE yunzhan_request_duration_seconds histogram
        # TYPE yunzhan_connections_failed counter
        yunzhan_connections_failed_total{reason="head_timeout"} 1
        # TYPE yunzhan_sql_duration_seconds histogram
        # TYPE yunzhan_sql_failures counter
        yunzhan_sql_failures_total{operation="write",error="unavailable"} 1
        # TYPE yunzhan_build_info gauge
        # TYPE yunzhan_process_resident_memory_bytes gauge
        # TYPE yunzhan_process_cpu_seconds gauge
        # TYPE yunzhan_process_open_fds gauge"##]]
    .assert_eq(&lines.join("\n"));
}
