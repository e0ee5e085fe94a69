//! `GET /api/class/refused`: what ingest rejected of a class, so that whoever teaches it learns why
//! nothing arrives.

use warp::reply::Response;

use super::class::members_of;
use super::{Problem, Request};
use crate::event::json;

impl Request<'_> {
    pub(super) async fn refused(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let rows = self.relay.pages.refused(&class).await?;
        let mut out = members_of(&class);
        out.push_str("\"refused\":[");
        for (index, row) in rows.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"field\":" } else { "{\"field\":" });
            json::write_string(&row.field, &mut out);
            out.push_str(",\"reason\":");
            json::write_string(&row.reason, &mut out);
            let (first, last) = (row.first_at.to_rfc3339(), row.last_at.to_rfc3339());
            out.push_str(&format!(
                ",\"count\":{},\"firstAt\":\"{first}\",\"lastAt\":\"{last}\"}}",
                row.count
            ));
        }
        out.push(']');
        self.stamped(&out).await
    }
}
