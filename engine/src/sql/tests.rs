//! The suite on every backend and wrapper, and what only one of them promises.

mod mysql {
    use crate::sql::suite::Subject;
    use crate::sql::testing::Fresh;

    async fn open() -> Option<Subject> {
        Some(Subject::of(Fresh::mysql().await?, |sql| sql).await)
    }

    crate::sql_suite!(open);
}

mod sqlite {
    use crate::sql::suite::Subject;
    use crate::sql::testing::Fresh;

    async fn open() -> Option<Subject> {
        Some(Subject::of(Fresh::sqlite(), |sql| sql).await)
    }

    crate::sql_suite!(open);
}

mod wrapped {
    use std::sync::Arc;

    use yunzhan_base::Clock;
    use yunzhan_base::event::Events;
    use yunzhan_base::fault::Faults;

    use crate::sql::suite::Subject;
    use crate::sql::testing::Fresh;
    use crate::sql::{Faulty, Metered};

    async fn open() -> Option<Subject> {
        let faults = Faults::none(Clock::System, 1);
        let wrap = |sql| {
            let faulty = Faulty::new(sql, faults);
            Arc::new(Metered::new(Arc::new(faulty), Events::default())) as _
        };
        Some(Subject::of(Fresh::sqlite(), wrap).await)
    }

    crate::sql_suite!(open);
}
