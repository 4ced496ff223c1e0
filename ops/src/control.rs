//! Control routes of what operators see: metrics, attempts, faults on purpose.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, Response};
use yunzhan_base::control::{answer, endpoint, open_endpoint};
use yunzhan_base::event::Level;
use yunzhan_base::{Body, Call, Endpoint, Error, Kind, ResponseFuture};

use crate::Ops;
use crate::fault::{self, AskedPlan};

/// Rows of a table of attempts when nobody says how many.
const ROWS_DEFAULT: usize = 20;
/// Rows of a table of attempts at most.
const ROWS_MAX: usize = 1000;

const FAULTS: &str = "/control/v1/faults";

/// What an operator may see and set. Metrics are open: who may reach the control listener may see them.
pub const CONTROL: &[Endpoint<Ops>] = &[
    open_endpoint("server.metrics", "/metrics", metrics),
    endpoint("waf.control.attempts", Method::GET, "/control/v1/waf/attempts", attempts),
    endpoint("ops.control.faults", Method::GET, FAULTS, show_faults),
    endpoint("ops.control.set_faults", Method::PUT, FAULTS, set_faults),
    endpoint("ops.control.clear_faults", Method::DELETE, FAULTS, clear_faults),
];

fn metrics(ops: Arc<Ops>, _call: Call) -> ResponseFuture {
    const OPEN_METRICS: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Box::pin(async move {
        let mut response = Response::new(Body::from(ops.metrics.render()));
        response.headers_mut().insert(header::CONTENT_TYPE, OPEN_METRICS);
        Ok(response.into())
    })
}

/// Who attempted most.
fn attempts(ops: Arc<Ops>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let rows = match call.query("limit")? {
            None => ROWS_DEFAULT,
            Some(text) => {
                let rows = text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
                rows.ok_or_else(|| {
                    let text = format!("`limit` is a number from 1 to {ROWS_MAX}");
                    Error::new(Kind::InvalidParameter, text)
                })?
            }
        };
        Ok(answer(&ops.attempts.top(rows)))
    })
}

/// Which faults strike, until when, and how often they did.
fn show_faults(ops: Arc<Ops>, _call: Call) -> ResponseFuture {
    Box::pin(async move { Ok(answer(&fault::shown(&ops.faults, ops.clock.now_ms()))) })
}

/// Replaces the plan of faults.
fn set_faults(ops: Arc<Ops>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let now_ms = ops.clock.now_ms();
        let plan = AskedPlan::read(call.bytes())?.plan(now_ms)?;
        ops.events.notice(Level::Warn, "faults_set", &fault::told(&plan));
        ops.faults.set(plan);
        Ok(answer(&fault::shown(&ops.faults, now_ms)))
    })
}

/// Ends the plan before its time.
fn clear_faults(ops: Arc<Ops>, _call: Call) -> ResponseFuture {
    Box::pin(async move {
        if ops.faults.plan().is_some() {
            ops.faults.clear();
            ops.events.notice(Level::Info, "faults_cleared", "faults on purpose were ended");
        }
        Ok(answer(&fault::shown(&ops.faults, ops.clock.now_ms())))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::time::Duration;

    use http::Uri;
    use serde_json::{Value, json};
    use yunzhan_base::fault::Faults;
    use yunzhan_base::{Clock, Context, RequestId, Result, route};
    use yunzhan_engine::sql::testing::Fresh;
    use yunzhan_engine::sql::{
        self, Consistency, Database, Expect, Key, Logical, Migrations, ShardLocation, SharedSql,
        Statement, WriteBatch, WriteStep,
    };

    use super::*;
    use crate::{Config, Parts};

    /// What operators see, without files.
    fn ops(clock: &Clock, faults: &Faults) -> Arc<Ops> {
        let parts = Parts {
            config: Config { access_log: None },
            access_log: "unused".into(),
            json: true,
            clock: clock.clone(),
            faults: faults.clone(),
            routes: [],
            others: Vec::new(),
        };
        Ops::open(parts).unwrap()
    }

    /// Calls a control route as the gateway does.
    async fn called(ops: &Arc<Ops>, name: &str, body: &Value) -> Result<Value> {
        let routes = route::bind(ops, CONTROL);
        let route = routes.iter().find(|route| route.spec.name == name).unwrap();
        let body = if body.is_null() { Body::Empty } else { Body::from(body.to_string()) };
        let context = Context::internal(RequestId::NONE, None, Duration::from_secs(5));
        let (method, uri) = (route.spec.method.clone(), Uri::from_static(route.spec.path));
        let call = Call { body, ..Call::new(method, uri, context) };
        let response = route.call(call).await?.into_response().unwrap();
        Ok(serde_json::from_slice(response.body().held()).unwrap())
    }

    async fn write(sql: &SharedSql) -> Result<()> {
        const TABLES: &[Logical] = &[Logical("idempotency")];
        const SQL: &str = "DELETE FROM {idempotency} WHERE unit_key = 'nothing'";
        let statement = Statement { sql: SQL, tables: TABLES, params: vec![] };
        let steps = vec![WriteStep::once(statement, Expect::Any)];
        let place = ShardLocation { database: Database::System, key: Key::Slot(0) };
        sql.write(&place, WriteBatch { steps, idempotency: None }).await.map(drop)
    }

    #[tokio::test]
    async fn a_plan_that_control_sets_makes_writes_fail_and_ends_by_itself() {
        let fresh = Fresh::sqlite();
        let clock = Clock::manual(1_767_225_600_000);
        let faults = Faults::none(clock.clone(), 1);
        let ops = ops(&clock, &faults);
        let inner = fresh.open(Migrations::new(vec![]).unwrap(), clock.clone()).await;
        let config = yunzhan_engine::config::Sql::default();
        let sql = sql::wrap(inner, &config, ops.events(), faults, clock.clone()).sql;
        write(&sql).await.unwrap();

        let plan =
            json!({ "rules": [{ "point": "sql_write", "effect": "fail" }], "duration_s": 60 });
        let set = called(&ops, "ops.control.set_faults", &plan).await.unwrap();
        assert_eq!(
            (&set["remaining_s"], &set["until"]),
            (&json!(60), &json!("2026-01-01T00:01:00.000Z"))
        );
        assert_eq!(write(&sql).await.unwrap_err().kind(), Kind::Unavailable);
        sql.read(
            Consistency::Primary,
            &ShardLocation { database: Database::System, key: Key::Slot(0) },
            Statement { sql: "SELECT 1", tables: &[], params: vec![] },
        )
        .await
        .unwrap();
        let shown = called(&ops, "ops.control.faults", &Value::Null).await.unwrap();
        assert_eq!(shown["struck"], json!({ "sql_write": 1 }));
        assert!(
            ops.metrics
                .render()
                .contains(r#"failures_total{operation="write",error="unavailable"} 1"#)
        );

        clock.advance(Duration::from_secs(60));
        write(&sql).await.unwrap();
        let shown = called(&ops, "ops.control.faults", &Value::Null).await.unwrap();
        assert_eq!(shown["rules"], json!([]));
    }

    #[tokio::test]
    async fn a_plan_is_ended_before_its_time_and_a_bad_one_changes_nothing() {
        let clock = Clock::manual(0);
        let faults = Faults::none(clock.clone(), 1);
        let ops = ops(&clock, &faults);
        let plan = |rules: Value| json!({ "rules": rules, "duration_s": 60 });
        let good =
            plan(json!([{ "point": "upstream", "effect": { "delay_ms": 5 }, "per_mille": 10 }]));
        let set = called(&ops, "ops.control.set_faults", &good).await.unwrap();
        let bad = plan(json!([{ "point": "moon", "effect": "fail" }]));
        let refused = called(&ops, "ops.control.set_faults", &bad).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::InvalidParameter);
        assert_eq!(called(&ops, "ops.control.faults", &Value::Null).await.unwrap(), set);
        for _ in 0..2 {
            let cleared = called(&ops, "ops.control.clear_faults", &Value::Null).await.unwrap();
            assert_eq!(cleared["rules"], json!([]));
        }
        assert_eq!(faults.plan(), None);
    }
}
