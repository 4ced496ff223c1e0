//! The dialects over the documents of a test's world.

use std::sync::Arc;

use yunzhan_base::Clock;

use super::action::spec::Listed;
use super::action::{ActionSpec, Actions, DialectName};
use super::{admin, documents, gateway, web};
use crate::documents::Documents;
use crate::documents::testing::{Asked, World};

/// The actions of one service.
pub(super) fn actions(documents: &Arc<Documents>) -> Arc<Actions> {
    let open = documents::SERVICE.bind(documents);
    Arc::new(Actions::new(open.actions.iter(), Clock::manual(documents.now_ms())))
}

/// Every action of a dialect.
pub(super) fn listed(dialect: DialectName) -> Vec<Listed> {
    ActionSpec::all(&[&documents::SERVICE], dialect)
}

impl World {
    /// Asks the route of any dialect and gives status and body as text.
    pub(super) async fn ask_dialect(&self, documents: &Arc<Documents>, asked: Asked<'_>) -> String {
        let routes = match asked.route {
            "admin.call" => admin::ROUTES,
            "web.call" => web::ROUTES,
            _ => return self.ask(documents, gateway::ROUTES, asked).await,
        };
        self.ask(&actions(documents), routes, asked).await
    }
}
