//! `GET /api/class/refused`: the events of a class that ingest rejected, by cause, so that an
//! instructor learns why nothing arrives.

use warp::reply::Response;

use super::request::ApiRequest;
use crate::event::ObjectWriter;
use crate::http::problem::Problem;

impl ApiRequest<'_> {
    pub(super) async fn rejected(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let rows = self.relay.pages.rejected(&class).await?;
        let object = ObjectWriter::object(|object| {
            object.text("classId", class.as_str());
            object.objects("refused", &rows, |object, row| {
                object.text("field", &row.field);
                object.text("reason", &row.reason);
                object.json("count", row.count);
                object.text("firstAt", &row.first_at.to_rfc3339());
                object.text("lastAt", &row.last_at.to_rfc3339());
            });
        });
        self.answer_stamped(&object).await
    }
}
