//! `GET /api/class/lessons`: the lessons that a class has had.

use warp::reply::Response;

use super::request::ApiRequest;
use crate::event::ObjectWriter;
use crate::http::problem::Problem;

impl ApiRequest<'_> {
    pub(super) async fn lessons(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        self.caught_up().await;
        let lessons = self.relay.classes.read(&class, |state, _, _| state.lessons_listed()).await?;
        let object = ObjectWriter::object(|object| {
            object.text("classId", class.as_str());
            object.objects("lessons", &lessons, |object, lesson| {
                object.text("id", &lesson.first.0.to_string());
                object.time("startedAt", lesson.started_at);
                object.opt_time("endedAt", lesson.ended_at);
                object.json("students", lesson.students);
                object.json("runs", lesson.runs);
                object.opt_text("title", lesson.title.as_deref());
                if lesson.ended_at.is_none() {
                    object.json("current", true);
                }
            });
        });
        self.answer_stamped(&object).await
    }
}
